"""In the decoding process: what `probe` tells about a clip."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, BinaryIO

from motion.media.decode import Lens, frames_between
from motion.media.opening import open_source
from motion.media.sound import sound_tracks
from motion.media.source import Source

# Smaller files are read to their end, which takes seconds at most and tells the truth.
SCAN_BYTES = 2**29


def survey(file: BinaryIO, request: dict[str, Any]) -> dict[str, Any]:
    """Decode the first frame, count the others; the fields of a Clip, as JSON."""
    source = open_source(file, request)
    first = next(frames_between(source, Fraction(0), None))
    lens = Lens(source, first.picture, 0)
    sounds = len(sound_tracks(source))
    seconds, frames = source.stated_length()
    if file.seek(0, 2) <= SCAN_BYTES:
        seconds, frames = open_source(file, request).measured_length()
        source.note_cut_off(seconds)
    return {
        **{"width": lens.width, "height": lens.height, "rotation": lens.turn.degrees},
        **{"seconds": float(seconds), "frames": frames, "has_alpha": lens.has_alpha},
        "rate": _rate(source, seconds, frames).as_integer_ratio(),
        **{"sounds": sounds, "notes": source.notes()},
    }


def _rate(source: Source, seconds: Fraction, frames: int) -> Fraction:
    """The exact rate of the header where it agrees with the count, else the count's."""
    counted = Fraction(frames) / seconds if frames and seconds else source.rate
    if source.rate and abs(counted / source.rate - 1) < 0.01:
        return source.rate
    return counted.limit_denominator(1001)
