"""The stages of a video job, from the clip to drawn frames, each ahead of the next (`stream`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np

from motion.batches import usual_workers
from motion.composing import Compositor, DrawnFrame, Plan, StylizedFrame
from motion.film import Cut
from motion.media import Frame, Limits, read_frames
from motion.stream import ahead, side_by_side
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

    Decoding, detection, drawing and composing run in threads of their own, detection and painting
    of several frames side by side. Close the generator to stop them.
    """
    side = usual_workers(stabilizer.stylizer.runtime)
    frames = ahead(source.frames(limit), QUEUE_FRAMES)
    # Faces are drawn a batch at a time; what comes before and after goes on meanwhile.
    size = max(QUEUE_FRAMES, stabilizer.batch)
    seen = ahead(_watched(stabilizer.watch, frames, side), size)
    faces = ahead(_with_faces(stabilizer, seen), size)
    return ahead(_composed(stabilizer.compositor, faces, side), QUEUE_FRAMES)


def _watched(watch: Watch, frames: Iterator[Frame], num_workers: int) -> Iterator[Sighting]:
    searched = side_by_side(lambda frame: (frame, watch.search(frame)), frames, num_workers)
    with closing(searched):
        for frame, found in searched:
            yield watch(frame, found)


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
    compositor: Compositor, faces: Iterator[DrawnFrame | Cut], num_workers: int
) -> Iterator[StylizedFrame | Cut]:
    def painted(item: Plan | Cut) -> tuple[Plan | Cut, np.ndarray | None]:
        return item, None if isinstance(item, Cut) else compositor.paint(item)

    items = side_by_side(painted, _planned(compositor, faces), num_workers)
    with closing(items):
        for item, picture in items:
            if isinstance(item, Cut):
                yield Cut({**item.stabilizer, **compositor.finish_snapshot()})
            else:
                yield compositor.finish(item, picture)


def _planned(compositor: Compositor, faces: Iterator[DrawnFrame | Cut]) -> Iterator[Plan | Cut]:
    with closing(faces):
        for item in faces:
            if isinstance(item, Cut):
                yield Cut({**item.stabilizer, **compositor.plan_snapshot()})
            else:
                yield compositor.plan(item)
