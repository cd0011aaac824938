"""A discriminator that learns within hundreds of steps, because its eyes are trained already.

Projected GANs (Sauer et al. 2021, arXiv 2111.01007): features of a frozen network are mixed by
fixed random convolutions, across channels and from coarse to fine (Section 3.2, CCM and CSM), and
one small head per scale learns to tell exemplars from drawings. Each head answers a map, one score
per cell, as a PatchGAN does (Isola et al. 2017): what is judged are lines and textures.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from engine.models.discriminator import Discriminator
from engine.models.perceptual import SMALLEST_SIDE, SqueezeNet

Look = Callable[[Tensor], list[Tensor]]  # pictures [N, 3, H, W] -> maps, fine to coarse

SEEN = ("conv1", "fire3", "fire5", "fire7", "fire9")
BLOCKS = 4  # of a discriminator, those nearest to the picture
WIDTH = 64
SLOPE = 0.2


def look_with(perceptual: str, D: Discriminator) -> Look:
    """Eyes of a critic: SqueezeNet where its file was given, else the base's discriminator.

    SqueezeNet knows more than faces, and costs a third of a discriminator of half width.

    Raises:
        CheckpointError: the file is no squeezenet_v1.0.npz.
    """
    if not perceptual:
        return lambda pictures: _blocks(D, pictures)
    network = SqueezeNet.from_npz(perceptual).to(D.b4.conv.weight.device)
    return lambda pictures: network.features(_large_enough(pictures), SEEN)


def _blocks(D: Discriminator, pictures: Tensor) -> list[Tensor]:
    found, x = [], pictures.to(D.dtype)
    for _, block in list(D.named_children())[:-1][:BLOCKS]:  # the last one wants whole pictures
        x = block(x)
        found.append(x)
    return found


def _large_enough(pictures: Tensor) -> Tensor:
    if min(pictures.shape[2:]) >= SMALLEST_SIDE:
        return pictures
    return F.interpolate(pictures, (SMALLEST_SIDE, SMALLEST_SIDE), mode="bilinear")


class Critic(nn.Module):
    """Heads on frozen features, one per size of them: on the last map of each.

    Args:
        seen: what a `Look` gives of some exemplars: how many channels there are, how large maps
            are beside each other, and by how much their values differ.
        num_scales: of the sizes, the finest first; all of four see what is shown, two its texture
            only, which is what drawings far from photographs can be followed in.
    """

    def __init__(self, seen: Sequence[Tensor], num_scales: int = 4) -> None:
        super().__init__()
        maps = _last_of_each_size(seen)
        halvings = range(len(maps) - 1, -1, -1)
        maps = maps[:num_scales]
        self.mix = nn.ModuleList(nn.Conv2d(x.shape[1], WIDTH, 1, bias=False) for x in maps)
        self.merge = nn.ModuleList(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False) for _ in maps[1:]
        )
        for fixed in (*self.mix, *self.merge):
            nn.init.kaiming_normal_(fixed.weight, nonlinearity="linear")
            fixed.requires_grad_(False)
        self.heads = nn.ModuleList(_head(halvings[i]) for i in range(len(maps)))
        scale = torch.stack([1 / x.float().std() for x in maps])
        self.register_buffer("scale", scale.detach())

    def forward(self, seen: Sequence[Tensor]) -> Tensor:
        """Scores [N, cells] of what was seen."""
        seen = _last_of_each_size(seen)[: len(self.heads)]
        scaled = zip(self.mix, seen, self.scale, strict=True)
        maps = [mix(x * scale) for mix, x, scale in scaled]
        for i in reversed(range(len(maps) - 1)):
            coarse = F.interpolate(maps[i + 1], size=maps[i].shape[2:], mode="bilinear")
            maps[i] = maps[i] + 0.5**0.5 * self.merge[i](coarse)
        scores = [head(x).flatten(1) for head, x in zip(self.heads, maps, strict=True)]
        return torch.cat(scores, dim=1)


def _last_of_each_size(seen: Sequence[Tensor]) -> list[Tensor]:
    return list({x.shape[2:]: x for x in seen}.values())


def _head(halvings: int) -> nn.Sequential:
    """Convolutions to about the size of the coarsest map, and a score per cell; all Lipschitz."""
    layers: list[nn.Module] = []
    for _ in range(halvings):
        layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 4, 2, 1)), nn.LeakyReLU(SLOPE)]
    layers += [spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(WIDTH, 1, 1)))
