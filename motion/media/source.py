"""In the decoding process: what every opened clip has, wherever its frames come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction

import av

from engine.errors import MediaError
from motion.media.limits import Limits

MAX_RATE = 240
CUT_OFF_SECONDS = 0.5


class Source(ABC):
    """An opened clip, and what went wrong with it so far.

    Attributes:
        name: for messages.
        limits: what may be spent on it.
        time_base: seconds of one tick of its timestamps.
        rate: frames per second as its header says, 0 if it does not.
        pixel_shape: width / height of a pixel, None or 0 if unknown.
        seeks: whether `seek` leads to a frame before its goal.
        broken: frames that could not be decoded.
    """

    time_base: Fraction
    rate: Fraction
    pixel_shape: Fraction | None = None
    seeks = False

    def __init__(self, name: str, limits: Limits) -> None:
        self.name, self.limits = name, limits
        self.broken = 0
        self._notes: list[str] = []

    @abstractmethod
    def pictures(self) -> Iterator[av.VideoFrame]:
        """Decode from here on, in the order of display; what cannot be decoded is left out."""

    @abstractmethod
    def stated_length(self) -> tuple[Fraction, int]:
        """Seconds and frames as the header says, 0 where it does not."""

    @abstractmethod
    def measured_length(self) -> tuple[Fraction, int]:
        """Seconds and frames as the content says, read to its end; decodes no more than it must."""

    def seek(self, seconds: Fraction) -> None:
        """Go on at the key frame before a timestamp; only where `seeks` is set."""
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Add a warning for the user, once."""
        if text not in self._notes:
            self._notes.append(text)

    def note_cut_off(self, seconds: Fraction) -> None:
        """Add a warning if the clip is over after `seconds`, but says that it is longer."""
        stated, _ = self.stated_length()
        if stated > seconds + CUT_OFF_SECONDS:
            self.note(
                f"it says {float(stated):.1f} s, but ends after {float(seconds):.1f} s: cut off"
            )

    def notes(self) -> list[str]:
        """Every warning so far, the broken frames counted."""
        if not self.broken:
            return self._notes
        frames = "1 frame is" if self.broken == 1 else f"{self.broken} frames are"
        damage = f"{frames} damaged: seen with errors, or the one before stays on screen"
        return [*self._notes, damage]

    def check_size(self, width: int, height: int) -> None:
        """Raise MediaError for frames above the limit."""
        if width * height > self.limits.pixels:
            megapixels = self.limits.pixels / 1e6
            raise MediaError(
                f"{self.name} has frames of {width}x{height}; at most {megapixels:.3g} megapixels "
                "are accepted: save a smaller version"
            )

    def check_length(self, time: Fraction, frames: int) -> None:
        """Raise MediaError above the limit; `frames` were read up to `time` seconds."""
        seconds = self.limits.seconds
        if time > seconds:
            raise MediaError(
                f"{self.name} is longer than {seconds:g} s; clips up to that are accepted: cut it"
            )
        if frames > (seconds + 1) * MAX_RATE:
            raise MediaError(
                f"{self.name} has over {frames - 1} frames in {float(time):.1f} s; at most "
                f"{MAX_RATE} a second in {seconds:g} s are accepted: save it at a lower rate"
            )
