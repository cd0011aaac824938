"""Pictures as the measures see them: what looks at them, photos and what a base draws of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.base import Base
from engine.models.detail import as_addition
from train import metrics
from train.data import ImageSet, as_float
from train.encoder import encoder_input
from train.features import BATCH, Extractor, Eyes
from train.metrics import result_name

LARGEST = 256  # pixels: larger pictures are reduced to it, as the papers do for their distances


@dataclass(frozen=True)
class Result:
    """One number; `deviation` is that between subsets or pictures where there are any."""

    metric: str
    value: float
    extractor: str = ""
    counts: tuple[int, ...] = ()
    deviation: float | None = None

    @property
    def name(self) -> str:
        """As in the JSON: "kid_squeezenet_175x120"."""
        return result_name(self.metric.replace(" ", "_"), self.extractor, *self.counts)


@dataclass(frozen=True, eq=False)
class Instruments:
    """What looks at the pictures; None where weights were not given or asked for."""

    eyes: Eyes
    identity: Extractor | None
    seed: int
    lpips: metrics.Distance | None = None  # of AlexNet


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures [N, 3, R, R] in [-1, 1] on the CPU, and their features, computed once."""

    pictures: Tensor
    tools: Instruments

    @cached_property
    def pooled(self) -> Tensor:
        """[N, F], for comparing sets."""
        return self.tools.eyes.pooled(self.pictures)

    @cached_property
    def style(self) -> Tensor:
        """[N, F], Gram matrices."""
        return self.tools.eyes.style(self.pictures)

    @cached_property
    def perceptual(self) -> Tensor:
        """[N, F], rows of the perceptual distance."""
        return self.tools.eyes.perceptual(self.pictures)

    @cached_property
    def content(self) -> Tensor:
        """[N, F], rows of the perceptual distance of deep layers."""
        return self.tools.eyes.content(self.pictures)

    @cached_property
    def identity(self) -> Tensor | None:
        """[N, 128], None without an identity network."""
        return None if self.tools.identity is None else self.tools.identity(self.pictures)


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos as a base sees them: `seen` at `seen_size`, their codes `ws` [N, L, w_dim].

    `rebuilt` is what the base draws of them, no style yet and already as blurred as one. `detail`
    [N, C, R / 4, R / 4] is what they show beyond their codes; None: nothing of it is used.
    """

    seen: Seen
    ws: Tensor
    rebuilt: Seen
    detail: Tensor | None = None

    @property
    def content(self) -> tuple[Tensor, ...]:
        """What is drawn of them: codes, and the detail if it is used."""
        return (self.ws,) if self.detail is None else (self.ws, self.detail)


def encode_photos(
    base: Base, space: str, data: ImageSet, tools: Instruments, *, with_detail: bool = True
) -> Photos:
    """Encode uint8 photos of any size with a base; raises PackError without the encoder.

    The papers' methods know codes alone: `with_detail` off leaves the base's detail encoder out.
    """
    encoder = base.encoder_into(space)
    photos = as_float(data.images)
    inputs = encoder_input(photos, encoder.input_size)
    ws = torch.cat([base.encode(x, space).ws for x in inputs.split(BATCH)])
    detail = None
    if with_detail and base.detail_encoder is not None:
        large = encoder_input(photos, base.generator.resolution)
        pairs = zip(large.split(BATCH), ws.split(BATCH), strict=True)
        detail = torch.cat([base.detail(*pair) for pair in pairs])
    content = (ws,) if detail is None else (ws, detail)
    rebuilt = Seen(drawn_by(drawing(base), *content), tools)
    return Photos(Seen(encoder_input(photos, seen_size(base)), tools), ws, rebuilt, detail)


def drawing(base: Base) -> Callable[..., Tensor]:
    """Return what draws codes [n, L, w_dim], and their detail, with the base's own generator."""

    def draw(ws: Tensor, detail: Tensor | None = None) -> Tensor:
        device = base.runtime.device
        add = as_addition(None if detail is None else detail.to(device))
        return base.generator.synthesis(ws.to(device), add=add)

    return draw


def seen_size(base: Base) -> int:
    """Side of the pictures that are compared: that of the generator, at most 256 px."""
    return min(base.generator.resolution, LARGEST)


def drawn_by(draw: Callable[..., Tensor], *content: Tensor) -> Tensor:
    """Draw content in batches: [N, 3, S, S] in [-1, 1] on the CPU, S at most 256.

    `content` is what `draw` takes: codes [N, L, w_dim], and maybe their detail.
    """

    def pictures(*part: Tensor) -> Tensor:
        drawn = draw(*part).float().clamp(-1, 1)
        return encoder_input(drawn, min(drawn.shape[-1], LARGEST)).cpu()

    parts = zip(*(x.split(BATCH) for x in content), strict=True)
    with torch.inference_mode():
        return torch.cat([pictures(*part) for part in parts])
