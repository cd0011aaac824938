"""In the decoding process: what `probe` tells about a clip."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, BinaryIO

from motion.media.decode import Lens, frames_between
from motion.media.sound import sound_tracks
from motion.media.source import Source, open_source

# Smaller files are read to their end, which takes seconds at most and tells the truth.
SCAN_BYTES = 2**29
CUT_OFF_SECONDS = 0.5


def survey(file: BinaryIO, request: dict[str, Any]) -> dict[str, Any]:
    """Decode the first frame, count the others; the fields of a Clip, as JSON."""
    from motion.media.worker import nothing_in

    source = open_source(file, request)
    first = next(frames_between(source, Fraction(0), None), None)
    if first is None:
        raise nothing_in(source.name)
    lens = Lens(source, first.picture, 0)
    seconds, frames = _header_length(source)
    if file.seek(0, 2) <= SCAN_BYTES:
        file.seek(0)
        scanned, frames = _scan(open_source(file, request))
        if seconds > scanned + CUT_OFF_SECONDS:
            source.note(f"it says {seconds:.1f} s, but ends after {scanned:.1f} s: it is cut off")
        seconds = scanned
    return {
        **{"width": lens.width, "height": lens.height, "rotation": lens.turn.degrees},
        **{"seconds": float(seconds), "frames": frames, "has_alpha": lens.has_alpha},
        "rate": _rate(source, seconds, frames).as_integer_ratio(),
        "sounds": len(sound_tracks(source)),
        "notes": source.all_notes(),
    }


def _header_length(source: Source) -> tuple[Fraction, int]:
    """Seconds and frames as the header says, 0 where it does not."""
    stream, frames = source.stream, source.stream.frames
    if stream.duration:
        return stream.duration * stream.time_base, frames
    return Fraction(source.container.duration or 0, 1_000_000), frames


def _scan(source: Source) -> tuple[Fraction, int]:
    """Seconds and frames as the packets say; nothing is decoded."""
    base, frames = source.stream.time_base, 0
    first, end = None, 0
    for packet in source.packets():
        if packet.pts is None or packet.is_discard or not packet.size:
            frames += bool(packet.size)
            continue
        frames += 1
        first = packet.pts if first is None else min(first, packet.pts)
        end = max(end, packet.pts + (packet.duration or 0))
        source.check_length((end - first) * base, frames)
    if first is None:
        return Fraction(frames) / (source.stream.average_rate or 30), frames
    return (end - first) * base, frames


def _rate(source: Source, seconds: Fraction, frames: int) -> Fraction:
    """The exact rate of the header where it agrees with the count, else the count's."""
    stated = source.stream.average_rate or Fraction(0)
    counted = Fraction(frames) / seconds if frames and seconds else stated
    if stated and abs(counted / stated - 1) < 0.01:
        return stated
    return counted.limit_denominator(1001)
