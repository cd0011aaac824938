"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676).

Geometric transforms are composed into one affine warp and colour transforms into one 3x4
matrix, each drawn with probability p; p follows the sign of the real scores.
"""

import math

import torch
import torch.nn.functional as F

TARGET = 0.6  # of the mean sign of the real scores, Section 3.2


class Augment:
    """Draws and applies the transforms; `p` is the probability of each."""

    def __init__(self, p: float = 0.0):
        self.p = p

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """float [N, 3, R, R] -> the same shape, each picture transformed by itself."""
        if self.p <= 0:
            return images
        images = _warp(images, self._geometry(images))
        colors = self._colors(images).to(images.dtype)
        mixed = torch.einsum("nij,njhw->nihw", colors[:, :, :3], images)
        return mixed + colors[:, :, 3, None, None]

    def adapt(self, sign: float, images: int, speed: float) -> None:
        """Move p towards `TARGET`; `speed` is the number of images for a move of 1."""
        step = images / speed
        self.p = min(max(self.p + (step if sign > TARGET else -step), 0.0), 0.85)

    def state_dict(self) -> dict[str, float]:
        """For exact resume."""
        return {"p": self.p}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """For exact resume."""
        self.p = state["p"]

    def _chosen(self, n: int, like: torch.Tensor) -> torch.Tensor:
        return torch.rand(n, device=like.device) < self.p

    def _normal(self, n: int, like: torch.Tensor) -> torch.Tensor:
        return torch.randn(n, device=like.device)

    def _uniform(self, n: int, like: torch.Tensor) -> torch.Tensor:
        return torch.rand(n, device=like.device) * 2 - 1

    def _geometry(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 2, 3]: output -> input, in coordinates of [-1, 1]."""
        n = x.shape[0]
        scale = torch.where(self._chosen(n, x), torch.exp2(0.2 * self._normal(n, x)), 1.0)
        aspect = torch.where(self._chosen(n, x), torch.exp2(0.2 * self._normal(n, x)), 1.0)
        flip = torch.where(self._chosen(n, x) & (self._uniform(n, x) > 0), -1.0, 1.0)
        angle = torch.where(self._chosen(n, x), math.pi * self._uniform(n, x), 0.0)
        shift = 0.25 * torch.stack([self._normal(n, x), self._normal(n, x)], 1)
        shift = torch.where(self._chosen(n, x)[:, None], shift, 0.0)
        cos, sin = angle.cos(), angle.sin()
        rows = [cos * scale * aspect * flip, -sin * scale / aspect, shift[:, 0]]
        rows += [sin * scale * aspect * flip, cos * scale / aspect, shift[:, 1]]
        return torch.stack(rows, 1).reshape(n, 2, 3)

    def _colors(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, 4]: brightness, contrast, saturation, hue."""
        n = x.shape[0]
        eye = torch.eye(3, device=x.device)
        gray = torch.full((3, 3), 1 / 3, device=x.device)
        contrast = torch.where(self._chosen(n, x), torch.exp2(0.5 * self._normal(n, x)), 1.0)
        saturation = torch.where(self._chosen(n, x), torch.exp2(self._normal(n, x)), 1.0)
        angle = torch.where(self._chosen(n, x), math.pi * self._uniform(n, x), 0.0)
        brightness = torch.where(self._chosen(n, x), 0.2 * self._normal(n, x), 0.0)
        matrix = gray + (eye - gray) * saturation[:, None, None]
        matrix = _rotate_hue(angle) @ matrix * contrast[:, None, None]
        return torch.cat([matrix, brightness[:, None, None].expand(-1, 3, 1)], dim=2)


def _warp(images: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _rotate_hue(angle: torch.Tensor) -> torch.Tensor:
    """Rotation about the grey axis (Rodrigues), [N, 3, 3]."""
    axis = 1 / math.sqrt(3)
    cross = torch.tensor([[0, -axis, axis], [axis, 0, -axis], [-axis, axis, 0]])
    cross = cross.to(angle.device)
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    eye = torch.eye(3, device=angle.device)
    return eye * cos + (1 - cos) / 3 + cross * sin
