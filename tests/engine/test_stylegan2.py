"""StyleGAN2 against the public implementations' numbers, and what is ours on top of it."""

import pytest
import torch

from engine.checkpoints import Contents, recognise
from engine.errors import CheckpointError, OptionError
from engine.models import stylegan2
from engine.models.stylegan2 import Generator, generator_from_state
from engine.ops.upfirdn2d import upsample2d
from engine.surgery import expand_paths

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 4}


def tensors(arrays):
    return {name: torch.as_tensor(value) for name, value in arrays.items()}


def tiny(**more):
    torch.manual_seed(0)
    G = Generator(32, z_dim=16, w_dim=16, num_layers=2, channels=CHANNELS, **more)
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    return G.eval()


@pytest.fixture
def rosinality(golden):
    case = golden("rosinality_generator_64")
    inputs = tensors(case.inputs)
    file = {"g_ema": tensors(case.weights), "latent_avg": inputs["latent_avg"]}
    return case, inputs, recognise(Contents("torch", file)).build()["generator"]


@torch.no_grad()
def test_rosinality_generator(rosinality):
    case, inputs, G = rosinality
    case.check("w", G.mapping(inputs["z1"]))
    case.check("image_psi1", G(inputs["z1"]))
    case.check("image_psi0.7", G(inputs["z1"], truncation_psi=0.7))
    mixed = torch.cat([G.ws(inputs["z1"])[:, :4], G.ws(inputs["z2"])[:, 4:]], dim=1)
    case.check("image_mix", G.synthesis(mixed))
    case.check("image_ws", G.synthesis(inputs["ws"]))


@torch.no_grad()
def test_rosinality_generator_one_at_a_time(rosinality):
    """A batch of one takes another way through the modulated convolution."""
    case, inputs, G = rosinality
    case.check("image_psi1", torch.cat([G(z[None]) for z in inputs["z1"]]))


@pytest.mark.slow
@torch.no_grad()
def test_rosinality_generator_1024(golden):
    case = golden("rosinality_generator_1024")
    G = recognise(Contents("torch", tensors(case.weights))).build()["generator"]
    case.check("image_ws", G.synthesis(torch.from_numpy(case.inputs["ws"])), 1e-3)


@torch.no_grad()
def test_nvidia_generator(golden):
    case = golden("nvidia_generator_64")
    G = recognise(Contents("torch", tensors(case.weights))).build()["generator"]
    z = torch.from_numpy(case.inputs["z"])
    case.check("ws_psi0.7_cutoff4", G.ws(z, truncation_psi=0.7, truncation_cutoff=4))
    case.check("image_psi1", G(z))
    case.check("image_psi0.5", G(z, truncation_psi=0.5))
    case.check("image_nonoise", G(z, noise="none"))


@torch.no_grad()
def test_bfloat16_is_close():
    G, z = tiny(), torch.randn(3, 16)
    expected = G(z)
    G.synthesis.dtype = torch.bfloat16
    for picture in (G(z), torch.cat([G(row[None]) for row in z])):
        assert picture.dtype == torch.float32
        assert (picture - expected).abs().max() < 0.05 * expected.abs().max()


@torch.no_grad()
def test_sizes_are_read_off_the_weights():
    G = tiny(num_paths=2, path_until=16)
    again = generator_from_state(G.state_dict())
    assert again.synthesis.channels == CHANNELS
    assert (again.num_ws, again.synthesis.num_paths, again.synthesis.path_until) == (8, 2, 16)
    ws = G.ws(torch.randn(2, 16))
    assert torch.equal(again.synthesis(ws, path=1), G.synthesis(ws, path=1))


def test_wrong_weights_are_listed():
    state = tiny().state_dict()
    state["synthesis.b8.conv0.bias"] = torch.zeros(3)
    del state["synthesis.b32.torgb.bias"]
    with pytest.raises(CheckpointError, match=r"b8.conv0.bias is \[3\], expected \[8\]") as error:
        generator_from_state(state)
    assert "b32.torgb.bias is missing" in str(error.value)
    with pytest.raises(CheckpointError, match="no StyleGAN2 generator"):
        generator_from_state({"weight": torch.zeros(1)})


@torch.no_grad()
def test_a_small_picture_is_the_skip_below_the_rest():
    torch.manual_seed(0)
    G = Generator(32, z_dim=16, w_dim=16, num_layers=1, channels=dict.fromkeys((4, 8, 16, 32), 8))
    ws = torch.randn(2, G.num_ws, 16)
    small = G.synthesis(ws, until=8)
    assert small.shape == (2, 3, 8, 8) and torch.equal(G.synthesis(ws, until=32), G.synthesis(ws))
    for size in (16, 32):  # silent above: what is left is the small picture, enlarged
        torch.nn.init.zeros_(G.synthesis.block(size).torgb.weight)
    enlarged = upsample2d(upsample2d(small))
    torch.testing.assert_close(G.synthesis(ws), enlarged)


def test_features_replace_gives_the_same_picture():
    """Handing a generator its own features changes nothing; another's change the picture."""
    G = tiny()
    first, second = G.ws(torch.randn(2, 16)).split(1)
    own = G.synthesis.features(first, until=16)
    assert own.shape == (1, 8, 16, 16)
    assert torch.equal(G.synthesis(first, replace={16: own}), G.synthesis(first))
    assert not torch.allclose(G.synthesis(second, replace={16: own}), G.synthesis(second))


@torch.no_grad()
def test_attribute_paths_start_equal_and_are_separate():
    G = tiny()
    two = generator_from_state(expand_paths(G.state_dict(), 2, path_until=16))
    ws = G.ws(torch.randn(2, 16))
    assert torch.equal(two.synthesis(ws, path=0), G.synthesis(ws))
    assert torch.equal(two.synthesis(ws, path=1), G.synthesis(ws))
    two.synthesis.paths[1]["b8"].conv0.weight.mul_(2).add_(0.1)
    assert torch.equal(two.synthesis(ws, path=0), G.synthesis(ws))
    assert not torch.allclose(two.synthesis(ws, path=1), G.synthesis(ws))


@torch.no_grad()
@pytest.mark.parametrize("first, last", [(8, 16), (16, 32), (32, 32)])
def test_paths_may_lie_in_high_layers(first, last):
    """AgileGAN, section 3.3: "can also be placed into the higher layers"; read off the weights."""
    G = tiny()
    state = expand_paths(G.state_dict(), 3, path_from=first, path_until=last)
    three = generator_from_state(state).synthesis
    assert (three.num_paths, three.path_from, three.path_until) == (3, first, last)
    own = {int(key.split(".b")[1].split(".")[0]) for key in state if "paths.2" in key}
    assert own == {r for r in (8, 16, 32) if first <= r <= last}
    ws = G.ws(torch.randn(2, 16))
    three.paths[2][f"b{last}"].torgb.bias.add_(1)
    assert torch.equal(three(ws, path=1), G.synthesis(ws))
    assert not torch.allclose(three(ws, path=2), G.synthesis(ws))


@pytest.mark.parametrize("first, last", [(4, 8), (16, 8), (8, 64), (12, 16)])
def test_paths_that_do_not_exist_are_refused(first, last):
    with pytest.raises(OptionError, match=f"from {first} to {last} px; accepted .* 8, 16, 32"):
        expand_paths(tiny().state_dict(), 2, path_from=first, path_until=last)


@torch.no_grad()
def test_random_noise_comes_from_the_generator():
    G, ws = tiny(), torch.randn(1, 8, 16)
    pictures = [
        G.synthesis(ws, "random", generator=torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(pictures[0], pictures[1])
    assert not torch.equal(pictures[0], pictures[2])
    own = G.synthesis(ws, lambda shape, device: torch.zeros(shape, device=device))
    assert torch.equal(own, G.synthesis(ws, "none"))


def test_wrong_codes_are_refused():
    G = tiny()
    with pytest.raises(ValueError, match=r"expected ws \[N, 8, 16\], got \[1, 7, 16\]"):
        G.synthesis(torch.zeros(1, 7, 16))
    with pytest.raises(ValueError, match=r"expected z \[N, 16\]"):
        G.mapping(torch.zeros(1, 8, 16))
    with pytest.raises(ValueError, match="path 1 does not exist"):
        G.synthesis(torch.zeros(1, 8, 16), path=1)


def test_conv_clamp_bounds_every_layer():
    """Each convolution and ToRGB is clamped on its own, after activation and gain."""
    G, limit = tiny(), 0.5
    bounded = generator_from_state(G.state_dict(), conv_clamp=limit)
    ws = G.ws(torch.randn(2, 16))
    plain = G.synthesis.features(ws, until=4)
    assert plain.abs().max() > 2 * limit
    x = bounded.synthesis.features(ws, until=4)
    assert torch.equal(x, plain.clamp(-limit, limit))
    expected = G.synthesis.b4.torgb(100 * x, ws[:, 1]).clamp(-limit, limit)
    assert torch.equal(bounded.synthesis.b4.torgb(100 * x, ws[:, 1]), expected)
    assert bounded.synthesis.features(ws, until=32).abs().max() == limit
    loose = generator_from_state(G.state_dict(), conv_clamp=1e6)
    assert torch.equal(loose.synthesis(ws), G.synthesis(ws))


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_conv_clamp_keeps_float16_finite(batch, monkeypatch):
    state = {
        k: v * 1e5 if k.endswith("noise_strength") else v for k, v in tiny().state_dict().items()
    }
    z = torch.randn(batch, 16)
    for conv_clamp in (None, 256.0):  # networks trained without one get FLOAT16_CLAMP
        G = generator_from_state(state, conv_clamp)
        G.synthesis.dtype = torch.float16
        assert G(z).isfinite().all()
    monkeypatch.setattr(stylegan2, "FLOAT16_CLAMP", None)
    G = generator_from_state(state)
    G.synthesis.dtype = torch.float16
    assert not G(z).isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize("batch", [1, 2])
def test_float16_does_not_depend_on_the_size_of_weights(batch):
    """Filters are free in size, demodulation divides it out: float16 must not overflow on it."""
    G = tiny()
    for layer in (m for m in G.modules() if isinstance(m, stylegan2.SynthesisLayer)):
        layer.weight.mul_(1e4)
    ws = torch.randn(batch, G.num_ws, 16, generator=torch.Generator().manual_seed(0))
    expected = G.synthesis(ws)
    G.synthesis.dtype = torch.float16
    assert (G.synthesis(ws) - expected).abs().max() < 0.01 * expected.abs().max()
