"""The semantic distance of Lu & Zhou (2025, arXiv 2506.22022, Equation 1): LPIPS + 0.1 identity.

Both parts look at pictures of one size, 256 px in the paper (its Section 6.1), and both can look at
a target once and compare many pictures with it, which is what an inversion does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.checkpoints import read
from engine.errors import OptionError
from engine.inversion import DiscriminatorDistance, Distance, lpips_distance
from engine.models.discriminator import Discriminator
from engine.models.irse import identity_crop
from engine.models.perceptual import PerceptualDistance, SqueezeNet, feature_distance

LPIPS = "lpips"  # what --perceptual is given for the network of the papers
IDENTITY_LEFT_OUT = "identity: no --identity file was given"


class Settings(Protocol):
    """What the loss needs to know of a configuration."""

    perceptual: str
    identity: str
    identity_weight: float
    size: int


@dataclass(frozen=True)
class FeatureDistance:
    """Compare pictures [N, 3, R, R] in [-1, 1] by their features at one size: [N].

    Attributes:
        features: [N, 3, size, size] -> whatever `compare` takes.
        compare: (features, features) -> [N].
        size: side that pictures are resized to first.
    """

    features: Callable[[Tensor], Any]
    compare: Callable[[Any, Any], Tensor]
    size: int

    def __call__(self, picture: Tensor, target: Tensor) -> Tensor:
        """Return the distances, differentiable in both pictures."""
        return self.compare(self._look(picture), self._look(target))

    def against(self, target: Tensor) -> Callable[[Tensor], Tensor]:
        """Compute the features of a target that stays the same once."""
        with torch.no_grad():
            wanted = self._look(target)
        return lambda picture: self.compare(self._look(picture), wanted)

    def _look(self, picture: Tensor) -> Any:
        return self.features(resized(picture, self.size))


def resized(picture: Tensor, size: int) -> Tensor:
    """[N, 3, R, R] -> [N, 3, size, size]: averaged down, or enlarged bilinearly."""
    if picture.shape[-1] >= size:
        return F.adaptive_avg_pool2d(picture, size) if picture.shape[-1] > size else picture
    return F.interpolate(picture, (size, size), mode="bilinear", align_corners=False)


def cosine_distance(a: Tensor, b: Tensor) -> Tensor:
    """1 - cosine of embeddings [N, D]: 0 for the same direction, 2 for opposite ones."""
    return 1 - F.cosine_similarity(a, b, dim=1)


def perceptual_distance(
    name: str, size: int, device: torch.device, D: Discriminator | None = None
) -> Distance:
    """The perceptual part at `size` px.

    Args:
        name: path of squeezenet_v1.0.npz, or "lpips" for LPIPS on VGG-16, where its weights are
            installed; "": the discriminator looks instead, at its own size.
        D: of the base, on `device`.

    Raises:
        CheckpointError: the weights are missing or unreadable.
    """
    if name == LPIPS:
        metric = lpips_distance().to(device)
        return FeatureDistance(lambda x: x, metric, size)
    if D is not None and not name:
        return base_distance(name, D)
    network = PerceptualDistance(SqueezeNet.from_npz(name)).to(device)
    return FeatureDistance(network.features, feature_distance, size)


def base_distance(file: str, D: Discriminator, drop_first: int = 0) -> Distance:
    """The perceptual distance of a transfer at the base's own resolution.

    Args:
        file: path of squeezenet_v1.0.npz; "": the base's discriminator looks instead.
        D: that discriminator, on the device of the training.
        drop_first: of the layers, shallow to deep, which see colour and texture.

    Raises:
        CheckpointError: the weights are missing or unreadable.
    """
    if file:
        network = SqueezeNet.from_npz(file).to(D.b4.conv.weight.device)
        return PerceptualDistance(network, drop_first=drop_first)
    look = DiscriminatorDistance(D).features
    return FeatureDistance(lambda x: look(x)[drop_first:], feature_distance, D.resolution)


def perceptual_name(name: str) -> str:
    """What the perceptual part is, for cards and tables."""
    if name == LPIPS:
        return "LPIPS (VGG-16)"
    if not name:
        return "the base's discriminator in place of LPIPS"
    return "SqueezeNet v1.0 features in place of LPIPS"


def identity_distance(file: str, size: int, device: torch.device) -> Distance | None:
    """The identity part through an ArcFace file, None without one.

    Raises:
        CheckpointError: the file is missing or no ArcFace network.
    """
    if not file:
        return None
    network = read(file, kind="arcface").build()["identity"].to(device)
    return FeatureDistance(lambda x: network(identity_crop(x)), cosine_distance, size)


def check_size(size: int) -> None:
    """Raise OptionError for a --size that the perceptual networks do not take."""
    if size < 64:
        raise OptionError(f"--size {size} is too small: the losses need 64 px; the paper has 256")


class SemanticLoss:
    """The unweighted terms of Equations 1 and 2 with the networks that measure them."""

    def __init__(self, config: Settings, device: torch.device, D: Discriminator | None = None):
        self.perceptual = perceptual_distance(config.perceptual, config.size, device, D)
        self.identity = identity_distance(config.identity, config.size, device)
        self.identity_weight = config.identity_weight

    def semantic(self, fake: Tensor, original: Tensor) -> Tensor:
        """LPIPS + 0.1 identity between G'(z) and G(z) (Equation 1)."""
        loss = self.perceptual(fake, original).mean()
        if self.identity is None:
            return loss
        return loss + self.identity_weight * self.identity(fake, original).mean()

    def paired(self, fake: Tensor, exemplar: Tensor) -> Tensor:
        """LPIPS between G'(w_pair) and the exemplar (Equation 2)."""
        return self.perceptual(fake, exemplar).mean()
