"""From drawings to the picture they belong into: pasted, and what surrounds them toned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.align import compare_colors, paste
from engine.color import toned
from engine.finish import finished
from engine.options import StylizeOptions
from engine.portraits import Portrait

Placed = tuple[np.ndarray, np.ndarray]  # a drawing [R, R, 3], and the matrix photo -> drawing


def placed_by(portrait: Portrait, drawing: np.ndarray, options: StylizeOptions) -> Placed:
    """Return a drawing of a portrait with all that pasting it takes, and nothing else."""
    drawing = portrait.recolored(drawing, "skin") if options.color == "skin" else drawing
    return drawing, portrait.face.photo_to(len(drawing))


def composed(rgb: np.ndarray, placed: Sequence[Placed], options: StylizeOptions) -> np.ndarray:
    """Return a photo uint8 [H, W, 3] with drawings in it, finished as `options` say.

    Around them it takes on their tones as far as chosen. Without any it is a copy of the photo.
    """
    picture, keep = rgb, options.color == "keep"
    if options.surroundings and not keep:
        compared = [compare_colors(rgb, *one) for one in placed]
        seen = [colors for colors in compared if colors is not None]
        picture = toned(rgb, np.mean(seen, 0), options.surroundings) if seen else rgb
    for one in placed:
        picture = paste(picture, *one, match_color=keep)
    is_drawn = picture is not rgb
    return finished(picture if is_drawn else rgb.copy(), options, is_drawn=is_drawn)
