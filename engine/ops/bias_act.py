"""Bias, leaky ReLU with slope 0.2, gain sqrt(2): StyleGAN2's activation."""

import math

import torch
import torch.nn.functional as F

SLOPE = 0.2
GAIN = math.sqrt(2.0)


def bias_act(x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """`leaky_relu(x + bias, 0.2) * sqrt(2)` for x [N, C, ...] and bias [C]."""
    if bias is not None:
        x = x + bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))
    return F.leaky_relu(x, SLOPE) * GAIN


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
