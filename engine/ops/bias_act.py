"""Bias, leaky ReLU with slope 0.2, gain sqrt(2): StyleGAN2's activation."""

import math

import torch
import torch.nn.functional as F

from engine.ops.dispatch import Impl, uses_kernel

SLOPE = 0.2
GAIN = math.sqrt(2.0)


def bias_act(
    x: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    scale: torch.Tensor | None = None,
    noise: torch.Tensor | None = None,
    gain: float = GAIN,
    clamp: float | None = None,
    impl: Impl = "auto",
) -> torch.Tensor:
    """`leaky_relu(scale * x + bias + noise, 0.2) * gain` within [-clamp, clamp].

    Args:
        x: [N, C, ...]; there is a kernel for [N, C, H, W].
        bias: [C]; None: nothing.
        scale: [N, C]; None: 1.
        noise: broadcastable to [N, C, H, W] as [N or 1, 1, H, W]; None: nothing.
        gain: positive.
        clamp: the largest magnitude; None: no bound.
        impl: "ref" is plain PyTorch and the specification, "cuda" the kernel, "auto" the kernel
            where it pays.

    Raises:
        KernelError: impl is "cuda" and the kernel cannot run; the message says why.
    """
    if uses_kernel("bias_act", impl, x):
        from engine.ops.custom import Epilogue, act

        return act(x, Epilogue(scale, bias, noise, SLOPE, gain, clamp))
    return bias_act_reference(x, bias, scale, noise, gain=gain, clamp=clamp)


def bias_act_reference(
    x: torch.Tensor,
    bias: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
    noise: torch.Tensor | None = None,
    *,
    slope: float = SLOPE,
    gain: float = GAIN,
    clamp: float | None = None,
) -> torch.Tensor:
    """The specification of `bias_act`, in the dtype of `x`."""
    if scale is not None:
        x = x * scale.to(x.dtype)[:, :, None, None]
    if bias is not None:
        x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    if noise is not None:
        x = x + noise.to(x.dtype)
    return clamped(F.leaky_relu(x, slope) * gain, clamp)


def clamped(x: torch.Tensor, limit: float | None) -> torch.Tensor:
    """`x` within [-limit, limit]; None: as it is. In place unless a gradient is recorded.

    NVIDIA's `conv_clamp` of 256 bounds what a layer gives after the activation and its gain of
    sqrt(2), so that float16 cannot overflow (Karras et al. 2020, arXiv 2006.06676, appendix D).
    """
    if limit is None:
        return x
    if torch.is_grad_enabled() and x.requires_grad:
        return x.clamp(-limit, limit)
    return x.clamp_(-limit, limit)


def leaky_relu_(x: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU with slope 0.2; in place unless a gradient is being recorded."""
    if torch.is_grad_enabled() and x.requires_grad:
        return F.leaky_relu(x, SLOPE)
    return F.leaky_relu_(x, SLOPE)
