"""Random changes of colour that two pictures share: an exemplar, and what is to look like it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
PALETTE = 4  # colours from dark to light


@dataclass(frozen=True)
class Recoloring:
    """One change of colour per picture.

    Attributes:
        matrix: [N, 3, 3], hue, saturation and contrast, around middle grey.
        offset: [N, 3], brightness and tint.
        palette: [N, 4, 3] in [0, 1], what dark to light becomes.
        toned: [N], the share of the palette.
    """

    matrix: Tensor
    offset: Tensor
    palette: Tensor
    toned: Tensor

    def __getitem__(self, rows: slice) -> Recoloring:
        return Recoloring(
            self.matrix[rows], self.offset[rows], self.palette[rows], self.toned[rows]
        )

    def to(self, device: torch.device) -> Recoloring:
        """The same on another device."""
        parts = (self.matrix, self.offset, self.palette, self.toned)
        return Recoloring(*(part.to(device) for part in parts))

    def __call__(self, pictures: Tensor) -> Tensor:
        """Change pictures [N, 3, H, W] in [-1, 1], in float32; what leaves the range is clipped."""
        with torch.autocast(pictures.device.type, enabled=False):
            pictures = pictures.float()
            changed = torch.einsum("nij,njhw->nihw", self.matrix, pictures)
            changed = (changed + self.offset[:, :, None, None]).clamp(-1, 1)
            toned = self.toned[:, None, None, None]
            return torch.lerp(changed, 2 * self._palette_of(pictures) - 1, toned)

    def _palette_of(self, pictures: Tensor) -> Tensor:
        luma = (pictures * pictures.new_tensor(LUMA)[:, None, None]).sum(1).clamp(-1, 1)
        at = (luma + 1) / 2 * (PALETTE - 1)  # [N, H, W], between two colours of the palette
        nearness = [(1 - (at - color).abs()).clamp_min(0) for color in range(PALETTE)]
        return torch.einsum("nkhw,nkc->nchw", torch.stack(nearness, 1), self.palette)


def random_recoloring(n: int, unchanged: float, generator: torch.Generator) -> Recoloring:
    """Draw n changes; a share `unchanged` of them changes nothing, a third of the rest tones."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    luma = torch.tensor(LUMA).expand(3, 3)
    saturation, contrast = uniform(0, 1.6, n, 1, 1), uniform(0.7, 1.3, n, 1, 1)
    mixing = torch.lerp(luma, torch.eye(3), saturation)
    matrix = contrast * mixing @ _hue_turns(uniform(-math.pi, math.pi, n) * uniform(0, 1, n) ** 2)
    offset = uniform(-0.2, 0.2, n, 1) + uniform(-0.15, 0.15, n, 3)
    palette = uniform(0, 1, n, PALETTE, 3)
    wanted = torch.linspace(0.08, 0.92, PALETTE)[:, None]  # lightness stays, colours are free
    lightness = (palette * torch.tensor(LUMA)).sum(-1, keepdim=True)
    palette = (wanted + 0.8 * (palette - lightness)).clamp(0, 1)
    changes = torch.rand(n, generator=generator) >= unchanged
    toned = uniform(0.6, 1, n) * (torch.rand(n, generator=generator) < 1 / 3) * changes
    still = ~changes
    matrix[still], offset[still] = torch.eye(3), 0.0
    return Recoloring(matrix, offset, palette, toned)


def _hue_turns(angles: Tensor) -> Tensor:
    """Turns [N, 3, 3] of colours around the axis of the greys (Rodrigues)."""
    axis = torch.full((3,), 3**-0.5)
    cross = torch.linalg.cross(torch.eye(3), axis.expand(3, 3)).T
    sin, cos = angles.sin()[:, None, None], angles.cos()[:, None, None]
    return cos * torch.eye(3) + sin * cross + (1 - cos) * axis[:, None] * axis
