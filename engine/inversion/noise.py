"""Noise maps that are optimised with the code, without touching the generator they belong to.

A `PrivateGenerator` is a second tree of modules over the same weights: frozen, in float32, with one
noise map per picture and layer. What is set on it no other thread sees.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.models.stylegan2 import Generator, SynthesisLayer

SMALLEST_MAP = 8
NoiseMaps = Mapping[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)


class _PictureNoiseLayer(SynthesisLayer):
    """A synthesis layer whose constant noise is one map per picture, [N, 1, R, R]."""

    def _noise(self, x: Tensor, noise: str, generator: torch.Generator | None) -> Tensor:
        return self.noise_const * self.noise_strength


class PrivateGenerator(nn.Module):
    """A frozen second view of a generator, whose noise maps are arguments.

    Args:
        G: the generator; its weights are shared, not copied, and never written to.
        path: attribute path that pictures are drawn with.
    """

    def __init__(self, G: Generator, path: int = 0) -> None:
        super().__init__()
        self.G = frozen_view(G)
        self.G.synthesis.dtype = torch.float32
        self.path = path
        self.layers = {
            f"b{r}.{name}": layer
            for r in G.synthesis.resolutions
            for name, layer in self.G.synthesis.block(r, path).named_children()
            if isinstance(layer, SynthesisLayer)
        }
        self.stored = {name: layer.noise_const for name, layer in self.layers.items()}
        for layer in self.layers.values():
            layer.__class__ = _PictureNoiseLayer

    def stored_noise(self, count: int) -> dict[str, Tensor]:
        """The maps of the generator itself, [N, 1, R, R] each, by layer name ("b8.conv0")."""
        return {name: x.expand(count, 1, -1, -1) for name, x in self.stored.items()}

    def drawn_noise(self, count: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Fresh maps, the same for every picture, so that none depends on how many there are."""
        maps = {}
        for name, layer in self.layers.items():
            drawn = torch.randn(
                layer.resolution, layer.resolution, generator=generator, device=generator.device
            )
            maps[name] = drawn.to(layer.weight.device).expand(count, 1, -1, -1).clone()
        return maps

    def draw(self, ws: Tensor, noise: NoiseMaps) -> Tensor:
        """ws [N, L, w_dim] and noise maps -> float32 [N, 3, R, R]."""
        for name, layer in self.layers.items():
            layer.noise_const = noise[name]
        return self.G.synthesis(ws, noise="const", path=self.path)


def noise_regularization(maps: NoiseMaps) -> Tensor:
    """Correlation of each map with itself, one pixel aside (Karras et al. 2020, Appendix D).

    Every map, and its halved copies down to 8 px, adds the squared mean of n(x, y) n(x - 1, y) and
    of n(x, y) n(x, y - 1): a signal correlates with its neighbours, noise does not. Halving
    averages 2 x 2 pixels and doubles, so that white noise keeps its variance (the paper's text; its
    public code leaves the doubling out).

    Args:
        maps: [N, 1, R, R] each.

    Returns:
        [N], not weighted.
    """
    terms = []
    for noise in maps.values():
        while True:
            for axis in (2, 3):
                terms.append((noise * noise.roll(1, axis)).mean(dim=(1, 2, 3)).square())
            if noise.shape[-1] <= SMALLEST_MAP:
                break
            noise = 2 * F.avg_pool2d(noise, 2)
    return torch.stack(terms).sum(dim=0)


def normalized(noise: Tensor) -> Tensor:
    """Shift and scale each map [N, 1, R, R] to zero mean and unit variance."""
    centred = noise - noise.mean(dim=(2, 3), keepdim=True)
    return centred * centred.square().mean(dim=(2, 3), keepdim=True).clamp_min(1e-12).rsqrt()


def frozen_view(network: Network) -> Network:
    """A second tree of modules over the same weights, without gradients for them.

    Weights made in inference mode are copied: autograd may not look at those.
    """
    tensors = [*network.parameters(), *network.buffers()]
    # deepcopy takes what is in its memo for copied: the tensors, but not the modules
    return copy.deepcopy(network, {id(tensor): _frozen(tensor) for tensor in tensors})


def _frozen(tensor: Tensor) -> Tensor:
    plain = tensor.detach().clone() if tensor.is_inference() else tensor.detach()
    return nn.Parameter(plain, requires_grad=False) if isinstance(tensor, nn.Parameter) else plain
