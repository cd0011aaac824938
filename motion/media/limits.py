"""How much of a file is worth opening: the guard against files that are huge, or lie about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What a clip may cost. The defaults suit a private machine; a public page passes smaller ones.

    Attributes:
        bytes: size of the file.
        pixels: width x height of one stored frame.
        seconds: length, counted on the frames that are really read, whatever the header says.
        streams: pictures, sounds, subtitles and the rest together.
        timeout_s: seconds of work on one frame after which the decoder is stopped.
    """

    bytes: int = 16 * 2**30
    pixels: int = 8192 * 4320
    seconds: float = 4 * 3600
    streams: int = 32
    timeout_s: float = 30
