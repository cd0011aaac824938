"""MobileFaceNet, a small network that tells faces apart: 128 numbers per face.

Chen et al. 2018, arXiv 1804.07573, Table 1: inverted residual bottlenecks with PReLU, and instead
of a mean over the last 7 x 6 positions a learned weight for each of them ("global depthwise
convolution", Section 3.1). Parameter names are those of the public file mobilefacenet.npz.

The file was trained on CASIA-WebFace and states no licence: for metrics and research only, never a
loss of weights that are given away.
"""

from __future__ import annotations

from os import PathLike

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import CheckpointError, ImageError
from engine.models.loading import load_exactly

HEIGHT, WIDTH = 112, 96  # of the aligned face
# Where eyes, nose and mouth corners lie in it (SphereFace, Liu et al. 2017), pixels (x, y).
FACE_POINTS = (
    *((30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366)),
    *((33.5493, 92.3655), (62.7299, 92.2041)),
)
EMBEDDING = 128
# Expansion, channels, number and first stride of the bottlenecks.
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class ConvUnit(nn.Module):
    """Convolution without bias, batch norm, PReLU (or none)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        activate: bool = True,
    ) -> None:
        super().__init__()
        shape = (in_channels, out_channels, kernel, stride, padding)
        self.conv = nn.Conv2d(*shape, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)
        self.prelu = nn.PReLU(out_channels) if activate else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in, H, W] to [N, out, H', W']."""
        return self.prelu(self.bn(self.conv(x)))


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter each channel, project by 1x1 without activation (its Section 3.2)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.is_residual = stride == 1 and in_channels == out_channels
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.PReLU(hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map [N, in, H, W] to [N, out, H / stride, W / stride]."""
        return x + self.conv(x) if self.is_residual else self.conv(x)


class MobileFaceNet(nn.Module):
    """Identity embedding of aligned faces; always in evaluation mode and without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = ConvUnit(3, 64, 3, stride=2, padding=1)
        self.dw_conv1 = ConvUnit(64, 64, 3, padding=1, groups=64)
        blocks, channels = [], 64
        for expansion, out_channels, count, stride in _STAGES:
            for i in range(count):
                first = stride if i == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, first, expansion))
                channels = out_channels
        self.blocks = nn.Sequential(*blocks)
        self.conv2 = ConvUnit(channels, 512, 1)
        self.linear7 = ConvUnit(512, 512, (7, 6), groups=512, activate=False)
        self.linear1 = ConvUnit(512, EMBEDDING, 1, activate=False)
        self.eval().requires_grad_(False)

    @classmethod
    def from_npz(cls, path: str | PathLike[str]) -> MobileFaceNet:
        """Load mobilefacenet.npz of ../shared/weights.

        Raises:
            CheckpointError: the file is missing, unreadable, or holds other tensors.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                state = {k: torch.from_numpy(file[k]) for k in file.files}
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"cannot read the identity network {path}: {error}; expected mobilefacenet.npz of "
                "../shared/weights"
            ) from error
        network = cls()
        load_exactly(network, state, "MobileFaceNet")
        return network

    def forward(self, face: Tensor) -> Tensor:
        """Embed aligned faces [N, 3, 112, 96] RGB in [-1, 1]: unit vectors [N, 128].

        The published input is (x - 127.5) / 128, so pictures in [-1, 1] are scaled by 127.5 / 128.

        Raises:
            ImageError: another shape.
        """
        if face.ndim != 4 or face.shape[1:] != (3, HEIGHT, WIDTH):
            raise ImageError(
                f"MobileFaceNet got a picture of shape {list(face.shape)}; expected "
                f"[N, 3, {HEIGHT}, {WIDTH}]: align the face to its five points first"
            )
        x = self.blocks(self.dw_conv1(self.conv1(face * (127.5 / 128))))
        x = self.linear1(self.linear7(self.conv2(x)))  # [N, 128, 1, 1]
        return F.normalize(x.flatten(1))
