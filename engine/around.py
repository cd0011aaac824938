"""The rest of a photo drawn like the face in it, by the small network that learned the style.

A student is a network of convolutions that was taught with hair, shoulders and backgrounds, so it
draws pictures of any size: strokes, ink and canvas then do not end around a head.
"""

from __future__ import annotations

import cv2
import numpy as np

from engine.color import match_color
from engine.image import resize
from engine.live import draw_crops, has_student, student_of
from engine.options import StylizeOptions
from engine.style import Style
from engine.warp import halved

MOST_PIXELS = 400_000  # drawn; a larger photo is drawn smaller, and its strokes are wider
COMPARED = (128, 128)  # pixels at which colours are compared


def is_drawn_around(style: Style, options: StylizeOptions) -> bool:
    """Tell whether the rest of a photo is drawn: it is to be, and a student draws what is asked."""
    wanted = options.surroundings and options.around == "drawn" and not options.variation
    return bool(wanted) and has_student(style.card)


def draw_around(rgb: np.ndarray, scale: float, style: Style, options: StylizeOptions) -> np.ndarray:
    """Draw all of uint8 rgb [H, W, 3] with the style's student, same shape.

    How far is `options.surroundings`, times the strength of the style.

    Args:
        scale: pixels of a drawing of the face per pixel of the photo, for strokes of one width.
    """
    height, width = rgb.shape[:2]
    scale = min(scale, (MOST_PIXELS / (height * width)) ** 0.5)
    reduced = halved(rgb) if scale <= 1 / 4 else rgb  # as fine, in a third of the time
    small = resize(reduced, *(max(1, round(side * scale)) for side in (height, width)))
    drawn = _drawn(small, style)
    if options.color == "keep":
        seen = [cv2.resize(x, COMPARED, interpolation=cv2.INTER_AREA) for x in (drawn, small)]
        drawn = match_color(drawn, *seen, np.ones(COMPARED))
    drawn = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_CUBIC)
    share = options.surroundings * options.strength
    return drawn if share == 1 else cv2.addWeighted(drawn, share, rgb, 1 - share, 0)


def _drawn(rgb: np.ndarray, style: Style) -> np.ndarray:
    step, (height, width) = student_of(style).step, rgb.shape[:2]
    missing = (-height % step, -width % step)
    padded = cv2.copyMakeBorder(rgb, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    return draw_crops(style, padded[None])[0][:height, :width]
