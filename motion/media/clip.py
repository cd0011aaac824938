"""What a clip is, before and after it is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Clip:
    """What a file holds, as `probe` found it.

    Attributes:
        path: the file.
        width, height: in pixels as the clip is seen: upright, pixels square.
        seconds: from the first frame to the end of the last.
        frames: how many; an estimate, 0 if unknown.
        rate: average frames per second, 0 if unknown.
        rotation: degrees clockwise by which the stored frames are turned to stand upright.
        sounds: number of sound tracks.
        has_alpha: whether frames carry transparency.
        notes: plain-words warnings for the user: tone-mapped, interlaced, cut off ...
    """

    path: Path
    width: int
    height: int
    seconds: float
    frames: int
    rate: Fraction
    rotation: int = 0
    sounds: int = 0
    has_alpha: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    Attributes:
        index: 0, 1, 2 ... in the order they are read.
        time: seconds since the first frame of the clip, exact; grows from frame to frame.
        rgb: uint8 [H, W, 3], upright, sRGB.
        alpha: uint8 [H, W], None if opaque; the colour is not multiplied by it.
        duration: seconds the frame says it stays; 0 if it does not say.
    """

    index: int
    time: Fraction
    rgb: np.ndarray
    alpha: np.ndarray | None = None
    duration: Fraction = Fraction(0)
