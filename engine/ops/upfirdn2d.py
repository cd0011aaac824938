"""Up-sample, FIR-filter, down-sample: StyleGAN2's resampling, as depthwise convolutions.

The filter is the outer product of [1, 3, 3, 1] with itself, normalised to sum 1, as in every
public StyleGAN2. All functions are differentiable any number of times (R1 and path length).
"""

import torch
import torch.nn.functional as F

FIR_TAPS = (1.0, 3.0, 3.0, 1.0)


def fir_kernel(gain: float = 1.0, *, like: torch.Tensor) -> torch.Tensor:
    """The separable 4x4 binomial filter, float [4, 4], summing to `gain`."""
    taps = torch.tensor(FIR_TAPS, dtype=torch.float32, device=like.device)
    kernel = torch.outer(taps, taps)
    return (kernel * (gain / kernel.sum())).to(like.dtype)


def upfirdn2d(
    x: torch.Tensor,
    kernel: torch.Tensor,
    up: int = 1,
    down: int = 1,
    padding: tuple[int, int] = (0, 0),
) -> torch.Tensor:
    """Up-sample by zeros, pad, convolve with `kernel`, keep every `down`-th sample.

    The specification of the faster functions below.

    Args:
        x: [N, C, H, W].
        kernel: [K, K]; a true convolution, so it is flipped.
        up: zeros inserted after each sample: `up - 1`.
        down: stride of the result, starting at index 0.
        padding: (before, after) on both axes; negative values crop.
    """
    channels, height, width = x.shape[1:]
    if up > 1:
        x = x.reshape(-1, channels, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1))
        x = x.reshape(-1, channels, height * up, width * up)
    x = F.pad(x, (*padding, *padding))
    weight = kernel.flip((0, 1)).to(x.dtype).expand(channels, 1, *kernel.shape)
    return F.conv2d(x, weight, stride=down, groups=channels)


def blur(
    x: torch.Tensor,
    padding: tuple[int, int],
    gain: float = 1.0,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """FIR-filter [N, C, H, W] with (before, after) zero padding, `gain`, optional bias [C]."""
    channels = x.shape[1]
    weight = fir_kernel(gain, like=x).expand(channels, 1, 4, 4).contiguous()
    before, after = padding
    if before == after:  # the convolution pads by itself, without a copy
        return F.conv2d(x, weight, bias, padding=before, groups=channels)
    x = F.pad(x, (before, after, before, after))
    return F.conv2d(x, weight, bias, groups=channels)


def upsample2d(x: torch.Tensor) -> torch.Tensor:
    """Double [N, C, H, W] with the FIR filter, padding (2, 1), gain 4: the skip of ToRGB.

    With these taps the filter is bilinear interpolation of the zero-padded picture, which
    PyTorch computes several times faster than a depthwise convolution of three channels.
    """
    doubled = F.interpolate(
        F.pad(x, (1, 1, 1, 1)), scale_factor=2, mode="bilinear", align_corners=False
    )
    return doubled[..., 2:-2, 2:-2]


def downsample2d(x: torch.Tensor) -> torch.Tensor:
    """Halve [N, C, H, W] with the FIR filter, padding (1, 1): the skip of the discriminator.

    Filtering everything and dropping three quarters is 5 to 20 times faster to differentiate on
    a CPU than a strided depthwise convolution, whose backward pass is not vectorised there.
    """
    return blur(x, (1, 1))[..., ::2, ::2]
