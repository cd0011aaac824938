"""Extractors of features for the metrics: pictures in, one row of features per picture out.

All keep one contract: `name`, and a call that takes [N, 3, H, W] RGB in [-1, 1] of any size,
resizes and normalises inside, and gives float32 [N, F] on the CPU. Inception and CLIP, which FID
and CMMD are named after, are not here: their weights do not come with the project, and numbers of
other extractors are named after these (`train.metrics.result_name`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from engine.detect import Detector, EmbeddedDetector
from engine.image import to_tensor, to_uint8
from engine.inversion import DiscriminatorDistance
from engine.models.discriminator import Discriminator
from engine.models.mobilefacenet import FACE_POINTS, HEIGHT, WIDTH, MobileFaceNet
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from train.metrics import gram_vector

Look = Callable[[Tensor], Tensor]
Activations = Callable[[Tensor], Sequence[Tensor]]
BATCH = 16
SQUEEZENET_SIZE = 224
SQUEEZENET_SCALE = 1 / 25  # its activations reach 150: FID and KID are then of the usual order
PERCEPTUAL_SIZE = 128  # of all packs, so that those of different resolutions compare
LARGEST_ACTIVATION = 64  # pixels: a discriminator of 1024 px would fill the memory with more
STYLE_LAYERS = ("conv1", "fire2", "fire4")  # colour and texture
CONTENT_FROM = 2  # of the layers of a perceptual distance: the first ones see colour and texture
# Where the five landmarks lie in FFHQ's framing, as parts of its side: means of 175 test photos.
FFHQ_POINTS = (
    *((0.3739, 0.4773), (0.6242, 0.4754), (0.5031, 0.6303)),
    *((0.3911, 0.7348), (0.6127, 0.7331)),
)


class Extractor(Protocol):
    """What turns pictures into features; `name` becomes a part of every result's name."""

    name: str

    def __call__(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> float32 [N, F] on the CPU."""


@dataclass(frozen=True)
class Features:
    """An extractor made of a function.

    Attributes:
        name: as in the names of results.
        look: [n, 3, size, size] -> [n, F].
        size: side that pictures are resized to.
        device: where `look` wants them.
    """

    name: str
    look: Look
    size: int
    device: torch.device

    def __call__(self, pictures: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> float32 [N, F] on the CPU."""
        with torch.inference_mode():
            batches = (resized(x.to(self.device), self.size) for x in pictures.split(BATCH))
            return torch.cat([self.look(x).float().cpu() for x in batches])


@dataclass(frozen=True)
class Eyes:
    """One network's extractors, all that the metrics of `train.measures` look with.

    Attributes:
        name: of the network.
        pooled: means of its last activations, for sets of pictures (FID, KID, coverage).
        style: Gram matrices of its early layers, unit rows.
        perceptual: rows whose squared distance is the perceptual distance of the pictures, so that
            all pairs of two sets cost one matrix product. F is 843,104 of SqueezeNet.
        content: the same without the first layers.
    """

    name: str
    pooled: Extractor
    style: Extractor
    perceptual: Extractor
    content: Extractor


def eyes_of(perceptual: str, D: Discriminator) -> Eyes:
    """SqueezeNet where its file was given, else the discriminator of the base.

    Raises:
        CheckpointError: the file is no squeezenet_v1.0.npz.
    """
    if perceptual:
        return squeezenet_eyes(perceptual, D.b4.conv.weight.device)
    return discriminator_eyes(D)


def squeezenet_eyes(path: str | PathLike[str], device: torch.device) -> Eyes:
    """SqueezeNet v1.0, the offline stand-in for Inception and for the networks of LPIPS.

    It learned the same task (ImageNet), so its numbers rank like published ones, on another scale.
    Pooled features (fire9 / 25, [N, 512]) are taken at 224 px, all else at 128.

    Raises:
        CheckpointError: `path` is no squeezenet_v1.0.npz.
    """
    network = SqueezeNet.from_npz(path).to(device)
    distance = PerceptualDistance(network)
    return _eyes(
        "squeezenet",
        lambda x: network.features(x, ["fire9"])[-1] * SQUEEZENET_SCALE,
        lambda x: network.features(x, STYLE_LAYERS),
        distance.features,
        (SQUEEZENET_SIZE, PERCEPTUAL_SIZE),
        device,
    )


def discriminator_eyes(D: Discriminator) -> Eyes:
    """The discriminator of a base pack: what is always there.

    It knows faces and little else, and was trained against the generator of the same pack: fit to
    compare the styles of one base, not bases. Its last block is left out, because it looks at all
    pictures of a batch together.
    """

    def activations(x: Tensor) -> list[Tensor]:
        found = []
        for name, block in D.named_children():
            if name != "b4":
                x = block(x)
                found.append(x)
        return found

    def small(x: Tensor) -> list[Tensor]:
        found = DiscriminatorDistance(D).features(x)
        return [unit for unit in found if unit.shape[-1] <= LARGEST_ACTIVATION]

    return _eyes(
        "discriminator",
        lambda x: activations(x)[-1],
        lambda x: activations(x)[:2],
        small,
        (D.resolution, D.resolution),
        D.b4.conv.weight.device,
    )


class IdentityFeatures:
    """MobileFaceNet's embedding of FFHQ-framed faces, unit rows: [N, 128].

    The network was trained on faces moved to SphereFace's five points, so they are aligned by the
    landmarks our own detector finds. Where it finds no face (drawings), the mean landmarks of the
    framing are taken. For metrics only: see `engine.models.mobilefacenet`.

    One person neutral and smiling: 0.91 (90 pairs of ../shared/data/photos); two people: 0.04.
    """

    name = "mobilefacenet"

    def __init__(self, network: MobileFaceNet, detector: Detector | None = None) -> None:
        self.network = network
        self.detector = EmbeddedDetector.from_file() if detector is None else detector

    def __call__(self, pictures: Tensor) -> Tensor:
        """[N, 3, S, S] in [-1, 1] -> [N, 128]."""
        crops = np.stack([self._crop(rgb) for rgb in to_uint8(pictures)])
        device = self.network.conv1.conv.weight.device
        with torch.inference_mode():
            rows = [self.network(x.to(device)).cpu() for x in to_tensor(crops).split(BATCH)]
        return torch.cat(rows)

    def _crop(self, rgb: np.ndarray) -> np.ndarray:
        faces = self.detector(rgb)
        points = faces[0].landmarks if faces else np.array(FFHQ_POINTS) * len(rgb) - 0.5
        return face_crop(rgb, points)


def face_crop(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut uint8 [112, 96, 3] out of [H, W, 3] so that five points [5, 2] lie where they belong."""
    photo_to_crop = similarity(points, np.array(FACE_POINTS))
    shrink = min(1.0, float(np.hypot(*photo_to_crop[0, :2])))
    if shrink < 1:  # shrunk by area first, so that nothing aliases
        size = [max(1, round(side * shrink)) for side in rgb.shape[1::-1]]
        scale = np.array(size) / rgb.shape[1::-1]
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
        photo_to_crop = similarity((points + 0.5) * scale - 0.5, np.array(FACE_POINTS))
    return cv2.warpAffine(rgb, photo_to_crop, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE)


def similarity(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity float64 [2, 3] that moves points [K, 2] closest to `target` [K, 2].

    Least squares without mirroring (Umeyama 1991): with centred points as complex numbers, turn
    and scale are one complex factor.
    """
    start, end = points.mean(0).astype(np.float64), target.mean(0)
    a, b = ((p - middle) @ [1, 1j] for p, middle in ((points, start), (target, end)))
    factor = (a.conj() @ b) / max((a.conj() @ a).real, 1e-12)
    turn = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([turn, end - turn @ start])


def resized(pictures: Tensor, size: int) -> Tensor:
    """[N, 3, H, W] at size x size and within [-1, 1]; bicubic, antialiased when it shrinks."""
    pictures = pictures.clamp(-1, 1)
    if tuple(pictures.shape[2:]) == (size, size):
        return pictures
    return F.interpolate(pictures, (size, size), mode="bicubic", antialias=True).clamp(-1, 1)


def _eyes(
    name: str,
    last: Look,
    early: Activations,
    unit: Activations,
    sizes: tuple[int, int],
    device: torch.device,
) -> Eyes:
    """Extractors of one network: its last, early, and unit activations at two sizes."""
    size, perceptual_size = sizes
    return Eyes(
        name,
        Features(name, lambda x: last(x).mean(dim=(2, 3)), size, device),
        Features(f"{name}-gram", lambda x: gram_vector(early(x)), perceptual_size, device),
        Features(f"{name}-lpips", lambda x: _scaled(unit(x)), perceptual_size, device),
        Features(
            f"{name}-deep", lambda x: _scaled(unit(x)[CONTENT_FROM:]), perceptual_size, device
        ),
    )


def _scaled(activations: Sequence[Tensor]) -> Tensor:
    """Unit activations as one row per picture: |a - b|^2 is the mean over places and layers."""
    rows = [(x.float() / (x[0, 0].numel() * len(activations)) ** 0.5) for x in activations]
    return torch.cat([x.flatten(1) for x in rows], dim=1)
