"""In the decoding process: frames with their times, from one moment of the clip to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain

import av
import numpy as np

from engine.errors import MediaError
from motion.media.color import Developer, has_alpha, hdr_name
from motion.media.deinterlace import whole_frames
from motion.media.source import Source
from motion.media.upright import shown_size, turn_of

# A start that was rounded on its way here still finds its frame.
TOLERANCE = Fraction(1, 2000)
USUAL_RATE = Fraction(30)


@dataclass(frozen=True)
class Timed:
    """A stored frame, its time since the first one, and how long it says it stays; seconds."""

    picture: av.VideoFrame
    time: Fraction
    duration: Fraction


class Timeline:
    """Gives frames their time; `origin` is the timestamp of the first one, which is time 0."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.origin: Fraction | None = None  # seconds

    def __call__(self, pictures: Iterable[av.VideoFrame]) -> Iterator[Timed]:
        """Yield frames with growing times; raises MediaError above the limits.

        Each waits for the next one: of two in the wrong order, the one that does not follow the
        frame before them is left out, be it that the first leaps ahead or the second falls back.
        """
        held, passed = None, Fraction(-1)
        for count, timed in enumerate(self._timed(pictures)):
            if held is not None and timed.time <= held.time:
                self._source.note("some frames have times that run backwards: they are left out")
                held = timed if timed.time > passed else held
                continue
            if held is not None:
                self._source.check_length(held.time, count)
                passed = held.time
                yield held
            held = timed
        if held is not None:
            self._source.check_length(held.time, 1)
            yield held

    def _timed(self, pictures: Iterable[av.VideoFrame]) -> Iterator[Timed]:
        usual = 1 / (self._source.rate or USUAL_RATE)
        last: Timed | None = None
        for picture in pictures:
            base = picture.time_base
            if self.origin is None:
                self.origin = (picture.pts or 0) * base
            if picture.pts is None:  # the container did not say: it follows the one before
                time = last.time + (last.duration or usual) if last else Fraction(0)
            else:
                time = picture.pts * base - self.origin
            stay = (picture.duration or 0) * base
            # MKV rounds to milliseconds, which would add up where clips are joined.
            last = Timed(picture, time, usual if abs(stay - usual) < base else stay)
            yield last


def frames_between(
    source: Source,
    start: Fraction,
    end: Fraction | None,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Timed]:
    """Decode from the frame on screen at `start`, which gets that time, to the last before `end`.

    `alive` is called for each frame that is decoded on the way to `start`. Raises MediaError for
    a clip without a frame.
    """
    timeline = Timeline(source)
    frames = timeline(whole_frames(source))
    first = next(frames, None)
    if first is None:
        raise MediaError(
            f"{source.name} holds no frame that can be decoded; clips with at least one are "
            "accepted: copy it again, or save it with another program"
        )
    if first.time < start - 1 and source.seeks:
        frames = _seek(source, timeline, start, alive)
    else:
        frames = chain([first], frames)
    for timed in _on_screen(frames, start, alive):
        if end is None:
            yield timed
        elif timed.time < end - TOLERANCE:
            yield replace(timed, duration=min(timed.duration, end - timed.time))
        else:
            return


def _seek(
    source: Source, timeline: Timeline, start: Fraction, alive: Callable[[], None]
) -> Iterator[Timed]:
    """Continue at the key frame before `start`; from the beginning if that leads beyond it."""
    for goal in (start, Fraction(0)):
        source.seek(timeline.origin + goal)
        frames = timeline(whole_frames(source))
        first = next(frames, None)
        alive()
        if first is not None and first.time <= goal + TOLERANCE:
            break
    return chain([first] if first else [], frames)


def _on_screen(
    frames: Iterable[Timed], start: Fraction, alive: Callable[[], None]
) -> Iterator[Timed]:
    """Leave out what is over at `start`; what began before it begins then."""
    held: Timed | None = None
    for timed in frames:
        if timed.time <= start + TOLERANCE:
            held = timed
            alive()
            continue
        if held is not None:
            yield _begin_at(held, start)
            held = None
        yield timed
    if held is not None:
        yield _begin_at(held, start)


def _begin_at(timed: Timed, start: Fraction) -> Timed:
    if timed.time >= start - TOLERANCE:
        return timed
    left = max(timed.time + timed.duration - start, Fraction(0))
    return replace(timed, time=start, duration=left)


class Lens:
    """Stored frames to what is seen: in sRGB, upright, of the size of the first."""

    def __init__(self, source: Source, first: av.VideoFrame, longest: int) -> None:
        self.turn = turn_of(first)
        shape = source.pixel_shape
        stored = shown_size(first.width, first.height, shape, longest)
        self._develop = Developer(*stored)
        self.width, self.height = reversed(stored) if self.turn.transpose else stored
        self.has_alpha = has_alpha(first)
        self._describe(source, first)

    def _describe(self, source: Source, first: av.VideoFrame) -> None:
        square = shown_size(first.width, first.height, source.pixel_shape, 0)
        if square != (first.width, first.height):
            source.note(
                f"its pixels are not square: {first.width}x{first.height} is shown as "
                f"{square[0]}x{square[1]}"
            )
        if hdr_name(first):
            source.note(f"it is HDR ({hdr_name(first)}): brought to the usual range of brightness")

    def __call__(self, picture: av.VideoFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Return uint8 rgb [H, W, 3] and alpha [H, W] or None."""
        rgb, alpha = self._develop(picture)
        return self.turn(rgb), None if alpha is None else self.turn(alpha)
