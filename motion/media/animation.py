"""In the decoding process: GIF and animated WebP, drawn by Pillow.

Pillow composes the frames of both, and ffmpeg reads no animated WebP.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
import numpy as np
from PIL import Image, ImageSequence, UnidentifiedImageError

from engine.errors import MediaError
from motion.media.formats import Format
from motion.media.limits import Limits
from motion.media.source import Source

DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, struct.error)
# Browsers show frames that ask for 10 ms or less for 100.
SHORTEST_MS, INSTEAD_MS = 11, 100


class AnimationSource(Source):
    """The frames of a picture that moves; time in milliseconds."""

    time_base, rate = Fraction(1, 1000), Fraction(0)

    def __init__(self, file: BinaryIO, form: Format, name: str, limits: Limits) -> None:
        super().__init__(name, limits)
        try:
            self._image = Image.open(file, formats=[form.name.upper()])
        except (*DAMAGE, UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise MediaError(
                f"{name} cannot be read: it is damaged; whole {form.name} files are accepted: "
                "copy it again"
            ) from error
        self.check_size(*self._image.size)

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Draw the frames in order; what cannot be drawn is left out, and ends the clip."""
        time = 0
        try:
            for image in ImageSequence.Iterator(self._image):
                opaque = not image.has_transparency_data
                pixels = np.asarray(image.convert("RGB" if opaque else "RGBA"))
                picture = av.VideoFrame.from_ndarray(pixels, "rgb24" if opaque else "rgba")
                picture.time_base, picture.pts = self.time_base, time
                stay = round(image.info.get("duration") or 0)
                picture.duration = stay if stay >= SHORTEST_MS else INSTEAD_MS
                time += picture.duration
                yield picture
        except DAMAGE:
            self.broken += 1

    def stated_length(self) -> tuple[Fraction, int]:
        """Neither GIF nor WebP says."""
        return Fraction(0), 0

    def measured_length(self) -> tuple[Fraction, int]:
        """Seconds and frames; there is no way but to draw them."""
        frames, end = 0, Fraction(0)
        for picture in self.pictures():
            frames += 1
            end = (picture.pts + picture.duration) * self.time_base
            self.check_length(end, frames)
        return end, frames
