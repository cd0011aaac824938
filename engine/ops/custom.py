"""The kernels as operators of torch, differentiable any number of times.

Three operators: `fir_act` (filter, scale, bias, noise, activation), `act_grad` (the activation's
gradient) and `modulate` (the weights of one sample). Each runs its CUDA kernel on CUDA tensors and
the plain PyTorch reference on CPU tensors; derivatives and fake tensors are the same for both, so
that they are checked where there is no GPU. Imported at the first use of a kernel, not before.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.errors import KernelError
from engine.ops.bias_act import bias_act_reference
from engine.ops.dispatch import fir_name
from engine.ops.launch import (
    CPP_NAMES,
    FACTORS,
    Epilogue,
    compute_dtype,
    memory_format,
    plan_fir_act,
    plan_modulate,
)
from engine.ops.modulated_conv import EPSILON, modulate_reference
from engine.ops.nvrtc import launch
from engine.ops.upfirdn2d import upfirdn2d_reference

NO_FILTER = [1.0]
# Of trials, whose results are of order 1: rounding, and the order of sums.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 8e-2}


def _empty(x: Tensor, size: Sequence[int]) -> Tensor:
    """Room for a result of `size` in the layout of `x`."""
    like = {"dtype": x.dtype, "device": x.device, "memory_format": memory_format(x)}
    return torch.empty((*x.shape[:2], *size), **like)


@torch.library.custom_op("stylize::fir_act", mutates_args=(), device_types="cpu")
def fir_act(
    x: Tensor,
    taps: list[float],
    up: int,
    down: int,
    before: int,
    size: list[int],
    scale: Tensor | None,
    bias: Tensor | None,
    noise: Tensor | None,
    slope: float,
    gain: float,
    clamp: float | None,
) -> Tensor:
    """`clamp(gain * leaky_relu(scale * upfirdn2d(x) + bias + noise, slope))`.

    Args:
        x: [N, C, H, W].
        taps: four of a separable filter (sum 1 for no gain), or [1.0] for none.
        up, down: factors.
        before: zeros before the first row and column of the up-sampled picture.
        size: (height, width) of the result.
        scale, bias, noise: [N, C], [C], [N or 1, 1, *size] in `compute_dtype`, or None.
        slope, gain, clamp: of the activation; gain is positive.
    """
    y = x
    if taps != NO_FILTER:
        y = upfirdn2d_reference(x, taps, (up, down), before, size)
    y = bias_act_reference(y, bias, scale, noise, slope=slope, gain=gain, clamp=clamp)
    return y.contiguous(memory_format=memory_format(x))


@fir_act.register_kernel("cuda")
def _fir_act_cuda(x, taps, up, down, before, size, scale, bias, noise, slope, gain, clamp):
    y = _empty(x, size)
    x = x.contiguous(memory_format=memory_format(x))
    scale, bias, noise = (None if t is None else t.contiguous() for t in (scale, bias, noise))
    epilogue = Epilogue(scale, bias, noise, slope, gain, clamp)
    launch(plan_fir_act(x, y, taps, (up, down), before, epilogue), x.device)
    return y


@fir_act.register_fake
def _fir_act_fake(x, taps, up, down, before, size, scale, bias, noise, slope, gain, clamp):
    return _empty(x, size)


def _save_fir_act(ctx: Any, inputs: tuple, output: Tensor) -> None:
    x, taps, up, down, before, _, scale, bias, noise, slope, gain, clamp = inputs
    ctx.activation = (slope, gain, clamp)
    ctx.shared_noise = noise is not None and noise.shape[0] == 1
    # The adjoint: factors exchanged, filter turned round, cropped to what there was.
    ctx.adjoint = (taps[::-1], down, up, len(taps) - 1 - before, list(x.shape[2:]))
    wants_x = scale is not None and ctx.needs_input_grad[6]
    active = (slope, gain, clamp) != (1.0, 1.0, None)
    ctx.save_for_backward(x if wants_x else None, scale, output if active else None)


def _fir_act_backward(ctx: Any, grad: Tensor) -> tuple:
    x, scale, y = ctx.saved_tensors
    need = ctx.needs_input_grad
    before_act = grad if y is None else act_grad(grad, y, *ctx.activation)
    identity = (None, None, 1.0, 1.0, None)
    d_x = d_scale = d_bias = d_noise = None
    if x is not None:  # <g, s F x> = <F' g, s x> per channel: one filtering serves both gradients
        back = fir_act(before_act, *ctx.adjoint, None, *identity)
        d_scale = (back * x).sum((2, 3), dtype=scale.dtype)
        d_x = back * scale.to(back.dtype)[:, :, None, None]
    elif need[0]:  # a scale per channel and the filter commute
        d_x = fir_act(before_act, *ctx.adjoint, scale, *identity)
    dtype = compute_dtype(grad.dtype)
    if need[7]:
        d_bias = before_act.sum((0, 2, 3), dtype=dtype)
    if need[8]:
        d_noise = before_act.sum((0, 1) if ctx.shared_noise else 1, dtype=dtype, keepdim=True)
    return d_x, None, None, None, None, None, d_scale, d_bias, d_noise, None, None, None


fir_act.register_autograd(_fir_act_backward, setup_context=_save_fir_act)


@torch.library.custom_op("stylize::act_grad", mutates_args=(), device_types="cpu")
def act_grad(grad: Tensor, y: Tensor, slope: float, gain: float, clamp: float | None) -> Tensor:
    """The gradient before the activation, of `grad` after it, where it gave `y` [N, C, H, W]."""
    before_act = torch.where(y > 0, grad * gain, grad * (gain * slope))
    if clamp is not None:
        before_act = before_act * (y.abs() < clamp)
    return before_act.contiguous(memory_format=memory_format(y))


@act_grad.register_kernel("cuda")
def _act_grad_cuda(grad, y, slope, gain, clamp):
    grad = grad.contiguous(memory_format=memory_format(y))
    before_act = torch.empty_like(y)
    epilogue = Epilogue(slope=slope, gain=gain, clamp=clamp)
    launch(plan_fir_act(grad, before_act, NO_FILTER, (1, 1), 0, epilogue, saved=y), y.device)
    return before_act


@act_grad.register_fake
def _act_grad_fake(grad, y, slope, gain, clamp):
    return torch.empty_like(y).contiguous(memory_format=memory_format(y))


def _save_act_grad(ctx: Any, inputs: tuple, output: Tensor) -> None:
    _, y, *ctx.activation = inputs
    ctx.save_for_backward(y)


def _act_grad_backward(ctx: Any, grad: Tensor) -> tuple:
    """Linear in `grad`; piecewise constant in y, whose gradient is zero."""
    (y,) = ctx.saved_tensors
    return act_grad(grad, y, *ctx.activation), None, None, None, None


act_grad.register_autograd(_act_grad_backward, setup_context=_save_act_grad)


@torch.library.custom_op("stylize::modulate", mutates_args=(), device_types="cpu")
def modulate(
    weight: Tensor, styles: Tensor, gain: float, dtype: torch.dtype, channels_last: bool
) -> Tensor:
    """`gain * w s / sqrt(sum (w s)^2 + 1e-8)`: weight [O, I, k, k] of one sample, styles [I]."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return modulate_reference(weight, styles, gain).to(dtype).contiguous(memory_format=layout)


@modulate.register_kernel("cuda")
def _modulate_cuda(weight, styles, gain, dtype, channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    y = torch.empty_like(weight, dtype=dtype, memory_format=layout)
    if compute_dtype(dtype) != weight.dtype or styles.dtype != weight.dtype:
        raise KernelError(
            f"weight is {weight.dtype} and styles are {styles.dtype} for a result of {dtype}; "
            f"{compute_dtype(dtype)} is needed for both"
        )
    plan = plan_modulate(weight.contiguous(), styles.contiguous(), y, gain, EPSILON)
    launch(plan, weight.device)
    return y


@modulate.register_fake
def _modulate_fake(weight, styles, gain, dtype, channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return torch.empty_like(weight, dtype=dtype, memory_format=layout)


def _save_modulate(ctx: Any, inputs: tuple, output: Tensor) -> None:
    weight, styles, ctx.gain, _, _ = inputs
    ctx.save_for_backward(weight, styles)


def _modulate_backward(ctx: Any, grad: Tensor) -> tuple:
    """In operations of torch, which differentiate themselves: weights are small beside pictures."""
    weight, styles = ctx.saved_tensors
    grad = grad.to(weight.dtype)
    styles = styles[:, None, None]
    modulated = weight * styles
    inverse = (modulated.square().sum((1, 2, 3), keepdim=True) + EPSILON).rsqrt()
    along = (grad * modulated).sum((1, 2, 3), keepdim=True) * inverse.square()
    d_modulated = ctx.gain * inverse * (grad - modulated * along)
    return d_modulated * styles, (d_modulated * weight).sum((0, 2, 3)), None, None, None


modulate.register_autograd(_modulate_backward, setup_context=_save_modulate)


def act(x: Tensor, then: Epilogue) -> Tensor:
    """`fir_act` without a filter; see `engine.ops.bias_act.bias_act`."""
    return fir_act(x, NO_FILTER, 1, 1, 0, list(x.shape[2:]), *_operands(x, then))


def fir(
    x: Tensor,
    taps: Sequence[float],
    factors: tuple[int, int],
    before: int,
    size: Sequence[int],
    *,
    gain: float = 1.0,
    then: Epilogue | None = None,
) -> Tensor:
    """`fir_act`, with the filter times `gain`; `then` is what follows, nothing if None."""
    taps = [tap * math.sqrt(gain) for tap in taps]  # once along each axis
    return fir_act(x, taps, *factors, before, list(size), *_operands(x, then or Epilogue()))


def _operands(x: Tensor, then: Epilogue) -> tuple:
    """The last arguments of `fir_act`."""
    dtype = compute_dtype(x.dtype)
    tensors = (then.scale, then.bias, then.noise)
    wide = (None if t is None else t.to(dtype) for t in tensors)
    return (*wide, then.slope, then.gain, then.clamp)


def disagreement(op: str, x: Tensor) -> str:
    """Run the kernel that `op` has for tensors like `x` beside its reference; "" if they agree.

    Args:
        op: a key of `engine.ops.dispatch.PAYS_FROM`.
        x: its dtype, device and layout count.

    Raises:
        KernelError: it could not be built or started.
    """
    if x.dtype not in CPP_NAMES:
        accepted = ", ".join(str(d).removeprefix("torch.") for d in CPP_NAMES)
        raise KernelError(f"the tensor is {x.dtype}; kernels take {accepted}")
    call, operands = trial(op, x.dtype, memory_format(x))
    expected = call(*(t.double() for t in operands)).double()
    found = call(*(t.to(x.device) for t in operands)).cpu().double()
    error = (found - expected).abs().max().item()
    if not error <= TOLERANCES[x.dtype]:
        return f"on {x.device} in {x.dtype} it is off by {error:.3g} from plain PyTorch"
    return ""


def trial(
    op: str, dtype: torch.dtype, layout: torch.memory_format
) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """Return a call of `op`'s kernel and small tensors of order 1 for it, on the CPU."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, kind: torch.dtype = dtype) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(kind)

    compute = compute_dtype(dtype)
    last = layout == torch.channels_last
    if op == "modulate":
        weights = [draw(5, 8, 3, 3, kind=compute), draw(8, kind=compute)]
        return (lambda w, s: modulate(w, s, 1.0, dtype, last)), weights
    x = draw(2, 16, 8, 12).contiguous(memory_format=layout)
    if op == "bias_act":
        rest = [draw(2, 16), draw(16), draw(1, 1, 8, 12)]
        return (lambda x, *rest: act(x, Epilogue(*rest, 0.2, 1.0, 1.5))), [x, *rest]
    up, down = factors = next(f for f in FACTORS if fir_name(4, *f) == op)
    size = [n * up // down - 1 for n in (8, 12)]
    return (lambda x: fir(x, (0.1, 0.4, 0.3, 0.2), factors, 1, size)), [x]
