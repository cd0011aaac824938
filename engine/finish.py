"""The last step of every picture: its size, and if wanted the words that a network drew it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.image import resize
from engine.options import StylizeOptions

LABEL = "made with AI"
LABEL_SHARE, SMALLEST_TEXT, PLATE = 0.03, 9, 0.45  # of the shorter side; px; how dark


def finished(rgb: np.ndarray, options: StylizeOptions, *, is_drawn: bool = True) -> np.ndarray:
    """Return a picture uint8 [H, W, 3] in the size `options` ask for, labelled if they say so.

    One in which nothing was drawn gets no label.
    """
    rgb = resize(rgb, *fitted_size(*rgb.shape[:2], options.output_size))
    return labelled(rgb) if options.ai_label and is_drawn else rgb


def fitted_size(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return (height, width) with the longer side scaled to `longest`; unchanged if that is 0."""
    scale = longest / max(height, width) if longest else 1.0
    return max(1, round(height * scale)), max(1, round(width * scale))


def labelled(rgb: np.ndarray) -> np.ndarray:
    """Return a picture uint8 [H, W, 3] with LABEL on a dark plate in its lower right corner."""
    height, width = rgb.shape[:2]
    text = _text(max(SMALLEST_TEXT, round(min(height, width) * LABEL_SHARE)))[:height, :width]
    corner = (slice(height - text.shape[0], height), slice(width - text.shape[1], width))
    picture = rgb.copy()
    plate = (1 - PLATE) * rgb[corner].astype(np.float32)
    picture[corner] = np.rint(plate + (255 - plate) * text[..., None])
    return picture


@lru_cache(maxsize=8)
def _text(size: int) -> np.ndarray:
    """How much of each pixel the letters cover, float32 [h, w] in [0, 1], with a margin."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = font.getbbox(LABEL)
    margin = max(2, round(size / 2))
    shape = (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin)
    drawing = Image.new("L", shape)
    ImageDraw.Draw(drawing).text((margin - left, margin - top), LABEL, fill=255, font=font)
    return np.asarray(drawing, np.float32) / 255
