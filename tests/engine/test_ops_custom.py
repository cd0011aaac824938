"""The operators around the kernels: derivatives, registrations, and what they replace.

The CPU runs their references through the derivatives and registrations that a GPU uses too.
"""

import pytest
import torch

from engine.ops import custom
from engine.ops.bias_act import bias_act
from engine.ops.dispatch import PAYS_FROM, fir_name
from engine.ops.launch import compute_dtype
from engine.ops.modulated_conv import modulated_conv2d
from engine.ops.upfirdn2d import blur, downsample2d, upsample2d

TAPS = [0.1, 0.2, 0.3, 0.4]
LAYOUTS = [torch.channels_last, torch.contiguous_format]


def draw(*shape, seed=0, layout=torch.contiguous_format):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x.contiguous(memory_format=layout) if x.ndim == 4 else x
    return x.requires_grad_()


def fir_act_case(factors, layout, noise_batch, clamp=1.5):
    """Arguments of `fir_act`, two samples of two channels."""
    up, down = factors
    size = [max(1, n * up // down - 1) for n in (4, 3)]
    tensors = (draw(2, 2), draw(2, seed=1), draw(noise_batch, 1, *size, seed=2))
    return (draw(2, 2, 4, 3, layout=layout), TAPS, up, down, 1, size, *tensors, 0.2, 1.4, clamp)


CASES = {
    "filter": (custom.fir_act, fir_act_case((1, 1), LAYOUTS[0], 1)),
    "up": (custom.fir_act, fir_act_case((2, 1), LAYOUTS[1], 2, None)),
    "down": (custom.fir_act, fir_act_case((1, 2), LAYOUTS[0], 2)),
    "linear": (
        custom.fir_act,
        (draw(1, 2, 3, 3), TAPS, 2, 1, 2, [6, 6], None, None, None, 1.0, 1.0, None),
    ),
    "activation": (
        custom.fir_act,
        (draw(2, 3, 2, 2), [1.0], 1, 1, 0, [2, 2], None, draw(3), None, 0.2, 1.4, None),
    ),
    "gradient": (custom.act_grad, (draw(1, 2, 3, 3), draw(1, 2, 3, 3, seed=1), 0.2, 1.4, 1.0)),
    "modulate": (custom.modulate, (draw(3, 2, 3, 3), draw(2), 1.4, torch.float64, True)),
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives(case):
    """First and second, of the formulas that the kernels use (R1 and path length need both)."""
    op, arguments = CASES[case]
    assert torch.autograd.gradcheck(op, arguments, fast_mode=False)
    assert torch.autograd.gradgradcheck(op, arguments)


@pytest.mark.parametrize("case", CASES)
def test_registrations(case):
    op, arguments = CASES[case]
    torch.library.opcheck(op, arguments)


def test_layouts_are_kept():
    for layout in LAYOUTS:
        y = custom.fir_act(*fir_act_case((2, 1), layout, 1))
        assert y.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("upsample", [False, True])
def test_fused_convolution_follows_plain_torch(n, upsample, monkeypatch):
    """`modulated_conv2d` as on a GPU, with the operators' references in place of their kernels."""
    x, weight, styles, bias = draw(n, 2, 4, 4), draw(3, 2, 3, 3, seed=1), draw(n, 2), draw(3)
    noise = draw(1, 1, *[8 if upsample else 4] * 2)

    def call(*operands):
        *first, bias, noise = operands
        return modulated_conv2d(*first, bias=bias, noise=noise, upsample=upsample, clamp=2.0)

    operands = (x, weight, styles, bias, noise)
    expected = call(*operands)
    wanted = torch.autograd.grad(expected.square().sum(), operands)
    asked = []
    monkeypatch.setattr(
        "engine.ops.modulated_conv.uses_kernel", lambda op, *_: asked.append(op) or True
    )
    fused = call(*operands)
    assert torch.allclose(fused, expected)
    found = torch.autograd.grad(fused.square().sum(), operands)
    assert all(torch.allclose(a, b) for a, b in zip(found, wanted, strict=True))
    tail = fir_name(4, 1, 1) if upsample else "bias_act"
    assert asked == ([tail, "modulate"] if n == 1 else [tail])


def test_public_functions_reach_their_operators(monkeypatch):
    x = draw(1, 2, 6, 6)
    calls = {
        "bias_act": lambda: bias_act(x, draw(2), scale=draw(1, 2), noise=draw(1, 1, 6, 6), clamp=1),
        fir_name(4, 1, 1): lambda: blur(x, (2, 1), gain=4.0, bias=draw(2)),
        fir_name(4, 2, 1): lambda: upsample2d(x),
        fir_name(4, 1, 2): lambda: downsample2d(x),
    }
    plain = {op: call() for op, call in calls.items()}
    asked = []
    for module in ("bias_act", "upfirdn2d"):
        monkeypatch.setattr(
            f"engine.ops.{module}.uses_kernel", lambda op, *_: asked.append(op) or True
        )
    for op, call in calls.items():
        assert torch.allclose(call(), plain[op])
    assert set(asked) == set(calls) == set(PAYS_FROM) - {"modulate"}


@pytest.mark.parametrize("op", PAYS_FROM)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trial_of_a_kernel_tells_right_from_wrong(op, layout, monkeypatch):
    x = torch.zeros(1, 2, 2, 2).contiguous(memory_format=layout)
    assert custom.disagreement(op, x) == ""
    call, operands = custom.trial(op, x.dtype, layout)
    answers = iter([call(*operands), call(*operands) + 0.01])
    monkeypatch.setattr(custom, "trial", lambda *_: ((lambda *_: next(answers)), operands))
    assert "is off by 0.01 from plain PyTorch" in custom.disagreement(op, x)


def test_computing_is_in_float32_but_for_float64():
    assert compute_dtype(torch.float16) is compute_dtype(torch.float32) is torch.float32
    assert compute_dtype(torch.float64) is torch.float64
