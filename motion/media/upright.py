"""Stored frames to frames as they are seen: turned or mirrored, with square pixels, scaled."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

# Beyond this a pixel shape is a broken header, not an anamorphic clip.
WIDEST_PIXEL = 4


@dataclass(frozen=True)
class Turn:
    """One of the eight ways a frame can be stored: transposed first, then mirrored.

    `degrees` tells the same to people: clockwise, after mirroring left and right if it is.
    """

    transpose: bool = False
    flip_rows: bool = False
    flip_columns: bool = False
    degrees: int = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Turn [H, W] or [H, W, C]; a view."""
        pixels = pixels.swapaxes(0, 1) if self.transpose else pixels
        return pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]


def turn_of(picture: av.VideoFrame) -> Turn:
    """Read the display matrix of a frame.

    It maps stored to shown pixels, both with y downwards: (x, y) -> (a x + c y, b x + d y). Turns
    that are no multiple of 90 degrees are rounded to one.
    """
    matrix = next((x for x in picture.side_data.keys() if x.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return Turn()
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    mirrored = -1 if a * d - b * c < 0 else 1
    degrees = round(math.degrees(math.atan2(mirrored * b, mirrored * a)) / 90) * 90 % 360
    if abs(b) > abs(a):
        return Turn(True, b < 0, c < 0, degrees)
    return Turn(False, d < 0, a < 0, degrees)


def shown_size(
    width: int, height: int, pixel_shape: Fraction | None, longest: int
) -> tuple[int, int]:
    """The size (width, height) of a stored frame with square pixels.

    Args:
        pixel_shape: width of a pixel / its height; None or 0: square. The shorter side of the
            pixel is stretched, so that nothing is lost.
        longest: upper limit of the longer side; 0: none.
    """
    shape = Fraction(pixel_shape or 1)
    if not Fraction(1, WIDEST_PIXEL) <= shape <= WIDEST_PIXEL:
        shape = Fraction(1)
    width, height = (width * shape, height) if shape > 1 else (width, height / shape)
    scale = min(Fraction(1), Fraction(longest) / max(width, height)) if longest else Fraction(1)
    return max(1, round(width * scale)), max(1, round(height * scale))
