"""Modulated convolution of StyleGAN2 (Karras et al. 2020, Section 2.2, Equations 1 and 3).

Two equivalent ways of computing it, and never a grouped convolution:
a batch of one folds style, demodulation and activation gain into the weights (one pass over
the weights instead of several over the picture); a larger batch scales the inputs by the
styles and the outputs by the demodulation, so that all samples share one convolution.

On a GPU the convolution is cuDNN's; its weights are folded by one kernel, and all that follows
(FIR filter, demodulation, noise, bias, leaky ReLU, clamp) is another one: see docs/kernels.md.
"""

import torch
import torch.nn.functional as F

from engine.ops import strips
from engine.ops.bias_act import GAIN, SLOPE, clamped, leaky_relu_
from engine.ops.dispatch import Impl, fir_name, uses_kernel
from engine.ops.upfirdn2d import FIR_TAPS, blur

EPSILON = 1e-8


def modulated_conv2d(
    x: torch.Tensor,
    weight: torch.Tensor,
    styles: torch.Tensor,
    *,
    bias: torch.Tensor,
    noise: torch.Tensor | None = None,
    upsample: bool = False,
    clamp: float | None = None,
    impl: Impl = "auto",
) -> torch.Tensor:
    """Modulate, demodulate, convolve, add noise and bias, activate, clamp.

    Args:
        x: [N, I, H, W] in the dtype to compute in.
        weight: float32 [O, I, 3, 3].
        styles: float32 [N, I], already scaled by 1 / sqrt(fan_in).
        bias: float32 [O].
        noise: [N or 1, 1, R, R], already scaled by the noise strength; None for no noise.
        upsample: double the resolution by a transposed convolution and the FIR filter.
        clamp: the largest magnitude of the result; None: no bound.
        impl: "ref" is plain PyTorch and the specification, "cuda" the kernels, "auto" those of
            them that pay.

    Returns:
        [N, O, R, R] with R = H, or 2 H when up-sampling.

    Raises:
        KernelError: impl is "cuda" and a kernel cannot run; the message says why.
    """
    fused = uses_kernel(fir_name(4, 1, 1) if upsample else "bias_act", impl, x)
    if x.shape[0] == 1:
        weight, gains = one_weight(x, weight, styles, impl), None
    else:
        gains = demodulation(weight, styles) * GAIN
        if x.dtype == torch.float16:
            weight, styles, gains = _within_float16(weight, styles, gains)
        x = x * styles.to(x.dtype)[:, :, None, None]
        weight = weight.to(x.dtype)
    # The activation is positively homogeneous, so its gain can go to what comes before it.
    bias, noise = bias * GAIN, None if noise is None else noise * GAIN
    if fused:
        return _convolve_fused(x, weight, gains, bias, noise, upsample=upsample, clamp=clamp)
    bias = bias.to(x.dtype)
    x = _convolve(x, weight, bias if gains is None else None, upsample)
    if gains is not None:
        x = torch.addcmul(bias[None, :, None, None], x, gains.to(x.dtype)[:, :, None, None])
    if noise is not None:
        noise = noise.to(x.dtype)
        x = x + noise if x.requires_grad else x.add_(noise)
    return clamped(leaky_relu_(x), clamp)


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


def modulate_reference(
    weight: torch.Tensor, styles: torch.Tensor, gain: float = GAIN
) -> torch.Tensor:
    """Modulated, demodulated weight [O, I, k, k] of a single sample, times `gain`; styles [I]."""
    weight = weight * styles.reshape(1, -1, 1, 1)
    energy = torch.linalg.vector_norm(weight, dim=(1, 2, 3), keepdim=True).square()
    gains = (energy + EPSILON).rsqrt() * gain
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


def one_weight(
    x: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, impl: Impl
) -> torch.Tensor:
    """The weight of a batch of one, in the dtype of `x` and in the layout its convolution wants."""
    if uses_kernel("modulate", impl, x):
        from engine.ops.custom import modulate

        return modulate(weight, styles[0], GAIN, x.dtype, not x.is_contiguous())
    return modulate_reference(weight, styles).to(x.dtype)


def _within_float16(
    weight: torch.Tensor, styles: torch.Tensor, gains: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Styles of at most 1 and filters of norm 1, the difference moved to `gains` [N, O].

    Training fixes only their product, demodulated. A sum over a filter then is at most
    `sqrt(fan_in)` times the largest input (Cauchy-Schwarz): 512 channels within 512 stay below
    34,800, where float16 reaches 65,504.
    """
    peak = styles.abs().amax(dim=1, keepdim=True).clamp_min(EPSILON)  # [N, 1]
    norm = torch.linalg.vector_norm(weight, dim=(1, 2, 3)).clamp_min(EPSILON)  # [O]
    return weight / norm[:, None, None, None], styles / peak, gains * peak * norm


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
    return blur(x, (1, 1), gain=4.0, bias=bias, impl="ref")


def _convolve_fused(
    x: torch.Tensor,
    weight: torch.Tensor,
    gains: torch.Tensor | None,
    bias: torch.Tensor,
    noise: torch.Tensor | None,
    *,
    upsample: bool,
    clamp: float | None,
) -> torch.Tensor:
    """The convolution, and all that follows as one pass over its result."""
    from engine.ops.custom import Epilogue, act, fir

    then = Epilogue(gains, bias, noise, SLOPE, 1.0, clamp)
    if not upsample:
        return act(F.conv2d(x, weight, padding=weight.shape[-1] // 2), then)
    x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
    size = [n - 1 for n in x.shape[2:]]
    return fir(x, FIR_TAPS, (1, 1), 1, size, gain=4.0, then=then)
