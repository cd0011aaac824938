"""From drawings to the picture they belong into: pasted, what surrounds them drawn or toned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.align import compare_colors, paste
from engine.around import draw_around, is_drawn_around
from engine.color import toned
from engine.enlarge import WORTH, enlarged
from engine.finish import finished
from engine.options import StylizeOptions
from engine.portraits import Portrait
from engine.style import Style
from engine.warp import rescale

Placed = tuple[np.ndarray, np.ndarray]  # a drawing [R, R, 3], and the matrix photo -> drawing


def placed_by(portrait: Portrait, drawing: np.ndarray, options: StylizeOptions) -> Placed:
    """Return a drawing of a portrait with all that pasting it takes, and nothing else."""
    drawing = portrait.recolored(drawing, "skin") if options.color == "skin" else drawing
    return portrait.shaped(drawing, options), portrait.face.photo_to(len(drawing))


def composed(
    rgb: np.ndarray,
    placed: Sequence[Placed],
    options: StylizeOptions,
    style: Style,
    *,
    fine: bool | None = None,
) -> np.ndarray:
    """Return a photo uint8 [H, W, 3] with drawings in it, finished as `options` say.

    Around them it is drawn by the style's student, or takes on their tones, as far as chosen.
    With `fine` drawings go through the base's upscaler first; None: those that become larger.
    Without any it is a copy of the photo.
    """
    picture = _around(rgb, placed, options, style) if placed and options.surroundings else rgb
    for one in placed:
        drawing = _enlarged(one, style) if fine or (fine is None and is_larger(one)) else one
        picture = paste(picture, *drawing, like=rgb if options.color == "keep" else None)
    is_drawn = picture is not rgb
    return finished(picture if is_drawn else rgb.copy(), options, is_drawn=is_drawn)


def is_larger(placed: Placed) -> bool:
    """Tell whether a drawing becomes so much larger in its photo that a finer one is worth it."""
    return 1 / face_scale([placed]) >= WORTH


def _enlarged(placed: Placed, style: Style) -> Placed:
    drawing, matrix = placed
    larger = enlarged(drawing, style.base)
    return larger, rescale(matrix, len(drawing), len(larger))


def _around(
    rgb: np.ndarray, placed: Sequence[Placed], options: StylizeOptions, style: Style
) -> np.ndarray:
    if is_drawn_around(style, options):
        return draw_around(rgb, face_scale(placed), style, options)
    compared = [compare_colors(rgb, *one) for one in placed if options.color != "keep"]
    seen = [colors for colors in compared if colors is not None]
    return toned(rgb, np.mean(seen, 0), options.surroundings) if seen else rgb


def face_scale(placed: Sequence[Placed]) -> float:
    """Pixels of a drawing per pixel of the photo, of the largest face."""
    return min(float(np.sqrt(np.linalg.det(matrix[:2, :2]))) for _, matrix in placed)
