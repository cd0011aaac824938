"""How a reference picture looks: a code that any portrait can be drawn with, and its palette.

Two ways: BlendGAN's style encoder reads it in one pass (Liu et al. 2021, section 3.1); without one
the picture is inverted into the V space of the style's own generator (UI2I, Section III-B; Lu &
Zhou 2025, section 3.4), which takes half a minute on two cores. The `Reference` is then given to
`Stylizer.render`; `mix_layer` and `palette` of the options say how much of it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.color import palette_of, with_palette
from engine.detect import Face
from engine.errors import OptionError
from engine.image import resize, to_tensor, to_uint8
from engine.inversion import (
    PRESETS,
    DiscriminatorDistance,
    Distance,
    InversionCache,
    InversionSettings,
    invert,
)
from engine.inversion.cache import cache_key
from engine.latent import blend
from engine.portraits import central_square, frame
from engine.style import Style

METHODS = ("auto", "encoder", "inversion")
# The published 1000 steps, as far as they pay while somebody waits; noise maps are not used here.
QUICK = replace(PRESETS["v-average"], steps=200, optimize_noise=False, patience=40)


@dataclass(frozen=True)
class Reference:
    """How a picture looks.

    Attributes:
        ws: its code, float32 [1, L, w_dim] on the CPU.
        palette: mean and deviation of its L, a, b as of `color.palette_of`, float64 [2, 3]; None
            leaves the colours as they are drawn.
    """

    ws: Tensor
    palette: np.ndarray | None = None

    def recolored(self, drawn: np.ndarray, share: float) -> np.ndarray:
        """Give a drawing, uint8 [R, R, 3], `share` of the way to the palette."""
        known = self.palette is not None and share > 0
        return with_palette(drawn, self.palette, share) if known else drawn

    def blended(self, other: Reference, share: float) -> Reference:
        """Return what lies `share` of the way to another: 0 is this one, 1 the other."""
        ws, palette = blend(self.ws, other.ws, share), None
        if self.palette is not None and other.palette is not None:
            palette = (1 - share) * self.palette + share * other.palette
        return Reference(ws, palette)


def read_reference(
    style: Style,
    rgb: np.ndarray,
    faces: Sequence[Face] = (),
    *,
    method: str = "auto",
    settings: InversionSettings = QUICK,
    distance: Distance | None = None,
    cache: InversionCache | None = None,
    should_stop: Callable[[], bool] | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Reference:
    """Read the look of a reference picture uint8 RGB [H, W, 3].

    Args:
        style: the one that will draw with the code.
        faces: faces in it, of which the first is framed as the generator draws faces; without any,
            as in many paintings and drawings, the central square is taken.
        method: "encoder", "inversion", or "auto": the encoder where the style has one.
        settings, distance: of an inversion; None: the eyes of the base's discriminator.
        cache: inversions found before, of the same visitor.
        should_stop, on_step: as in `engine.inversion.invert`.

    Raises:
        OptionError: no such method.
        PackError: the style has no style encoder, or its base no discriminator.
        Cancelled: `should_stop` said so.
    """
    if method not in METHODS:
        accepted = ", ".join(METHODS)
        raise OptionError(f"reference method is {method!r}; accepted: {accepted}")
    size = style.base.generator.resolution
    if method == "encoder" or (method == "auto" and style.has_style_encoder):
        image = _framed(style, rgb, faces, max(size, 256))
        return Reference(style.reference_codes(image), _palette(image))
    image = _framed(style, rgb, faces, size)
    key = cache_key(_content(image), _generator_name(style), settings)
    found = cache.get(key) if cache else None
    if found is None:
        found = invert(
            style.network(settings.path),
            image.to(style.base.runtime.device),
            settings,
            distance=distance or DiscriminatorDistance(style.base.discriminator),
            should_stop=should_stop,
            on_step=on_step,
        )
        if cache:
            cache.put(key, found)
    return Reference(found.ws.float().cpu().clone(), _palette(image))


def _framed(style: Style, rgb: np.ndarray, faces: Sequence[Face], size: int) -> Tensor:
    """The picture as a generator would draw it, [1, 3, size, size] in [-1, 1]."""
    if faces:
        return to_tensor(frame(rgb, faces[0], style.base, size).crop)
    x0, y0, x1, y1 = (int(edge) for edge in central_square(rgb).box)
    return to_tensor(resize(rgb[y0:y1, x0:x1], size, size))


def _palette(image: Tensor) -> np.ndarray:
    return palette_of(to_uint8(image)[0])


def _content(image: Tensor) -> bytes:
    return torch.round((image + 1) * 127.5).to(torch.uint8).numpy().tobytes()


def _generator_name(style: Style) -> str:
    return f"{style.card.sha256} over {style.base.sha256}"
