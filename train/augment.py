"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676).

Geometric transforms are composed into one affine warp and colour transforms into one 3x4
matrix, each drawn with probability p; p follows the sign of the real scores.
"""

import math

import torch
import torch.nn.functional as F

from train.distributed import WHOLE, Share

TARGET = 0.6  # of the mean sign of the real scores, Section 3.2


class Augment:
    """Draws and applies the transforms; `p` is the probability of each."""

    def __init__(self, p: float = 0.0):
        self.p = p
        self.always = False  # transform at p = 0, too: a recorded step has to
        self._sent: dict[torch.device, torch.Tensor] = {}  # p where recorded steps read it

    def __call__(self, images: torch.Tensor, share: Share = WHOLE) -> torch.Tensor:
        """float [N, 3, R, R] -> the same shape, each picture transformed by itself."""
        if self.p <= 0 and not self.always:
            return images
        images = _warp(images, self._geometry(images, share))
        colors = self._colors(images, share).to(images.dtype)
        mixed = torch.einsum("nij,njhw->nihw", colors[:, :, :3], images)
        return mixed + colors[:, :, 3, None, None]

    def adapt(self, sign: float, images: int, speed: float) -> None:
        """Move p towards `TARGET`; `speed` is the number of images for a move of 1."""
        step = images / speed
        self.p = min(max(self.p + (step if sign > TARGET else -step), 0.0), 0.85)
        for sent_p in self._sent.values():
            sent_p.fill_(self.p)

    def state_dict(self) -> dict[str, float]:
        """For exact resume."""
        return {"p": self.p}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """For exact resume."""
        self.p = state["p"]
        self._sent.clear()

    def _p(self, device: torch.device) -> torch.Tensor:
        if device not in self._sent:
            self._sent[device] = torch.tensor(self.p, device=device)
        return self._sent[device]

    def _geometry(self, x: torch.Tensor, share: Share) -> torch.Tensor:
        """[N, 2, 3]: output -> input, in coordinates of [-1, 1]."""
        draw = _Draws(self._p(x.device), x, share)
        scale = draw.often(torch.exp2(0.2 * draw.normal()), 1.0)
        aspect = draw.often(torch.exp2(0.2 * draw.normal()), 1.0)
        flip = draw.often(draw.uniform().sign(), 1.0)
        angle = draw.often(math.pi * draw.uniform(), 0.0)
        shift_x, shift_y = (draw.often(0.25 * draw.normal(), 0.0) for _ in range(2))
        cos, sin = angle.cos(), angle.sin()
        rows = [cos * scale * aspect * flip, -sin * scale / aspect, shift_x]
        rows += [sin * scale * aspect * flip, cos * scale / aspect, shift_y]
        return torch.stack(rows, 1).reshape(-1, 2, 3)

    def _colors(self, x: torch.Tensor, share: Share) -> torch.Tensor:
        """[N, 3, 4]: brightness, contrast, saturation, hue."""
        draw = _Draws(self._p(x.device), x, share)
        eye = torch.eye(3, device=x.device)
        gray = torch.full((3, 3), 1 / 3, device=x.device)
        contrast = draw.often(torch.exp2(0.5 * draw.normal()), 1.0)
        saturation = draw.often(torch.exp2(draw.normal()), 1.0)
        angle = draw.often(math.pi * draw.uniform(), 0.0)
        brightness = draw.often(0.2 * draw.normal(), 0.0)
        matrix = gray + (eye - gray) * saturation[:, None, None]
        matrix = _rotate_hue(angle) @ matrix * contrast[:, None, None]
        return torch.cat([matrix, brightness[:, None, None].expand(-1, 3, 1)], dim=2)


def jitter_colors(pictures: torch.Tensor, amount: float) -> torch.Tensor:
    """Change brightness, contrast, saturation and hue of [N, M, 3, H, W] in [0, 1] a little.

    All M pictures of a row alike; factors are uniform in 1 +- `amount`, the hue turns by up to
    `amount` of a circle; 0 changes nothing.
    """
    if amount <= 0:
        return pictures
    draw = _Draws(1.0, pictures, WHOLE)
    light, contrast, saturation = (1 + amount * draw.uniform() for _ in range(3))
    eye, gray = torch.eye(3, device=pictures.device), pictures.new_full((3, 3), 1 / 3)
    matrix = gray + (eye - gray) * saturation[:, None, None]
    matrix = _rotate_hue(2 * math.pi * amount * draw.uniform()) @ matrix
    matrix = matrix * (light * contrast)[:, None, None]
    mixed = torch.einsum("nij,nmjhw->nmihw", matrix, pictures)
    return (mixed + (0.5 - 0.5 * contrast)[:, None, None, None, None]).clamp(0, 1)


class _Draws:
    """One random number per picture of x [N, ...] at a time."""

    def __init__(self, p: torch.Tensor | float, x: torch.Tensor, share: Share):
        self.p, self.shape, self.device, self.share = p, (len(x),), x.device, share

    def often(self, value: torch.Tensor, otherwise: float) -> torch.Tensor:
        """`value` [N] with probability p."""
        chosen = self.share.rand(self.shape, self.device) < self.p
        return torch.where(chosen, value, otherwise)

    def normal(self) -> torch.Tensor:
        """From N(0, 1), [N]."""
        return self.share.randn(self.shape, self.device)

    def uniform(self) -> torch.Tensor:
        """From -1 to 1, [N]."""
        return self.share.rand(self.shape, self.device) * 2 - 1


def _warp(images: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.dtype)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _rotate_hue(angle: torch.Tensor) -> torch.Tensor:
    """Rotation about the grey axis (Rodrigues), [N, 3, 3]."""
    axis = 1 / math.sqrt(3)
    eye = torch.eye(3, device=angle.device)
    cross = axis * (eye.roll(1, 0) - eye.roll(-1, 0))  # [[0, -1, 1], [1, 0, -1], [-1, 1, 0]]
    cos, sin = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return eye * cos + (1 - cos) / 3 + cross * sin
