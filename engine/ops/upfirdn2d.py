"""Up-sample, FIR-filter, down-sample: StyleGAN2's resampling, as depthwise convolutions.

The filter is the outer product of [1, 3, 3, 1] with itself, normalised to sum 1, as in every
public StyleGAN2. All functions are differentiable any number of times (R1 and path length).
On a GPU all of them are one kernel (`impl`, see `engine.ops.bias_act`).
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F

from engine.ops.dispatch import Impl, fir_name, uses_kernel

FIR_TAPS = (0.125, 0.375, 0.375, 0.125)


def fir_kernel(gain: float = 1.0, *, like: torch.Tensor) -> torch.Tensor:
    """The separable 4x4 binomial filter, float [4, 4], summing to `gain`."""
    return _square(FIR_TAPS, gain, like.dtype, like.device)


@lru_cache
def _square(
    taps: tuple[float, ...], gain: float, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    """The flipped outer product; kept, since sending it to a GPU means waiting for that."""
    with torch.inference_mode(False):  # training takes it from here, too
        line = torch.tensor(taps, dtype=torch.float64).flip(0)
        return (torch.outer(line, line) * gain).to(device, dtype)


def upfirdn2d(
    x: torch.Tensor,
    taps: Sequence[float] = FIR_TAPS,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
    *,
    gain: float = 1.0,
    impl: Impl = "auto",
) -> torch.Tensor:
    """Up-sample by zeros, pad, convolve with `taps` along both axes, keep every `down`-th sample.

    The specification of the faster functions below.

    Args:
        x: [N, C, H, W].
        taps: the filter; a true convolution, so it is flipped. The kernel takes four.
        up: zeros inserted after each sample: `up - 1`. The kernel takes 1, and 2 where down is 1.
        down: stride of the result, starting at index 0. The kernel takes 1, and 2 where up is 1.
        padding: (before, after) on both axes; negative values crop.
        gain: factor of the result.
        impl: "auto", "ref" or "cuda".

    Returns:
        [N, C, H', W'] with `H' = (H up + before + after - len(taps)) // down + 1`.

    Raises:
        KernelError: impl is "cuda" and the kernel cannot run; the message says why.
    """
    before, after = padding
    size = [(n * up + before + after - len(taps)) // down + 1 for n in x.shape[2:]]
    if uses_kernel(fir_name(len(taps), up, down), impl, x):
        from engine.ops.custom import fir

        return fir(x, taps, (up, down), before, size, gain=gain)
    return upfirdn2d_reference(x, taps, (up, down), before, size, gain=gain)


def upfirdn2d_reference(
    x: torch.Tensor,
    taps: Sequence[float],
    factors: tuple[int, int],
    before: int,
    size: Sequence[int],
    *,
    gain: float = 1.0,
) -> torch.Tensor:
    """`upfirdn2d` by its definition, to a result of `size` (height, width)."""
    up, down = factors
    channels, height, width = x.shape[1:]
    if up > 1:
        x = x.reshape(-1, channels, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(-1, channels, height * up, width * up)
    bottom, right = (
        (wanted - 1) * down + len(taps) - given * up - before
        for wanted, given in zip(size, (height, width), strict=True)
    )
    x = F.pad(x, (before, right, before, bottom))
    weight = _square(tuple(taps), gain, x.dtype, x.device)
    return F.conv2d(x, weight.expand(channels, 1, -1, -1), stride=down, groups=channels)


def blur(
    x: torch.Tensor,
    padding: tuple[int, int],
    gain: float = 1.0,
    bias: torch.Tensor | None = None,
    *,
    impl: Impl = "auto",
) -> torch.Tensor:
    """FIR-filter [N, C, H, W] with (before, after) zero padding, `gain`, optional bias [C]."""
    if uses_kernel(fir_name(4, 1, 1), impl, x):
        blurred = upfirdn2d(x, padding=padding, gain=gain, impl="cuda")
        return blurred if bias is None else blurred + bias[:, None, None]
    channels = x.shape[1]
    weight = fir_kernel(gain, like=x).expand(channels, 1, 4, 4).contiguous()
    before, after = padding
    if before == after:  # the convolution pads by itself, without a copy
        return F.conv2d(x, weight, bias, padding=before, groups=channels)
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, weight, bias, groups=channels)


def upsample2d(x: torch.Tensor, *, impl: Impl = "auto") -> torch.Tensor:
    """Double [N, C, H, W] with the FIR filter, padding (2, 1), gain 4: the skip of ToRGB.

    With these taps the filter is bilinear interpolation of the zero-padded picture, which
    PyTorch computes several times faster than a depthwise convolution of three channels.
    """
    if uses_kernel(fir_name(4, 2, 1), impl, x):
        return upfirdn2d(x, up=2, padding=(2, 1), gain=4.0, impl="cuda")
    doubled = F.interpolate(
        F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False
    )
    return doubled[..., 2:-2, 2:-2]


def downsample2d(x: torch.Tensor, *, impl: Impl = "auto") -> torch.Tensor:
    """Halve [N, C, H, W] with the FIR filter, padding (1, 1): the skip of the discriminator.

    Filtering everything and dropping three quarters is 5 to 20 times faster to differentiate on
    a CPU than a strided depthwise convolution, whose backward pass is not vectorised there.
    """
    if uses_kernel(fir_name(4, 1, 2), impl, x):
        return upfirdn2d(x, down=2, padding=(1, 1), impl="cuda")
    return blur(x, (1, 1))[..., ::2, ::2]
