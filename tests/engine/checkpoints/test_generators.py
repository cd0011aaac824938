"""Generators and discriminators of every family: written as theirs, read, and the same pictures."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch

from engine.checkpoints import Contents, read, recognise
from engine.errors import CheckpointError
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.layouts import DIM, FILTER, SIZE, prefixed, save_flat

G, D = layouts.tiny_generator(), layouts.tiny_discriminator()
W_AVG = G.mapping.w_avg


def recognised(data: object, **more: object):
    return recognise(Contents("torch", data), **more)


def codes() -> torch.Tensor:
    return torch.randn(3, DIM, generator=torch.Generator().manual_seed(5))


def same_pictures(ours, theirs=G, psi: float = 0.7, path: int = 0) -> None:
    expected = theirs(codes(), truncation_psi=psi, path=path)
    torch.testing.assert_close(ours(codes(), truncation_psi=psi, path=path), expected, **CLOSE)


def same_scores(ours) -> None:
    image = torch.randn(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(6))
    torch.testing.assert_close(ours(image), D(image), **CLOSE)


CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def rosinality() -> dict:
    return {"g_ema": layouts.rosinality_generator(G), "latent_avg": W_AVG}


def test_rosinality_converted_file(tmp_path: Path):
    torch.save(rosinality(), tmp_path / "converted.pt")
    checkpoint = read(tmp_path / "converted.pt")
    assert (checkpoint.kind, checkpoint.notes) == ("rosinality", ())
    assert checkpoint.path == str(tmp_path / "converted.pt")
    assert checkpoint.config == {"conv_clamp": None, "resolution": SIZE}
    same_pictures(checkpoint.build()["generator"])


def test_rosinality_training_file(tmp_path: Path):
    """As train.py writes it: g beside g_ema, D, optimisers, a Namespace, no latent_avg."""
    other = layouts.rosinality_generator(layouts.tiny_generator(seed=9))
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))]).state_dict()
    file = {"g": other, "d": layouts.rosinality_discriminator(D), "g_optim": optimiser}
    file |= {"g_ema": rosinality()["g_ema"], "args": Namespace(size=SIZE), "ada_aug_p": 0.1}
    torch.save(file, tmp_path / "000100.pt")
    checkpoint = read(tmp_path / "000100.pt")
    networks = checkpoint.build()
    same_scores(networks["discriminator"])
    same_pictures(networks["generator"], psi=1)
    assert len(checkpoint.notes) == 1 and "estimated" in checkpoint.notes[0]
    z = torch.randn(20_000, DIM, generator=torch.Generator().manual_seed(7))
    mean = G.mapping(z).mean(dim=0)
    assert (networks["generator"].mapping.w_avg - mean).abs().max() < 0.1 * G.mapping(z).std()


@pytest.mark.parametrize("place", ["g", "Gt", "state_dict", None])
def test_rosinality_generator_alone(place: str | None):
    state = layouts.rosinality_generator(G)
    checkpoint = recognised({place: state, "latent_avg": W_AVG[None]} if place else state)
    same_pictures(checkpoint.build()["generator"], psi=0.7 if place else 1)
    assert any("no averaged generator" in note for note in checkpoint.notes) == (place == "g")


def test_rosinality_discriminator_alone():
    for data in (layouts.rosinality_discriminator(D), {"d": layouts.rosinality_discriminator(D)}):
        checkpoint = recognised(data)
        assert checkpoint.kind == "rosinality" and set(checkpoint.parts) == {"discriminator"}
        same_scores(checkpoint.build()["discriminator"])


def test_noise_and_filters_may_be_missing():
    state = {n: v for n, v in rosinality()["g_ema"].items() if "kernel" not in n}
    bare = {n: v for n, v in state.items() if not n.startswith("noises.")}
    first, second = (recognised({"g_ema": bare, "latent_avg": W_AVG}) for _ in range(2))
    assert first.notes == ("7 noise maps are not in the file: drawn from a fixed seed",)
    name = "synthesis.b32.conv0.noise_const"
    assert first.parts["generator"][name].shape == (32, 32)
    assert torch.equal(first.parts["generator"][name], second.parts["generator"][name])
    ours = first.build()["generator"](codes(), noise="none")
    torch.testing.assert_close(ours, G(codes(), noise="none"), **CLOSE)


def test_other_filters_are_refused():
    state = rosinality()["g_ema"] | {"to_rgbs.1.upsample.kernel": torch.ones(4, 4)}
    with pytest.raises(CheckpointError, match=r"to_rgbs.1.upsample.kernel is not StyleGAN2's"):
        recognised({"g_ema": state})


@pytest.mark.parametrize("place", ["g_ema.", ""])
def test_rosinality_safetensors(tmp_path: Path, place: str):
    flat = prefixed(place, rosinality()["g_ema"]) | {"latent_avg": W_AVG}
    if place:
        flat |= prefixed("d.", layouts.rosinality_discriminator(D))
    save_flat(flat, tmp_path / "g.safetensors")
    networks = read(tmp_path / "g.safetensors").build()
    same_pictures(networks["generator"])
    assert ("discriminator" in networks) == bool(place)


@pytest.mark.parametrize("clamp", [None, 3.0])
def test_nvidia_pickle(clamp: float | None):
    """The bound that the layers carry holds, whatever their defaults were."""
    theirs = layouts.tiny_generator(conv_clamp=clamp)
    kwargs = {"z_dim": DIM, "c_dim": 0, "synthesis_kwargs": {"num_fp16_res": 4}}
    file = {"G_ema": layouts.nvidia_record(theirs, "Generator", kwargs, clamp)}
    file["G"] = layouts.nvidia_record(layouts.tiny_generator(seed=9), "Generator", {}, None)
    file["D"] = layouts.nvidia_record(D, "Discriminator", {"epilogue_kwargs": {}}, None)
    checkpoint = recognise(Contents("pickle", file | {"augment_pipe": None}))
    assert (checkpoint.kind, checkpoint.config["conv_clamp"]) == ("nvidia", clamp)
    assert checkpoint.notes == (
        "NVIDIA's code computes its last 4 resolutions in float16; here none",
    )
    networks = checkpoint.build()
    same_pictures(networks["generator"], theirs)
    same_scores(networks["discriminator"])


def test_files_as_nvidias_programs_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "network.pkl"
    record = layouts.nvidia_record(layouts.tiny_generator(conv_clamp=2), "Generator", {}, 2)
    path.write_bytes(layouts.pickled(monkeypatch, {"G_ema": record, "augment_pipe": None}))
    checkpoint = read(path)
    assert checkpoint.kind == "nvidia"
    same_pictures(checkpoint.build()["generator"], layouts.tiny_generator(conv_clamp=2))

    variables = {n: v.numpy() for n, v in layouts.tensorflow_variables(G).items()}
    networks = [layouts.tensorflow_record(variables) for _ in range(3)]
    path.write_bytes(layouts.pickled(monkeypatch, tuple(networks)))
    checkpoint = read(path)
    assert checkpoint.kind == "nvidia-tf"
    same_pictures(checkpoint.build()["generator"])


def test_nvidia_settings_are_honoured():
    asked = {"synthesis_kwargs": {"conv_clamp": 2}}
    record = layouts.nvidia_record(G, "Generator", asked, None)
    judge = layouts.nvidia_record(
        D, "Discriminator", {"epilogue_kwargs": {"mbstd_group_size": 2}}, 5
    )
    checkpoint = recognise(Contents("pickle", {"G_ema": record, "D": judge}))
    clamped = layouts.tiny_generator(conv_clamp=2)
    assert (clamped(codes()) - G(codes())).abs().max() > 0.1
    same_pictures(checkpoint.build()["generator"], clamped)
    assert checkpoint.config["discriminator_conv_clamp"] == 5
    assert checkpoint.build()["discriminator"].b4.group_size == 2


def test_nvidia_states(tmp_path: Path):
    for data in (layouts.nvidia_state(G), {"G_ema": layouts.nvidia_state(G)}):
        same_pictures(recognised(data).build()["generator"])
    same_scores(recognised(layouts.nvidia_state(D)).build()["discriminator"])
    opts = {"opts": '{"conv_clamp": 2}'}
    save_flat(layouts.nvidia_state(G), tmp_path / "g.safetensors", opts)
    same_pictures(
        read(tmp_path / "g.safetensors").build()["generator"], layouts.tiny_generator(conv_clamp=2)
    )


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"synthesis_kwargs": {"activation": "relu"}}, "activation = relu; only .* lrelu"),
        ({"mapping_kwargs": {"lr_multiplier": 0.1}}, "lr_multiplier = 0.1; only .* 0.01"),
        ({"resample_filter": (1, 2, 1)}, r"resample_filter = \[1, 2, 1\]"),
    ],
)
def test_nvidia_settings_that_are_unknown_are_refused(kwargs: dict, message: str):
    record = layouts.nvidia_record(G, "Generator", kwargs, None)
    with pytest.raises(CheckpointError, match=message):
        recognise(Contents("pickle", {"G_ema": record}))


def test_conditional_and_other_generations_are_refused():
    labels = layouts.nvidia_state(G) | {"mapping.embed.weight": torch.zeros(DIM, 10)}
    with pytest.raises(CheckpointError, match="conditional .* c_dim > 0"):
        recognised({"G_ema": labels})
    with pytest.raises(CheckpointError, match="StyleGAN3's alias-free generator, .* not supported"):
        recognised({"G_ema": {"synthesis.input.freqs": torch.zeros(8, 2)}})
    first = layouts.tensorflow_record({"G_synthesis/8x8/Conv0_up/StyleMod/weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="StyleGAN of the first generation"):
        recognise(Contents("pickle", (first, first, first)))


@pytest.mark.parametrize("nested", [True, False])
def test_tensorflow_pickle(nested: bool):
    other = layouts.tensorflow_variables(layouts.tiny_generator(seed=9))
    variables = layouts.tensorflow_variables(G)
    if nested:  # G's own variables, and two components with theirs
        parts = {
            part: layouts.tensorflow_record(
                {n.removeprefix(f"{part}/"): v for n, v in variables.items() if n.startswith(part)}
            )
            for part in ("mapping", "synthesis")
        }
        own = {n: v for n, v in variables.items() if "/" not in n}
        averaged = layouts.tensorflow_record(own, parts)
    else:
        named = {n.replace("synthesis", "G_synthesis"): v for n, v in variables.items()}
        named = {n.replace("mapping", "G_mapping"): v for n, v in named.items()}
        averaged = layouts.tensorflow_record(named)
    judge = layouts.tensorflow_record(layouts.tensorflow_variables(D))
    file = (layouts.tensorflow_record(other), judge, averaged)
    checkpoint = recognise(Contents("pickle", file))
    assert (checkpoint.kind, checkpoint.notes) == ("nvidia-tf", ())
    networks = checkpoint.build()
    same_pictures(networks["generator"])
    same_scores(networks["discriminator"])


def test_openmmlab_draws_rgb():
    other = layouts.openmmlab_generator(layouts.tiny_generator(seed=9))
    state = prefixed("generator_ema.", layouts.openmmlab_generator(G))
    state |= prefixed("generator.", other) | {"src_generator.x": torch.zeros(1)}
    state |= prefixed("discriminator.", layouts.openmmlab_discriminator(D))
    state["discriminator.ada_aug.aug_pipeline.p"] = torch.zeros(())
    checkpoint = recognised({"meta": {"iter": 1}, "state_dict": state})
    assert checkpoint.kind == "mmgen" and "left out: src_generator" in checkpoint.notes
    networks = checkpoint.build()
    same_pictures(networks["generator"], psi=1)
    same_scores(networks["discriminator"])


def test_agilegan_style_has_two_paths():
    theirs = layouts.tiny_generator(num_paths=2, path_until=16)
    # One file has one set of noise maps: both paths share theirs.
    for name, value in theirs.synthesis.paths[1].state_dict().items():
        if name.endswith("noise_const"):
            value.copy_(theirs.synthesis.paths[0].state_dict()[name])
    file = {"Gt": layouts.two_paths(theirs, low=2), "d": layouts.rosinality_discriminator(D)}
    checkpoint = recognised(file)
    assert checkpoint.kind == "agilegan-style"
    assert checkpoint.config["attributes"] == ("female", "male")
    networks = checkpoint.build()
    assert networks["generator"].synthesis.path_until == 16
    for path in (0, 1):
        same_pictures(networks["generator"], theirs, psi=1, path=path)
    same_scores(networks["discriminator"])


def test_dualstylegan_keeps_the_generator():
    state = prefixed("generator.", layouts.rosinality_generator(G))
    state |= {"style.1.weight": torch.zeros(4, 4), "res.0.conv.weight": torch.zeros(3)}
    checkpoint = recognised({"g_ema": state})
    assert checkpoint.kind == "dualstylegan"
    assert "DualStyleGAN's extrinsic style path (2 tensors" in checkpoint.notes[-1]
    same_pictures(checkpoint.build()["generator"], psi=1)


def test_missing_unexpected_and_misshapen_tensors_are_listed():
    state = layouts.rosinality_generator(G)
    surprises = {f"surprise{i}": torch.zeros(1) for i in range(11)}
    with pytest.raises(CheckpointError, match=r"11 tensors are no part of .* surprise7 and 3 more"):
        recognised({"g_ema": state | surprises})
    with pytest.raises(CheckpointError, match=r"b16.conv1.bias is \[3\], expected \[8\]"):
        recognised({"g_ema": state | {"convs.3.activate.bias": torch.zeros(3)}})
    with pytest.raises(CheckpointError, match=r"noise.weight is \[2\]; at most the last 0 axes"):
        recognised({"g_ema": state | {"convs.3.noise.weight": torch.zeros(2)}})
    with pytest.raises(CheckpointError, match=r"b16.torgb.bias is missing; the file is incomplete"):
        recognised({"g_ema": {n: v for n, v in state.items() if n != "to_rgbs.1.bias"}})
    with pytest.raises(CheckpointError, match=r"is missing and 1 more; the file"):
        lost = {f"convs.{i}.activate.bias" for i in range(6)} | {
            f"to_rgbs.{k}.bias" for k in range(3)
        }
        poor = {n: v for n, v in state.items() if n not in lost}
        recognised({"g_ema": poor, "latent_avg": W_AVG})
    with pytest.raises(CheckpointError, match=r"synthesis.b8.conv1.bias holds 1 NaN"):
        broken = state["convs.1.activate.bias"].clone()
        broken[2] = float("nan")
        recognised({"g_ema": state | {"convs.1.activate.bias": broken}})
    with pytest.raises(CheckpointError, match=r"^model.pt is incomplete or damaged .*KeyError"):
        discriminator = layouts.rosinality_discriminator(D)
        del discriminator["final_conv.0.weight"]
        recognised({"d": discriminator}, path="model.pt")


def test_filter_of_the_layouts_is_the_public_one():
    assert FILTER.sum() == 1 and FILTER[0, 0] == 1 / 64
