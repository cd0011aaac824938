"""How far pictures are from their originals pixel by pixel: squared error, PSNR, SSIM.

All take two batches [N, 3, H, W] in [-1, 1], compare picture i with picture i, and give [N].
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.errors import ImageError

WINDOW, SIGMA = 11, 1.5


def squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Mean of (a - b)^2 over channels and positions, 0 .. 4 on pictures in [-1, 1]: [N].

    Raises:
        ImageError: shapes that do not fit.
    """
    a, b = _clamped(a, b)
    return (a - b).square().mean(dim=(1, 2, 3))


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, 10 log10(2^2 / squared error): [N], infinite if equal.

    Raises:
        ImageError: shapes that do not fit.
    """
    return 10 * torch.log10(4 / squared_error(a, b))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004, Equation 13): [N], -1 .. 1, 1 if equal.

    Gaussian windows of 11 px and sigma 1.5 that lie inside the picture, K1 = 0.01, K2 = 0.03, the
    mean over channels and positions. UI2I-StyleGAN2's Table III measures inversions with it.

    Raises:
        ImageError: shapes that do not fit, or a side under 11 px.
    """
    a, b = (x / 2 + 0.5 for x in _clamped(a, b))
    if min(a.shape[2:]) < WINDOW:
        raise ImageError(
            f"SSIM of pictures of shape {list(a.shape)}; sides of at least {WINDOW} px are "
            "accepted: enlarge them"
        )
    bell = torch.exp(-((torch.arange(WINDOW) - WINDOW // 2).double() ** 2) / (2 * SIGMA**2))
    row = (bell / bell.sum()).to(a.device).expand(3, 1, 1, -1)  # the window is separable

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(x, row, groups=3), row.mT, groups=3)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    likeness = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    likeness = likeness / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return likeness.mean(dim=(1, 2, 3))


def _clamped(a: Tensor, b: Tensor) -> list[Tensor]:
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3:
        raise ImageError(
            f"cannot compare pictures of shape {list(a.shape)} and {list(b.shape)}; both need the "
            "same [N, 3, H, W]: resize one to the other"
        )
    return [x.clamp(-1, 1).double() for x in (a, b)]
