"""A small network that draws what a whole style draws: photo crop in, stylized crop out.

A U-Net (Ronneberger et al. 2015, arXiv 1505.04597) of our own out of depthwise-separable
convolutions (Howard et al. 2017, arXiv 1704.04861): pixels are folded two by two into channels
first, so that nothing is computed at full resolution, every level has residual blocks of a
depthwise 3x3 and two 1x1 convolutions, and skips are added instead of concatenated. 1.7 million
weights draw 128 px in about 10 ms on one processor. `train.distill` teaches it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_eval

from engine.errors import CheckpointError, ImageError
from engine.models.loading import load_exactly

WIDTHS = (32, 64, 128, 192, 256)
BLOCKS = 2
EXPANSION = 2
FOLD = 2  # pixels of a side that the first convolution sees as channels


class ConvNorm(nn.Module):
    """Convolution without bias and its batch norm, which `folded` makes one convolution."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        settings = {"padding": kernel // 2, "groups": groups, "bias": False}
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, **settings)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, in, H, W] to [N, out, H / stride, W / stride]."""
        return self.norm(self.conv(x))

    def fold(self) -> None:
        """Put the batch norm into the convolution, for inference."""
        self.conv, self.norm = fuse_conv_bn_eval(self.conv.eval(), self.norm.eval()), nn.Identity()


class Block(nn.Module):
    """Depthwise 3x3, 1x1 to `expansion` times the channels, ReLU, 1x1 back, added to the input."""

    def __init__(self, channels: int, expansion: int = EXPANSION) -> None:
        super().__init__()
        self.depthwise = ConvNorm(channels, channels, 3, groups=channels)
        self.expand = ConvNorm(channels, expansion * channels, 1)
        self.project = ConvNorm(expansion * channels, channels, 1)
        nn.init.zeros_(self.project.norm.weight)  # starts as the identity

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, C, H, W] to the same shape."""
        return self.project(F.relu(self.expand(self.depthwise(x)), inplace=True)).add_(x)


class Halve(nn.Module):
    """Depthwise 3x3 with stride 2, then 1x1 to the channels of the next level."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.depthwise = ConvNorm(in_channels, in_channels, 3, stride=2, groups=in_channels)
        self.pointwise = ConvNorm(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` [N, in, H, W] to [N, out, H / 2, W / 2]."""
        return F.relu(self.pointwise(self.depthwise(x)), inplace=True)


class Student(nn.Module):
    """Photo crop to stylized crop, at any size that is a multiple of `step`.

    Args:
        widths: channels of the levels, the finest (half the picture's side) first.
        blocks: residual blocks per level, going down and again coming up.
        expansion: of the channels within a block.
    """

    def __init__(
        self, widths: Sequence[int] = WIDTHS, blocks: int = BLOCKS, expansion: int = EXPANSION
    ) -> None:
        super().__init__()
        self.widths, self.blocks, self.expansion = tuple(widths), blocks, expansion
        pixels = 3 * FOLD**2
        pairs = list(zip(widths[:-1], widths[1:], strict=True))
        self.stem = ConvNorm(pixels, widths[0], 3)
        self.down = nn.ModuleList(self._level(width) for width in widths)
        self.shrink = nn.ModuleList(Halve(fine, coarse) for fine, coarse in pairs)
        self.enlarge = nn.ModuleList(ConvNorm(coarse, fine, 1) for fine, coarse in pairs)
        self.up = nn.ModuleList(self._level(fine) for fine, _ in pairs)
        self.head = nn.Conv2d(widths[0], pixels, 3, padding=1)

    @property
    def step(self) -> int:
        """What the side of a picture must be a multiple of."""
        return FOLD * 2 ** (len(self.widths) - 1)

    def forward(self, image: Tensor) -> Tensor:
        """Draw photo crops `image` [N, 3, S, S] in [-1, 1]: the same shape, not clamped.

        Raises ImageError where a side is no multiple of `step`.
        """
        if image.ndim != 4 or image.shape[1] != 3 or any(s % self.step for s in image.shape[2:]):
            raise ImageError(
                f"the student got a picture of shape {list(image.shape)}; expected [N, 3, S, S] "
                f"with S a multiple of {self.step}: align and resize the face first"
            )
        x, skips = F.relu(self.stem(F.pixel_unshuffle(image, FOLD)), inplace=True), []
        for level, shrink in zip(self.down, self.shrink, strict=False):
            x = level(x)
            skips.append(x)
            x = shrink(x)
        x = self.down[-1](x)
        for level, enlarge, skip in reversed(list(zip(self.up, self.enlarge, skips, strict=True))):
            x = level(F.interpolate(enlarge(x), scale_factor=2, mode="nearest").add_(skip))
        return F.pixel_shuffle(self.head(x), FOLD)

    def folded(self) -> Student:
        """Return a copy for inference, its batch norms folded into the convolutions."""
        twin = copy.deepcopy(self).eval().requires_grad_(False)
        for module in twin.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        return twin.requires_grad_(False).to(memory_format=torch.channels_last)

    def _level(self, width: int) -> nn.Sequential:
        return nn.Sequential(*(Block(width, self.expansion) for _ in range(self.blocks)))


def student_from_state(state: Mapping[str, Tensor]) -> Student:
    """Build the student whose sizes are read off `state`, and load it, for inference.

    Raises:
        CheckpointError: the tensors do not describe such a network.
    """
    widths, blocks = [], 0
    while (weight := state.get(f"down.{len(widths)}.0.depthwise.conv.weight")) is not None:
        widths.append(weight.shape[0])
    while f"down.0.{blocks}.depthwise.conv.weight" in state:
        blocks += 1
    expanded = state.get("down.0.0.expand.conv.weight")
    if not widths or expanded is None:
        raise CheckpointError(
            f"no student in these {len(state)} tensors; names such as "
            "down.0.0.depthwise.conv.weight are expected, as train.distill writes them"
        )
    student = Student(widths, blocks, expanded.shape[0] // widths[0])
    load_exactly(student, state, "a student")
    return student.eval().requires_grad_(False)
