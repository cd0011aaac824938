"""Blocks of the first order motion model: an hourglass, its steps down and up, the anti-alias.

Siarohin et al. 2019, "First Order Motion Model for Image Animation" (arXiv 2003.00196), appendix A.
Pictures are float [N, 3, H, W] in [0, 1]. Positions are (x, y) in [-1, 1], the centres of the
corner pixels at -1 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def position_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the position (x, y) of every pixel [height, width, 2], typed and placed as `like`."""
    kind = {"dtype": like.dtype, "device": like.device}
    y, x = (
        torch.linspace(-1, 1, n, **kind) if n > 1 else like.new_zeros(1) for n in (height, width)
    )
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([columns, rows], dim=-1)


class Unit(nn.Module):
    """Convolution, batch norm, ReLU, all at one size."""

    def __init__(self, inputs: int, outputs: int, size: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, size, padding=size // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H, W], not negative."""
        return F.relu(self.norm(self.conv(x)), inplace=True)


class Down(Unit):
    """A unit, then the mean of every 2 x 2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, H / 2, W / 2], not negative."""
        return F.avg_pool2d(super().forward(x), 2)


class Up(Unit):
    """Every pixel four times, then a unit."""

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W] to [N, outputs, 2 H, 2 W], not negative."""
        return super().forward(F.interpolate(x, scale_factor=2.0))


class Residual(nn.Module):
    """Two convolutions, each behind a batch norm and a ReLU, added to what comes in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, width, H, W] to the same shape."""
        inner = self.conv1(F.relu(self.norm1(x), inplace=True))
        return x + self.conv2(F.relu(self.norm2(inner), inplace=True))


class Hourglass(nn.Module):
    """U-net: halve the picture `len(widths) - 1` times and come back, keeping every size.

    Args:
        inputs: channels that come in; they are the last that is joined to what goes out.
        widths: channels at full size on the way back, then those at 1/2, 1/4, ... of it.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        going = (inputs, *widths[1:])
        pairs = list(zip(going, going[1:], strict=False))
        self.down = nn.ModuleList(Down(i, o) for i, o in pairs)
        # Above the narrowest, what comes back is joined by what went down at that size.
        joined = [widths[-1], *(2 * width for width in widths[-2:0:-1])]
        self.up = nn.ModuleList(Up(i, o) for i, o in zip(joined, widths[-2::-1], strict=True))
        self.outputs = widths[0] + inputs

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, inputs, H, W], H and W multiples of 2^depth, to [N, outputs, H, W]."""
        kept = [x]
        for block in self.down:
            kept.append(block(kept[-1]))
        x = kept.pop()
        for block in self.up:
            x = torch.cat([block(x), kept.pop()], dim=1)
        return x


class Reduction(nn.Module):
    """Anti-aliased reduction: a Gaussian of sigma (step - 1) / 2, then every step-th pixel.

    The kernel [3, 1, k, k] is stored with the weights, so that `step` can be read off them.
    """

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step
        self.register_buffer("weight", gaussian_kernel(step).repeat(3, 1, 1, 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Map [N, 3, H, W] to [N, 3, H / step, W / step]; beyond the edges lies black."""
        padding = self.weight.shape[-1] // 2
        return F.conv2d(picture, self.weight, stride=self.step, padding=padding, groups=3)


def gaussian_kernel(step: int) -> Tensor:
    """Return the kernel [k, k], k = 2 round(4 sigma) + 1, whose sum is 1; [[1]] for step 1."""
    sigma = (step - 1) / 2
    reach = round(4 * sigma)
    at = torch.arange(-reach, reach + 1, dtype=torch.float32)
    line = torch.exp(-0.5 * (at / max(sigma, 1e-6)) ** 2)
    return torch.outer(line, line) / line.sum() ** 2
