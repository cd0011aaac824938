"""From sparse to dense: where every pixel comes from, and which were hidden in the source.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.2. Every keypoint proposes a motion for the whole
picture, right near itself; so does the background, which rests. A network that sees the source
moved by each proposal mixes them, pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from motion.fomm.blocks import Hourglass, Reduction, position_grid
from motion.fomm.keypoints import NUM_KEYPOINTS, Keypoints

VARIANCE = 0.01  # of the Gaussians that show the network where keypoints are
WIDTHS = (64, 128, 256, 512, 1024, 1024)  # of the public networks for faces
_FLAT = 1e-6  # a jacobian of a smaller determinant squeezes a neighbourhood to a line


@dataclass(frozen=True)
class Flow:
    """Where the pixels of N driven pictures come from.

    Attributes:
        deformation: [N, h, w, 2], the position (x, y) in the source of every pixel.
        occlusion: [N, 1, h, w], 1 where the source shows it, 0 where it has to be imagined.
        mask: [N, K + 1, h, w], the share of the background's and every keypoint's motion.
    """

    deformation: Tensor
    occlusion: Tensor
    mask: Tensor

    def __getitem__(self, index: slice) -> Flow:
        """The flow of some of the pictures."""
        return Flow(self.deformation[index], self.occlusion[index], self.mask[index])

    def at(self, height: int, width: int) -> Flow:
        """The flow at another size, bilinearly. The mask stays as it is."""
        if self.deformation.shape[1:3] == (height, width):
            return self
        size = {"size": (height, width), "mode": "bilinear", "align_corners": False}
        deformation = F.interpolate(self.deformation.permute(0, 3, 1, 2), **size)
        occlusion = F.interpolate(self.occlusion, **size)
        return Flow(deformation.permute(0, 2, 3, 1), occlusion, self.mask)


class DenseMotion(nn.Module):
    """Source and two sets of keypoints -> flow at 1 / step of the picture's size.

    Args:
        num_keypoints: K.
        widths, step: as in `KeypointDetector`.
        align_corners: whether -1 and 1 are the centres of the corner pixels for sampling as they
            are for positions. The public weights were trained so; programs that run them with a
            PyTorch after 1.3 mostly sample with False, and so shrink pictures by a hair.
    """

    def __init__(
        self,
        num_keypoints: int = NUM_KEYPOINTS,
        widths: Sequence[int] = WIDTHS,
        step: int = 4,
        *,
        align_corners: bool = True,
    ) -> None:
        super().__init__()
        self.align_corners = align_corners
        self.reduction = Reduction(step)
        self.hourglass = Hourglass(4 * (num_keypoints + 1), widths)
        self.mask = nn.Conv2d(self.hourglass.outputs, num_keypoints + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(self.hourglass.outputs, 1, 7, padding=3)

    def forward(self, small: Tensor, kp_source: Keypoints, kp_driving: Keypoints) -> Flow:
        """Mix the motions for `small` [N, 3, h, w], the source as `reduction` gives it."""
        grid = position_grid(*small.shape[2:], like=kp_source.value)
        motions = sparse_motions(kp_source, kp_driving, grid)
        moved = self._moved(small, motions)
        heat = _heat(kp_source, kp_driving, grid).to(small.dtype)
        shown = torch.cat([heat[:, :, None], moved], dim=2)  # [N, K + 1, 4, h, w]
        features = self.hourglass(shown.flatten(1, 2))
        mask = self.mask(features).softmax(dim=1)
        deformation = (mask[..., None] * motions).sum(dim=1)
        return Flow(deformation, self.occlusion(features).sigmoid(), mask)

    def _moved(self, small: Tensor, motions: Tensor) -> Tensor:
        """The source [N, 3, h, w] as every motion moves it, [N, K + 1, 3, h, w]."""
        count = motions.shape[1]
        copies = small[:, None].expand(-1, count, -1, -1, -1).flatten(0, 1)
        return sample(copies, motions.flatten(0, 1), self.align_corners).unflatten(0, (-1, count))


def sample(picture: Tensor, deformation: Tensor, align_corners: bool) -> Tensor:
    """Take pixels of [N, C, H, W] at positions [N, h, w, 2]; beyond the edges lies black."""
    moved = F.grid_sample(picture.float(), deformation.float(), align_corners=align_corners)
    return moved.to(picture.dtype)


def sparse_motions(kp_source: Keypoints, kp_driving: Keypoints, grid: Tensor) -> Tensor:
    """Return the motions T_k(z) = J_s J_d^-1 (z - kp_d) + kp_s at `grid` [h, w, 2] (equation 4).

    The first of [N, K + 1, h, w, 2] is that of the background, T_0(z) = z.
    """
    with torch.autocast(grid.device.type, enabled=False):  # positions need all their digits
        turn = kp_source.jacobian @ inverse(kp_driving.jacobian)
        near = grid - kp_driving.value[:, :, None, None]
        moved = (turn[:, :, None, None] @ near[..., None])[..., 0]
        moved = moved + kp_source.value[:, :, None, None]
    return torch.cat([grid.expand(len(moved), 1, -1, -1, -1), moved], dim=1)


def inverse(matrices: Tensor) -> Tensor:
    """Invert [..., 2, 2]; flat ones are taken as barely not flat, so that a video goes on."""
    (a, b), (c, d) = (row.unbind(-1) for row in matrices.unbind(-2))
    determinant = a * d - b * c
    flat = determinant.abs() < _FLAT
    determinant = torch.where(flat, torch.full_like(determinant, _FLAT), determinant)
    rows = [torch.stack([d, -b], dim=-1), torch.stack([-c, a], dim=-1)]
    return torch.stack(rows, dim=-2) / determinant[..., None, None]


def _heat(kp_source: Keypoints, kp_driving: Keypoints, grid: Tensor) -> Tensor:
    """Gaussians at the driving keypoints less those at the source's, [N, K + 1, h, w]; first 0."""
    offsets = (grid - kp.value[:, :, None, None] for kp in (kp_driving, kp_source))
    driving, source = (torch.exp(-0.5 * x.square().sum(-1) / VARIANCE) for x in offsets)
    return F.pad(driving - source, (0, 0, 0, 0, 1, 0))
