"""Photos and clips to measure with, made of the example portraits that come with the page."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np

from engine.image import read_photo, resize
from motion.media import Frame, Writer

EXAMPLES = sorted((Path(__file__).parents[1] / "assets").glob("example_*.png"))
SWAY = 0.05  # how far the camera moves, of the picture's height
SWAY_SECONDS = 4.0


def group_photo(width: int, height: int, num_faces: int) -> np.ndarray:
    """Return uint8 [height, width, 3]: portraits side by side in rows, on a soft gradient."""
    columns = math.ceil(math.sqrt(num_faces * width / height))
    rows = math.ceil(num_faces / columns)
    side = min(width // columns, height // rows) * 9 // 10
    shade = np.linspace(90, 170, height)[:, None, None] + np.linspace(0, 40, width)[None, :, None]
    photo = np.broadcast_to(np.rint(shade), (height, width, 3)).astype(np.uint8)
    for number in range(num_faces):
        row, column = divmod(number, columns)
        x = (2 * column + 1) * width // (2 * columns) - side // 2
        y = (2 * row + 1) * height // (2 * rows) - side // 2
        photo[y : y + side, x : x + side] = resize(_example(number % len(EXAMPLES)), side, side)
    return photo


def make_clip(path: Path, seconds: float, rate: int, height: int = 480) -> Path:
    """Write a clip of one person before a swaying camera, 4 : 3, and return its path."""
    margin = math.ceil(SWAY * height)
    width = height * 4 // 3
    scene = group_photo(width + 2 * margin, height + 2 * margin, 1)
    with Writer(path, width, height) as writer:
        for index in range(round(seconds * rate)):
            angle = 2 * math.pi * index / (rate * SWAY_SECONDS)
            x = round(margin * (1 + math.cos(angle)))
            y = round(margin * (1 + math.sin(angle)))
            rgb = np.ascontiguousarray(scene[y : y + height, x : x + width])
            writer.write(Frame(index, Fraction(index, rate), rgb))
    return path


@cache
def _example(number: int) -> np.ndarray:
    return read_photo(EXAMPLES[number]).rgb
