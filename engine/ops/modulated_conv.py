"""Modulated convolution of StyleGAN2 (Karras et al. 2020, Section 2.2, Equations 1 and 3).

Two equivalent ways of computing it, and never a grouped convolution:
a batch of one folds style, demodulation and activation gain into the weights (one pass over
the weights instead of several over the picture); a larger batch scales the inputs by the
styles and the outputs by the demodulation, so that all samples share one convolution.
"""

import torch
import torch.nn.functional as F

from engine.ops import strips
from engine.ops.bias_act import GAIN, leaky_relu_
from engine.ops.upfirdn2d import blur

EPSILON = 1e-8


def modulated_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    *,
    bias: torch.Tensor,
    noise: torch.Tensor | None = None,
    upsample: bool = False,
) -> torch.Tensor:
    """Modulate, demodulate, convolve, add noise and bias, activate.

    Args:
        x: [N, I, H, W] in the dtype to compute in.
        weight: float32 [O, I, 3, 3].
        styles: float32 [N, I], already scaled by 1 / sqrt(fan_in).
        bias: float32 [O].
        noise: [N or 1, 1, R, R], already scaled by the noise strength; None for no noise.
        upsample: double the resolution by a transposed convolution and the FIR filter.

    Returns:
        [N, O, R, R] with R = H, or 2 H when up-sampling.
    """
    # The activation is positively homogeneous, so its gain can go to what comes before it.
    bias = (bias * GAIN).to(x.dtype)
    if x.shape[0] == 1:
        x = _convolve(x, _one_weight(weight, styles).to(x.dtype), bias, upsample)
    else:
        gains = (demodulation(weight, styles) * GAIN).to(x.dtype)
        x = x * styles.to(x.dtype)[:, :, None, None]
        x = _convolve(x, weight.to(x.dtype), None, upsample)
        x = torch.addcmul(bias[None, :, None, None], x, gains[:, :, None, None])
    if noise is not None:
        noise = (noise * GAIN).to(x.dtype)
        x = x + noise if x.requires_grad else x.add_(noise)
    return leaky_relu_(x)


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """`1 / sqrt(sum (w s)^2 + 1e-8)` per sample and output channel.

    Args:
        weight: [O, I, k, k].
        styles: [N, I].

    Returns:
        [N, O].
    """
    energy = weight.square().sum((2, 3))  # [O, I]
    return (styles.square() @ energy.t() + EPSILON).rsqrt()


def _one_weight(weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """Modulated, demodulated weight [O, I, k, k] of a single sample, times the activation gain."""
    weight = weight * styles.reshape(1, -1, 1, 1)
    energy = torch.linalg.vector_norm(weight, dim=(1, 2, 3), keepdim=True).square()
    gains = (energy + EPSILON).rsqrt() * GAIN
    return weight * gains if weight.requires_grad else weight.mul_(gains)


def modulated_to_rgb(
    x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, bias: torch.Tensor
) -> torch.Tensor:
    """ToRGB: a modulated 1x1 convolution without demodulation or activation.

    Args:
        x: [N, I, H, W]; weight: float32 [3, I]; styles: [N, I], already scaled; bias: [3].

    Returns:
        float32 [N, 3, H, W], as one matrix product per sample.
    """
    weights = (weight[None] * styles[:, None]).to(x.dtype)  # [N, 3, I]
    if x.shape[0] == 1:
        return F.conv2d(x, weights[0, :, :, None, None]).float() + bias[:, None, None]
    pixels = x.permute(0, 2, 3, 1)  # [N, H, W, I], a view of channels_last memory
    rgb = torch.matmul(pixels, weights.mT[:, None])  # [N, H, W, 3]
    return (rgb.float() + bias).permute(0, 3, 1, 2)


def _convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, upsample: bool
) -> torch.Tensor:
    if not upsample:
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
    if strips.pays(x, weight):
        return strips.in_strips(_up_convolve, x, weight, bias)
    return _up_convolve(x, weight, bias)


def _up_convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    # [I, O, k, k], not flipped; H -> 2 H + 1, which the FIR brings to 2 H
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    return blur(x, (1, 1), gain=4.0, bias=bias)
