"""Weight interpolation and layer swap on tiny state dicts, and on a real tiny generator."""

import pytest
import torch

from engine.errors import CheckpointError, OptionError
from engine.models.stylegan2 import Generator, generator_from_state
from engine.surgery import (
    block_resolution,
    expand_paths,
    interpolate,
    swap_layers,
    with_shared,
    without_color,
    without_shared,
)

TINY = {4: 8, 8: 8, 16: 8}


def weights(value: float, *names: str) -> dict[str, torch.Tensor]:
    return {name: torch.full((2,), value) for name in names}


PLAIN = (
    "mapping.fc0.weight",
    "mapping.w_avg",
    "synthesis.b4.const",
    "synthesis.b8.conv0.weight",
    "synthesis.b8.conv1.noise_strength",
    "synthesis.b16.conv0.weight",
    "synthesis.b16.torgb.weight",
)
PATHS = (
    "mapping.fc0.weight",
    "mapping.w_avg",
    "synthesis.b4.const",
    "synthesis.paths.0.b8.conv0.weight",
    "synthesis.paths.1.b8.conv0.weight",
    "synthesis.b16.conv0.weight",
)


def test_block_resolution_reads_the_name():
    assert block_resolution("synthesis.b8.conv0.affine.weight") == 8
    assert block_resolution("synthesis.paths.1.b16.torgb.bias") == 16
    assert block_resolution("mapping.fc0.weight") is None


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0])
def test_interpolate_is_linear(t: float):
    mixed = interpolate(weights(1.0, *PLAIN), weights(5.0, *PLAIN), t)
    assert all(value.tolist() == [1 + 4 * t] * 2 for value in mixed.values())


def test_interpolate_keeps_type_and_counters_and_copies():
    a = {"x": torch.ones(2, dtype=torch.float16), "n": torch.tensor(3)}
    b = {"x": torch.zeros(2), "n": torch.tensor(9)}
    mixed = interpolate(a, b, 0.5)
    assert mixed["x"].dtype == torch.float16 and mixed["n"] == 3
    assert mixed["n"] is not a["n"]


def test_interpolate_refuses_other_names_and_shapes():
    with pytest.raises(CheckpointError, match=r"different tensors \(1, for example b\)"):
        interpolate(weights(1.0, "a", "b"), weights(1.0, "a"), 0.5)
    with pytest.raises(CheckpointError, match=r"a is \[2\] in one generator and \[3\]"):
        interpolate({"a": torch.zeros(2)}, {"a": torch.zeros(3)}, 0.5)


@pytest.mark.parametrize("target, mapping", [("low", 1.0), ("high", 5.0)])
def test_swap_takes_low_blocks_from_low_and_the_mapping_from_the_target(target, mapping):
    swapped = swap_layers(weights(1.0, *PLAIN), weights(5.0, *PLAIN), 8, target=target)
    assert list(swapped) == list(PLAIN)
    found = {name: value[0].item() for name, value in swapped.items()}
    assert found == {
        "mapping.fc0.weight": mapping,
        "mapping.w_avg": mapping,
        "synthesis.b4.const": 1.0,
        "synthesis.b8.conv0.weight": 1.0,
        "synthesis.b8.conv1.noise_strength": 1.0,
        "synthesis.b16.conv0.weight": 5.0,
        "synthesis.b16.torgb.weight": 5.0,
    }


def test_a_single_path_donor_serves_all_paths_of_the_target():
    target, source = weights(1.0, *PATHS), weights(5.0, *PLAIN)
    swapped = swap_layers(source, target, 8, target="high")
    assert set(swapped) == set(PATHS)
    assert swapped["synthesis.paths.1.b8.conv0.weight"][0] == 5.0
    assert swapped["synthesis.b16.conv0.weight"][0] == 1.0
    swapped = swap_layers(target, source, 4)
    assert swapped["synthesis.paths.0.b8.conv0.weight"][0] == 5.0
    assert swapped["synthesis.b4.const"][0] == 1.0


def test_swap_refuses_what_does_not_fit():
    plain, paths = weights(1.0, *PLAIN), weights(5.0, *PATHS)
    with pytest.raises(OptionError, match="swap layers at 32 px; accepted .*: 4, 8"):
        swap_layers(plain, plain, 32)
    with pytest.raises(OptionError, match="at 16 px"):  # nothing would be left to take from high
        swap_layers(plain, plain, 16)
    with pytest.raises(CheckpointError, match="has synthesis.b8.conv0.weight, the other neither"):
        swap_layers(paths, plain, 8, target="high")


def test_swapped_weights_make_the_generator_of_the_target():
    torch.manual_seed(0)
    low = Generator(16, z_dim=8, w_dim=8, num_layers=2, channels=TINY).eval()
    high = Generator(16, z_dim=8, w_dim=8, num_layers=2, channels=TINY).eval()
    joined = generator_from_state(swap_layers(low.state_dict(), high.state_dict(), 8)).eval()
    z = torch.randn(2, 8)
    ws = torch.randn(2, joined.num_ws, 8)
    with torch.no_grad():
        torch.testing.assert_close(joined.mapping(z), low.mapping(z))
        features = low.synthesis.features(ws, until=8)
        torch.testing.assert_close(joined.synthesis.features(ws, until=8), features)
        for net in (joined, high):  # feature hand-over leaves the colours of the blocks below
            for block in (net.synthesis.b4, net.synthesis.b8):
                block.torgb.weight.zero_()
        handed_over = high.synthesis(ws, replace={8: features})
        torch.testing.assert_close(joined.synthesis(ws), handed_over)


def test_without_color_all_channels_are_the_luma():
    torch.manual_seed(1)
    net = Generator(
        16, z_dim=8, w_dim=8, num_layers=2, channels=TINY, num_paths=2, path_until=8
    ).eval()
    gray = generator_from_state(without_color(net.state_dict())).eval()
    ws = torch.randn(2, net.num_ws, 8)
    luma = torch.tensor([0.299, 0.587, 0.114])
    for path in (0, 1):
        with torch.no_grad():
            before, after = net.synthesis(ws, path=path), gray.synthesis(ws, path=path)
        expected = torch.einsum("c,nchw->nhw", luma, before)
        torch.testing.assert_close(after, expected[:, None].expand_as(after), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("num_paths", [1, 2])
def test_what_a_style_leaves_out_comes_back_from_its_source(num_paths):
    source = Generator(16, z_dim=8, w_dim=8, num_layers=1, channels=dict.fromkeys((4, 8, 16), 4))
    state = source.state_dict()
    style = expand_paths(state, num_paths, 16, 16)
    changed = next(name for name in style if name.endswith("b16.conv1.weight"))
    style[changed] = style[changed] + 1
    kept = without_shared(style, state)
    assert changed in kept and not any(name.startswith("synthesis.b8.") for name in kept)
    whole = with_shared(kept, state)
    assert whole.keys() == style.keys()
    assert all(torch.equal(whole[name], style[name]) for name in style)
    stored = {name: value.half().float() for name, value in state.items()}
    stored["synthesis.b4.const"] += 1
    assert without_shared(stored, state).keys() == {"synthesis.b4.const"}, "as packs store them"
    mixed = {k: (0.4 * v + 0.6 * v).half().float() for k, v in stored.items()}
    assert without_shared(mixed, state).keys() == {"synthesis.b4.const"}, "a rounding away"
    assert without_shared(state, state).keys() == state.keys(), "a generator remains one"
