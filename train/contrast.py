"""Contrastive learning (SimCLR, Chen et al. 2020, arXiv 2002.05709): its loss, its views, its head.

The views differ by an affine map alone. Colours, brush and contrast are what a style code has to
tell, so that BlendGAN (supplement A) changes none of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.backbone_encoder import EqualizedLinear
from engine.ops.bias_act import bias_act


def nt_xent(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al. 2020, Equation 1), mean over 2 N.

        l(i, j) = -log( exp(cos(z_i, z_j) / t) / sum over k != i of exp(cos(z_i, z_k) / t) )

    Args:
        a, b: [N, D], row i of both from two views of one picture; all others are negatives.
        temperature: t, above 0.

    Returns:
        A number: 0 at best, log(2 N - 1) if nothing is told apart.
    """
    z = F.normalize(torch.cat([a, b]), dim=1)
    logits = z @ z.T / temperature  # [2 N, 2 N]
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    partner = torch.arange(len(z), device=z.device).roll(len(a))
    return F.cross_entropy(logits.masked_fill(itself, -torch.inf), partner)


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """Share of the rows of `a` [N, D] whose nearest row of `b`, by cosine, is their own."""
    nearest = (F.normalize(a, dim=1) @ F.normalize(b, dim=1).T).argmax(dim=1)
    return (nearest == torch.arange(len(a), device=a.device)).float().mean()


def affine_view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each picture [N, 3, R, R] turned, mirrored, scaled, sheared and moved; edges are reflected.

    Up to 30 degrees, a quarter of the size, a shear of 0.2, a scale of 0.6 .. 1.2. No colour is
    changed, and none appears that was not there.
    """
    grid = F.affine_grid(_affine(len(images), generator), list(images.shape), align_corners=False)
    return F.grid_sample(
        images, grid.to(images), padding_mode="reflection", align_corners=False, mode="bilinear"
    )


def _affine(count: int, generator: torch.Generator) -> Tensor:
    """Maps from output to input, [N, 2, 3], in coordinates of [-1, 1]."""
    drawn = torch.rand(6, count, generator=generator) * 2 - 1
    angle, shear = drawn[0] * math.pi / 6, drawn[1] * 0.2
    scale = 1 / (0.9 + 0.3 * drawn[2])
    flip = torch.where(drawn[3] > 0, 1.0, -1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack([flip * cos, shear * cos - sin, 0.25 * drawn[4]], dim=1),
        torch.stack([flip * sin, shear * sin + cos, 0.25 * drawn[5]], dim=1),
    ]
    return torch.stack(rows, dim=1)


class ProjectionHead(nn.Module):
    """The second perceptron, which only the loss sees (Chen et al. 2020, Section 4.2)."""

    def __init__(self, style_dim: int, hidden: Sequence[int] = (512,), out: int = 128) -> None:
        super().__init__()
        sizes = [style_dim, *hidden, out]
        pairs = zip(sizes, sizes[1:], strict=False)
        self.layers = nn.ModuleList(EqualizedLinear(n_in, n_out) for n_in, n_out in pairs)

    def forward(self, z_style: Tensor) -> Tensor:
        """z_style [N, style_dim] -> [N, out]."""
        x = z_style
        for layer in self.layers:
            x = layer(bias_act(x))
        return x
