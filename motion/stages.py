"""The stages of a video job, from the clip to drawn frames, each ahead of the next (`stream`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

from motion.composing import Compositor, DrawnFrame, StylizedFrame
from motion.film import Cut
from motion.media import Frame, Limits, read_frames
from motion.stream import ahead
from motion.temporal import Stabilizer
from motion.watch import Sighting, Watch

SEGMENT_SECONDS = 2
QUEUE_FRAMES = 4


@dataclass
class Source:
    """The frames of a clip from `start` to `end` seconds, the first `skip` of them left out.

    They are decoded from the start again, so that each is the same whatever is skipped. `notes` is
    what the reader had to say about the clip at its end.
    """

    path: Path
    limits: Limits
    start: float = 0.0
    end: float | None = None
    skip: int = 0
    notes: tuple[str, ...] = field(default=(), init=False)

    def frames(self, limit: int | None = None) -> Iterator[Frame]:
        """Yield the frames, at most `limit`; raises MediaError."""
        stop = None if limit is None else self.skip + limit
        with closing(read_frames(self.path, self.limits, self.start, self.end)) as frames:
            yield from islice(frames, self.skip, stop)
            self.notes = frames.notes


def drawn(
    source: Source, stabilizer: Stabilizer, limit: int | None = None
) -> Iterator[StylizedFrame | Cut]:
    """Yield the frames drawn, in order, and where a segment ends its `Cut`; holds few at a time.

    Decoding, detection, drawing and composing run in threads of their own. Close the generator to
    stop them.
    """
    frames = ahead(source.frames(limit), QUEUE_FRAMES)
    # Faces are drawn a batch at a time; what comes before and after goes on meanwhile.
    size = max(QUEUE_FRAMES, stabilizer.batch)
    seen = ahead(_watched(stabilizer.watch, frames), size)
    faces = ahead(_with_faces(stabilizer, seen), size)
    return ahead(_composed(stabilizer.compositor, faces), QUEUE_FRAMES)


def _watched(watch: Watch, frames: Iterator[Frame]) -> Iterator[Sighting]:
    with closing(frames):
        for frame in frames:
            yield watch(frame)


def _with_faces(stabilizer: Stabilizer, seen: Iterator[Sighting]) -> Iterator[DrawnFrame | Cut]:
    begun: Fraction | None = None
    with closing(seen):
        for sighting in seen:
            drawn = stabilizer.draw(sighting)
            yield from drawn
            if not drawn:
                continue
            begun = drawn[0].frame.time if begun is None else begun
            if drawn[-1].frame.time - begun >= SEGMENT_SECONDS:
                yield Cut(stabilizer.drawing_snapshot())
                begun = None
        yield from stabilizer.drain()


def _composed(
    compositor: Compositor, faces: Iterator[DrawnFrame | Cut]
) -> Iterator[StylizedFrame | Cut]:
    with closing(faces):
        for item in faces:
            if isinstance(item, Cut):
                yield Cut({**item.stabilizer, **compositor.snapshot()})
            else:
                yield compositor(item)
