"""The operations against their specification, and their derivatives."""

import pytest
import torch
import torch.nn.functional as F

from engine.ops import strips
from engine.ops.bias_act import bias_act
from engine.ops.modulated_conv import modulated_conv2d, modulated_to_rgb
from engine.ops.upfirdn2d import blur, downsample2d, fir_kernel, upfirdn2d, upsample2d


@pytest.fixture
def x():
    return torch.randn(2, 3, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_fir_kernel_is_binomial():
    kernel = fir_kernel(4.0, like=torch.zeros(1))
    assert torch.isclose(kernel.sum(), torch.tensor(4.0))
    assert torch.allclose(kernel[1] * 16, torch.tensor([3.0, 9.0, 9.0, 3.0]))


def test_upsampling_keeps_a_constant_inside():
    up = upsample2d(torch.ones(1, 1, 4, 4))
    assert up.shape == (1, 1, 8, 8)
    assert torch.allclose(up[..., 1:-1, 1:-1], torch.ones(6, 6))
    assert up[0, 0, 0, 0] == 0.5625  # zero padding darkens the border: 0.75 squared


def test_fast_functions_follow_the_specification(x):
    assert torch.allclose(upsample2d(x), upfirdn2d(x, up=2, padding=(2, 1), gain=4.0))
    assert torch.allclose(downsample2d(x), upfirdn2d(x, down=2, padding=(1, 1)))
    for padding in ((2, 2), (1, 1), (2, 1)):
        assert torch.allclose(blur(x, padding, 4.0), upfirdn2d(x, padding=padding, gain=4.0))


def test_upfirdn2d_convolves_what_it_spreads():
    x = torch.tensor([[[[2.0, 3.0]]]])
    taps = (1.0, 10.0, 100.0)
    # Along a row 2 0 3 0 becomes 2 20 203 30 300; the single row gives a column of 1 10 100.
    full = upfirdn2d(x, taps, up=2, padding=(2, 2))
    assert full[0, 0, :3, :5].tolist() == [[r * v for v in (2, 20, 203, 30, 300)] for r in taps]
    assert torch.equal(upfirdn2d(x, taps, 2, 2, (2, 2)), full[..., ::2, ::2])


def test_negative_padding_crops(x):
    assert torch.equal(upfirdn2d(x, (1.0,), padding=(-1, -1)), x[..., 1:-1, 1:-1])


def test_bias_act_known_value():
    out = bias_act(torch.tensor([[1.0, -3.0]]), torch.tensor([1.0, 1.0]))
    assert torch.allclose(out, torch.tensor([[2.0, -0.4]]) * 2**0.5)


def test_bias_act_with_everything(x):
    bias, scale = torch.arange(3.0).double(), torch.full((2, 3), 0.5).double()
    noise = torch.ones(1, 1, 6, 8).double()
    out = bias_act(x, bias, scale=scale, noise=noise, gain=2.0, clamp=3.0)
    before = x / 2 + torch.arange(3.0).reshape(1, 3, 1, 1) + 1
    assert torch.allclose(out, torch.where(before > 0, before, 0.2 * before).mul(2).clamp(-3, 3))


def reference(x, weight, styles, bias, noise, upsample):
    """Grouped convolution over samples, straight from Equations 1 and 3 of the paper."""
    n, i, height, width = x.shape
    w = weight[None] * styles[:, None, :, None, None]
    w = w * (w.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    if upsample:
        pairs = zip(x, w, strict=True)
        rows = [F.conv_transpose2d(a[None], b.transpose(0, 1), stride=2) for a, b in pairs]
        y = upfirdn2d(torch.cat(rows), padding=(1, 1), gain=4.0)
    else:
        grouped = w.reshape(-1, i, 3, 3)
        y = F.conv2d(x.reshape(1, -1, height, width), grouped, padding=1, groups=n)
        y = y.reshape(n, -1, height, width)
    return bias_act(y + noise, bias)


@pytest.mark.parametrize("upsample", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_modulated_conv_follows_the_equations(n, upsample):
    g = torch.Generator().manual_seed(n)
    draw = [(n, 5, 8, 8), (4, 5, 3, 3), (n, 5), (4,), (n, 1, 16, 16) if upsample else (n, 1, 8, 8)]
    x, weight, styles, bias, noise = (
        torch.randn(shape, dtype=torch.float64, generator=g) for shape in draw
    )
    ours = modulated_conv2d(x, weight, styles, bias=bias, noise=noise, upsample=upsample)
    assert torch.allclose(ours, reference(x, weight, styles, bias, noise, upsample))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("upsample", [False, True])
def test_modulated_conv_is_twice_differentiable(n, upsample):
    g = torch.Generator().manual_seed(0)
    shapes = [(n, 2, 4, 4), (2, 2, 3, 3), (n, 2), (2,)]
    inputs = [
        torch.randn(shape, dtype=torch.float64, generator=g).requires_grad_() for shape in shapes
    ]

    def call(x, weight, styles, bias):
        return modulated_conv2d(x, weight, styles, bias=bias, upsample=upsample)

    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("n", [1, 2])
def test_to_rgb_follows_the_equations(n):
    g = torch.Generator().manual_seed(0)
    shapes = [(n, 5, 4, 4), (3, 5), (n, 5), (3,)]
    x, weight, styles, bias = (torch.randn(shape, generator=g) for shape in shapes)
    expected = torch.einsum("nihw,oi,ni->nohw", x, weight, styles) + bias[:, None, None]
    assert torch.allclose(modulated_to_rgb(x, weight, styles, bias), expected, atol=1e-5)


def test_inference_does_not_touch_its_input():
    x = torch.randn(1, 4, 8, 8)
    before = x.clone()
    with torch.no_grad():
        modulated_conv2d(x, torch.randn(4, 4, 3, 3), torch.ones(1, 4), bias=torch.zeros(4))
    assert torch.equal(x, before)


@pytest.mark.parametrize("height", [1, 7, 16])
@pytest.mark.parametrize("n", [1, 2])
def test_strips_give_the_same_numbers(monkeypatch, n, height):
    """Cut after any row, and also where the last strip has fewer rows than the others."""
    g = torch.Generator().manual_seed(height)
    shapes = [(n, 5, height, 6), (4, 5, 3, 3), (n, 5), (4,), (1, 1, 2 * height, 12)]
    x, weight, styles, bias, noise = (
        torch.randn(s, dtype=torch.float64, generator=g) for s in shapes
    )
    x = x.contiguous(memory_format=torch.channels_last)

    def call():
        return modulated_conv2d(x, weight, styles, bias=bias, noise=noise, upsample=True)

    whole = call()
    monkeypatch.setattr(strips, "LARGE", 0)
    for rows in (1, 3, 5):
        monkeypatch.setattr(strips, "STRIP", rows * strips._row_bytes(x, weight))
        assert strips.pays(x, weight)
        assert torch.allclose(call(), whole, rtol=1e-12, atol=1e-12)


def test_strips_are_for_large_pictures_without_a_gradient(monkeypatch):
    x, weight = torch.zeros(1, 4, 8, 8), torch.zeros(4, 4, 3, 3)
    assert not strips.pays(x, weight)  # small
    monkeypatch.setattr(strips, "LARGE", 0)
    assert strips.pays(x, weight)
    assert not strips.pays(x.to("meta"), weight)
    assert not strips.pays(x, weight.requires_grad_())
    with torch.no_grad():
        assert strips.pays(x, weight)
