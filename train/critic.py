"""A discriminator that learns within hundreds of steps, because its eyes are trained already.

Projected GANs (Sauer et al. 2021, arXiv 2111.01007): features of a frozen classifier are mixed by
fixed random convolutions, across channels and from coarse to fine (Section 3.2, CCM and CSM), and
one small head per scale learns to tell exemplars from drawings. Each head answers a map, one score
per cell, as a PatchGAN does (Isola et al. 2017): what is judged are lines and textures. The
classifier is SqueezeNet, which costs less than a third of a generator of half width.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from engine.models.perceptual import SMALLEST_SIDE, SqueezeNet

SEEN = ("conv1", "fire3", "fire5", "fire7", "fire9")  # what one look gives
SCALES = {"conv1": (96, 3), "fire3": (128, 2), "fire7": (384, 1), "fire9": (512, 0)}
WIDTH = 64
SLOPE = 0.2


def features(network: SqueezeNet, pictures: Tensor) -> list[Tensor]:
    """What the classifier sees in [N, 3, H, W]: activations of SEEN; small ones are enlarged."""
    if min(pictures.shape[2:]) < SMALLEST_SIDE:
        pictures = F.interpolate(pictures, (SMALLEST_SIDE, SMALLEST_SIDE), mode="bilinear")
    return network.features(pictures, SEEN)


class Critic(nn.Module):
    """Heads on features of a frozen classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.ModuleList(nn.Conv2d(n, WIDTH, 1, bias=False) for n, _ in SCALES.values())
        coarser = range(len(SCALES) - 1)
        self.merge = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in coarser
        )
        for fixed in (*self.mix, *self.merge):
            nn.init.kaiming_normal_(fixed.weight, nonlinearity="linear")
            fixed.requires_grad_(False)
        self.heads = nn.ModuleList(_head(halvings) for _, halvings in SCALES.values())
        self.register_buffer("scale", torch.ones(len(SCALES)))

    @torch.no_grad()
    def adjust(self, seen: Sequence[Tensor]) -> None:
        """Bring features of all scales to about the same size, from those of some exemplars."""
        self.scale.copy_(torch.stack([1 / x.std() for x in _of_scales(seen)]))

    def forward(self, seen: Sequence[Tensor]) -> Tensor:
        """Scores [N, cells] of what `features` saw."""
        maps = [
            mix(x * s) for mix, x, s in zip(self.mix, _of_scales(seen), self.scale, strict=True)
        ]
        for i in reversed(range(len(maps) - 1)):
            coarse = F.interpolate(maps[i + 1], size=maps[i].shape[2:], mode="bilinear")
            maps[i] = maps[i] + 0.5**0.5 * self.merge[i](coarse)
        scores = [head(x).flatten(1) for head, x in zip(self.heads, maps, strict=True)]
        return torch.cat(scores, dim=1)


def _of_scales(seen: Sequence[Tensor]) -> list[Tensor]:
    return [x for name, x in zip(SEEN, seen, strict=True) if name in SCALES]


def _head(halvings: int) -> nn.Sequential:
    """Convolutions to the size of the coarsest scale, and a score per cell; all Lipschitz."""
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 4, 2, 1)), nn.LeakyReLU(SLOPE)]
    layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(WIDTH, 1, 1)))
