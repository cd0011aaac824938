"""Feature pyramid encoder and IR-SE trunk: public names and numbers, narrow variants, training."""

from pathlib import Path

import pytest
import torch

from engine.errors import CheckpointError, ImageError
from engine.models.encoder import FeaturePyramidEncoder, encoder_from_state
from engine.models.irse import (
    ArcFace,
    Bottleneck,
    Trunk,
    arcface_from_state,
    identity_crop,
    trunk_sizes,
)

TINY = {"input_size": 32, "widths": (4, 4, 6, 8, 12), "units": (1, 2, 1, 1), "style_dim": 16}


def tiny(num_ws: int = 9, **changes: object) -> FeaturePyramidEncoder:
    torch.manual_seed(0)
    return FeaturePyramidEncoder(num_ws, **(TINY | changes)).eval()


def pictures(count: int = 2, side: int = 32) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1


def public_keys(shared: Path, name: str) -> dict[str, str]:
    """Names without the prefix `encoder.` and shapes as text, of a public checkpoint."""
    text = (shared / "formats" / "keys" / name).read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line.startswith("encoder.")]
    return {row[0].removeprefix("encoder."): row[1] for row in rows}


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("shared_blocks", [True, False])
def test_shapes(variational: bool, shared_blocks: bool):
    encoder = tiny(variational=variational, shared_blocks=shared_blocks, feature_dim=10)
    coarse, medium, fine = encoder.pyramid(pictures())
    assert [tuple(x.shape) for x in (coarse, medium, fine)] == [
        (2, 10, 2, 2),
        (2, 10, 4, 4),
        (2, 10, 8, 8),
    ]
    assert encoder(pictures()).shape == (2, 9, 16)


def test_untrained_posterior_is_the_prior():
    mu, logvar = tiny().posterior(pictures())
    assert mu.abs().max() == 0 and logvar.abs().max() == 0
    logvar = tiny(initial_logvar=-2.0).posterior(pictures())[1]
    assert torch.equal(logvar, torch.full_like(logvar, -2.0))


def test_forward_is_the_posterior_mean():
    encoder = tiny()
    torch.nn.init.normal_(encoder.fc_mu.weight)
    torch.testing.assert_close(encoder(pictures()), encoder.posterior(pictures())[0])
    plain = tiny(variational=False)
    torch.testing.assert_close(plain(pictures()), plain.codes(pictures()))


@pytest.mark.parametrize("levels", [(3, 4), (3, 3), (1, 2)])
@pytest.mark.parametrize("shared_blocks", [True, False])
def test_levels_feed_their_codes(levels: tuple[int, int], shared_blocks: bool):
    """A code of the coarse level does not see what only the fine level sees."""
    encoder = tiny(variational=False, levels=levels, shared_blocks=shared_blocks)
    before = encoder.codes(pictures())
    encoder.latlayer2.weight.data += 1  # enters the fine level only
    changed = (encoder.codes(pictures()) - before).abs().amax(dim=(0, 2)) > 0
    assert changed.tolist() == [False] * sum(levels) + [True] * (9 - sum(levels))


@pytest.mark.parametrize("variational", [True, False])
@pytest.mark.parametrize("shared_blocks", [True, False])
@pytest.mark.parametrize("feature_dim", [None, 10])
def test_sizes_are_read_off_the_weights(variational, shared_blocks, feature_dim):
    encoder = tiny(
        variational=variational,
        shared_blocks=shared_blocks,
        feature_dim=feature_dim,
        levels=(2, 4),
    )
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    again = encoder_from_state(state, input_size=32).eval()
    assert (again.num_ws, again.input_size, again.units) == (9, 32, (1, 2, 1, 1))
    assert again.codes_per_level == (2, 4, 3)
    torch.testing.assert_close(again(pictures()), encoder(pictures()))


def test_half_precision_files_load_as_float32():
    encoder = tiny(shared_blocks=True)
    half = {k: v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}
    again = encoder_from_state(half).eval()
    assert all(p.dtype == torch.float32 for p in again.parameters())
    difference = (again.codes(pictures()) - encoder.codes(pictures())).abs().max()
    assert 0 < difference < 2e-2


def test_narrow_encoder_of_a_pack_is_small():
    encoder = FeaturePyramidEncoder(
        12,
        input_size=64,
        widths=(32, 32, 64, 96, 160),
        units=(1, 1, 1, 1),
        feature_dim=128,
        levels=(4, 4),
        shared_blocks=True,
    )
    assert sum(p.numel() for p in encoder.parameters()) < 4_000_000


def test_e4e_adds_offsets_up_to_its_stage():
    encoder = tiny(variational=False)
    heads = encoder.codes(pictures())
    for stage in (0, 4, 8):
        state = encoder.state_dict() | {"progressive_stage": torch.tensor(stage)}
        codes = encoder_from_state(state).eval()(pictures())
        expected = heads[:, :1].repeat(1, 9, 1)
        expected[:, 1 : stage + 1] += heads[:, 1 : stage + 1]
        torch.testing.assert_close(codes, expected)


@pytest.mark.parametrize("rows", [1, 9])
def test_average_is_added_to_deterministic_codes(rows: int):
    encoder, average = tiny(variational=False), torch.randn(rows, 16)
    again = encoder_from_state(encoder.state_dict() | {"latent_avg": average}).eval()
    torch.testing.assert_close(again(pictures()), encoder(pictures()) + average)
    assert "latent_avg" in again.state_dict() and "latent_avg" not in encoder.state_dict()
    with pytest.raises(CheckpointError, match=r"\[3, 16\]; expected \[1, 16\] or \[9, 16\]"):
        encoder_from_state(encoder.state_dict() | {"latent_avg": torch.zeros(3, 16)})


def test_mean_head_alone_is_deterministic():
    encoder = tiny()
    torch.nn.init.normal_(encoder.fc_mu.weight)
    state = {k: v for k, v in encoder.state_dict().items() if not k.startswith("fc_var")}
    again = encoder_from_state(state).eval()
    assert not again.variational
    torch.testing.assert_close(again(pictures()), encoder.posterior(pictures())[0])


@pytest.mark.parametrize("batch", [1, 2])
def test_small_batches_train(batch: int):
    encoder = tiny(shared_blocks=True, initial_logvar=-4.0).train()
    target = torch.randn(batch, 9, 16, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        mu, logvar = encoder.posterior(pictures(batch))
        loss = (mu - target).square().mean() + (logvar + 1).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(torch.isfinite(p).all() for p in encoder.parameters())
    assert losses[-1] < 0.5 * losses[0]


def test_gradient_reaches_every_parameter():
    encoder = tiny(feature_dim=10).train()
    torch.nn.init.normal_(encoder.fc_mu.weight)
    mu, logvar = encoder.posterior(pictures(4))
    (mu.square().sum() + logvar.exp().sum()).backward()
    # fc_var has no weight yet, so the content reaches the loss through fc_mu only
    assert [n for n, p in encoder.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


def test_bfloat16_channels_last_agrees():
    encoder = tiny(shared_blocks=True, variational=False)
    exact = encoder(pictures())
    encoder = encoder.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = encoder(pictures().contiguous(memory_format=torch.channels_last))
    assert (coarse.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_stride_without_parameters_is_a_max_pool_of_one():
    torch.manual_seed(0)
    unit = Bottleneck(4, 4, stride=2).eval()
    torch.nn.init.zeros_(unit.res_layer[4].weight)
    x = torch.randn(1, 4, 8, 8)
    torch.testing.assert_close(unit(x), torch.nn.functional.max_pool2d(x, 1, 2))


def test_trunk_sizes_are_read_off_the_weights():
    trunk = Trunk((8, 4, 6, 8, 12), (2, 1, 3, 1), in_channels=19)
    assert trunk_sizes(trunk.state_dict()) == ((8, 4, 6, 8, 12), (2, 1, 3, 1), 19)


def test_identity_crop_sees_the_same_face_at_any_size():
    ramp = torch.linspace(-1, 1, 256).expand(1, 3, 256, 256)
    crop = identity_crop(ramp)
    assert crop.shape == (1, 3, 112, 112)
    large = torch.nn.functional.interpolate(ramp, scale_factor=2, mode="nearest")
    torch.testing.assert_close(identity_crop(large), crop)
    small = torch.nn.functional.avg_pool2d(ramp, 4)
    torch.testing.assert_close(identity_crop(small), crop, atol=0.02, rtol=0)


def test_messages_name_the_remedy():
    with pytest.raises(ImageError, match=r"\[2, 3, 64, 64\]; expected \['N', 3, 32, 32\]"):
        tiny()(pictures(side=64))
    with pytest.raises(CheckpointError, match="deterministic .* has no posterior"):
        tiny(variational=False).posterior(pictures())
    with pytest.raises(CheckpointError, match="input size 48 px is not supported"):
        tiny(input_size=48)
    with pytest.raises(CheckpointError, match=r"levels \(5, 4\) do not divide 9 codes"):
        tiny(levels=(5, 4))
    with pytest.raises(CheckpointError, match="last four different from their neighbours"):
        tiny(widths=(4, 4, 8, 8, 12))


def test_foreign_weights_are_refused():
    state = tiny().state_dict()
    with pytest.raises(CheckpointError, match="reads pictures of 32 px .* not 64 px"):
        encoder_from_state(state, input_size=64)
    with pytest.raises(CheckpointError, match=r"strip the prefix \(encoder.\)"):
        encoder_from_state({f"encoder.{k}": v for k, v in state.items()})
    with pytest.raises(CheckpointError, match="expected three levels of n, n . 1 and n . 2"):
        encoder_from_state({k: v for k, v in state.items() if not k.startswith("styles.")})
    with pytest.raises(CheckpointError, match="surplus is unexpected"):
        encoder_from_state(state | {"surplus": torch.zeros(1)})
    wrong = state | {"latlayer1.bias": torch.zeros(3)}
    with pytest.raises(CheckpointError, match=r"latlayer1.bias is \[3\], expected \[12\]"):
        encoder_from_state(wrong)


@pytest.mark.parametrize(
    "name, variational",
    [("psp_GradualStyleEncoder.txt", False), ("agile_encoder_pt_state_dict.txt", True)],
)
def test_full_size_has_the_public_names_and_shapes(shared, name: str, variational: bool):
    with torch.device("meta"):
        encoder = FeaturePyramidEncoder(18, variational=variational)
    ours = {key: str(tuple(value.shape)) for key, value in encoder.state_dict().items()}
    assert ours == public_keys(shared, name)


def test_arcface_sizes_are_read_off_the_weights():
    torch.manual_seed(0)
    network = ArcFace(8, widths=TINY["widths"], units=TINY["units"]).eval()
    state = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    face = pictures(side=112)
    torch.testing.assert_close(arcface_from_state(state)(face), network(face))
    with pytest.raises(CheckpointError, match="no ArcFace head .* output_layer.3.weight"):
        arcface_from_state(tiny().state_dict())
