"""Stylized video that does not flicker: posterior means, held steady over time.

Every frame is drawn from the posterior mean, never from a sample. Per track: landmarks, and with
them the crop, are filtered before the face is encoded; codes of layers that draw who somebody is
are pulled to their mean over the track, the layers of pose and expression are only filtered. What
comes after the drawing is in `motion.composing`. A few frames of look-ahead let the filters see
both ways, without delay of the motion.

    for done in stylize(stylizer, frames, options):
        writer.write(done.frame)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.detect import Face
from engine.errors import Cancelled, OptionError
from engine.options import StylizeOptions
from engine.pipeline import Portrait, Stylizer
from engine.portraits import crop_size, framed_faces, with_codes
from motion.batches import Batches, drawn, usual_batches, usual_workers
from motion.composing import Compositor, DrawnFace, DrawnFrame, StylizedFrame
from motion.means import Means
from motion.person import Look, Person
from motion.quick import check_quick, quickly_drawn
from motion.snapshots import flattened, kept_faces, nested, restored_faces
from motion.temporal_options import TemporalOptions, frame_options
from motion.track import LONGEST_GAP
from motion.watch import Sighting, Watch

if TYPE_CHECKING:
    from motion.media import Frame

__all__ = ["Look", "Stabilizer", "StylizedFrame", "TemporalOptions", "stylize"]

FREE_LAYERS = 6  # codes of 4 x 4 to 16 x 16 pixels: pose and expression


def stylize(
    stylizer: Stylizer,
    frames: Iterable[Frame],
    options: StylizeOptions | None = None,
    temporal: TemporalOptions | None = None,
    people: Mapping[int, Look | None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Iterator[StylizedFrame]:
    """Yield the frames of a video stylized, in order; a few are held at a time.

    Arguments as of `Stabilizer`. `should_stop` is asked before each frame; True raises Cancelled.
    """
    stabilizer = Stabilizer(stylizer, options, temporal, people)
    for frame in frames:
        if should_stop is not None and should_stop():
            raise Cancelled("stopped; the frames so far are finished")
        yield from stabilizer.push(frame)
    yield from stabilizer.flush()


@dataclass
class _Held:
    """A frame that waits for those after it, and its faces once they are encoded."""

    frame: Frame
    portraits: dict[int, Portrait] | None = None


class Stabilizer:
    """Takes the frames of a video one by one and gives them back stylized, a few frames later.

    Args:
        stylizer: the style of everybody `people` does not name.
        options: of that style; one posterior mean is drawn whatever `samples` says, and the whole
            frame is kept.
        temporal: how steady; None: the defaults.
        people: who is drawn in another way, or None to be left alone, by number of the track.
        batch: faces that go through the networks together; None: as the device likes it, and one
            for live pictures.
        watch: what looks at the frames; None: one with the stylizer's detector.

    Attributes:
        watch: the first part of the work, which another thread may do ahead of `draw`.
        compositor: the last part, which another thread may do with what `draw` and `drain` return.
        batch: frames that are drawn together.
        means: who is in the clip, from a first look through it (`motion.means`); None: not known.

    Raises:
        OptionError: `options.whole_photo` is off, or no student draws so and `quick` is on.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        options: StylizeOptions | None = None,
        temporal: TemporalOptions | None = None,
        people: Mapping[int, Look | None] | None = None,
        *,
        batch: int | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.stylizer, self.temporal = stylizer, temporal or TemporalOptions()
        self.options = options or frame_options(stylizer.card)
        if not self.options.whole_photo:
            raise OptionError(
                "whole_photo is false; a video keeps its frame: leave out --no-whole-photo"
            )
        self.people, self.watch = dict(people or {}), watch or Watch(stylizer)
        self._usual = Look(stylizer, self.options)
        if self.temporal.quick:
            check_quick([self._usual, *filter(None, self.people.values())])
        self._cut_out = Batches(1, usual_workers(stylizer.runtime))
        resolution, quick = stylizer.style.base.generator.resolution, self.temporal.quick
        self._batches = usual_batches(stylizer.runtime, resolution, quick=quick)
        if batch or not self.temporal.look_ahead:
            self._batches = Batches(batch or 1)
        self.batch = self._batches.together
        self.compositor = Compositor(stylizer.style, self.options, self.temporal)
        self.means: Means | None = None
        self._held: list[_Held] = []
        self._persons: dict[int, Person] = {}
        self._seen = -1  # index of the last frame looked at
        self._watched: Mapping[str, Any] = {}  # the state of the watch after it
        self._scene = self._scene_length = 0  # number of the scene, its frames
        self._begins_scene = True  # with the next frame drawn
        self._awaited: dict[int, dict[int, Portrait]] = {}  # after a restore

    def push(self, frame: Frame) -> list[StylizedFrame]:
        """Take the next frame; return those that are finished, none at first.

        A scene cut finishes all frames before it.
        """
        return self.take(self.watch(frame))

    def take(self, sighting: Sighting) -> list[StylizedFrame]:
        """Do what is left of `push`, with what `watch` saw in the frame."""
        return [self.compositor(drawn) for drawn in self.draw(sighting)]

    def flush(self) -> list[StylizedFrame]:
        """Return the frames still held: the video, or a scene of it, is over."""
        return [self.compositor(drawn) for drawn in self.drain()]

    def draw(self, sighting: Sighting) -> list[DrawnFrame]:
        """Take what `watch` saw in the next frame; return those whose faces are drawn by now."""
        done, frame = self.drain() if sighting.is_cut else [], sighting.frame
        self._scene += sighting.is_cut
        if frame.index > self._seen:  # else its faces are known from before a restore
            self._note(sighting)
        self._held.append(_Held(frame, self._awaited.pop(frame.index, None)))
        self._watched = sighting.state
        return done + self._advance(self.temporal.look_ahead, self.batch)

    def drain(self) -> list[DrawnFrame]:
        """Draw the faces of the frames still held: the video, or a scene of it, is over."""
        done = self._advance(0, 1)
        self._persons, self._scene_length, self._begins_scene = {}, 0, True
        return done

    def snapshot(self) -> dict[str, Any]:
        """Return the state as a flat dict of tensors and JSON values.

        Frames that were pushed but not returned are not in it, only what was found in them: after
        `restore`, push them again, beginning with the first frame that was not returned.
        """
        composing = self.compositor.plan_snapshot() | self.compositor.finish_snapshot()
        return self.drawing_snapshot() | composing

    def drawing_snapshot(self) -> dict[str, Any]:
        """Return the state without that of the compositor, which may be some frames behind."""
        placed = {h.frame.index: h.portraits for h in self._held if h.portraits is not None}
        return flattened(
            {
                "seen": self._seen,
                "scene": self._scene,
                "scene_length": self._scene_length,
                "means": self.means.snapshot() if self.means else {},
                "watch": self._watched,
                "persons": {str(k): person.snapshot() for k, person in self._persons.items()},
                **kept_faces(placed | self._awaited),
                "begins_scene": self._begins_scene,
            }
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot of a stabilizer with the same arguments: the pixels are the same."""
        state = nested(state)
        self._seen, self._scene_length = state["seen"], state["scene_length"]
        self._scene = state["scene"]
        self.means = Means.restored(state["means"]) if "means" in state else None
        self.watch.restore(state["watch"])
        self._persons = {
            int(k): Person.restored(person, self.temporal, self._most_held)
            for k, person in state.get("persons", {}).items()
        }
        self._held, self._begins_scene = [], state["begins_scene"]
        self.compositor.restore(state)
        self._awaited = restored_faces(state, self.stylizer)

    @property
    def _most_held(self) -> int:
        """Frames that wait at most."""
        return self.temporal.look_ahead + 2 * self.batch

    def _note(self, sighting: Sighting) -> None:
        """Tell the persons of a new frame where their faces are, and how they moved."""
        index, time = sighting.frame.index, float(sighting.frame.time)
        self._seen, self._scene_length = index, self._scene_length + 1
        forgotten = index - LONGEST_GAP - self._most_held - 1
        self._persons = {k: p for k, p in self._persons.items() if p.sightings[-1] >= forgotten}
        for number, person in self._persons.items():
            person.follow(index, sighting.movements.get(number, np.eye(3)))
        for number, face in sighting.faces.items():
            if number not in self._persons:
                person = Person(self.temporal, face.area**0.5, self._most_held)
                if self.means:
                    person.clip_mean = self.means.of(self._scene, time, face)
                self._persons[number] = person
            self._persons[number].see(index, time, face)

    def _advance(self, wait: int, batch: int) -> list[DrawnFrame]:
        """Encode the faces of frames half of `wait` frames old, and draw those `wait` frames old.

        Landmarks are filtered with the first half of what is known ahead, codes with the second.
        Nothing is done for less than `batch` frames.
        """
        old_enough = self._seen - (wait + 1) // 2
        due = [h for h in self._held if h.portraits is None and h.frame.index <= old_enough]
        if len(due) >= batch:
            self._place(due)
        placed = [h for h in self._held if h.portraits is not None]
        ready = [h for h in placed if h.frame.index <= self._seen - wait]
        if len(ready) < batch:
            return []
        del self._held[: len(ready)]
        return self._finished(ready)

    def _place(self, held: Sequence[_Held]) -> None:
        """Cut the faces out of frames at their filtered places, and encode them."""
        seen = []  # (frame, number, picture with face)
        for one in held:
            one.portraits = {}
            index, time, rgb = one.frame.index, float(one.frame.time), one.frame.rgb
            for number, person in self._persons.items():
                if self._is_chosen(number) and person.is_shown(index, self._scene_length):
                    face = person.face_in(rgb, index, time)
                    seen += [(one, number, (rgb, face))] if face is not None else []
        portraits = self._encoded([s[2] for s in seen])
        for (one, number, _), portrait in zip(seen, portraits, strict=True):
            self._persons[number].learn(one.frame.index, float(one.frame.time), portrait)
            one.portraits[number] = portrait

    def _encoded(self, seen: Sequence[tuple[np.ndarray, Face]]) -> list[Portrait]:
        """Cut faces out of the frames they were seen in, and encode them unless students draw."""
        base, space = self.stylizer.style.base, self.stylizer.card.encoder_space
        size = None if self.temporal.quick else crop_size(base, space, with_detail=False)
        cut_out = partial(framed_faces, base=base, space=space, size=size)
        framed = self._cut_out(cut_out, seen)
        if self.temporal.quick:
            return framed
        return self._batches(partial(with_codes, base=base), framed)  # detail is read while drawing

    def _is_chosen(self, number: int) -> bool:
        """Whether a track is drawn: `options.faces` counts tracks, `people` may name None."""
        if self.people.get(number, self.options) is None:
            return False
        if self.options.faces == "largest":
            return number == max(self._persons, key=lambda k: self._persons[k].area)
        return self.options.faces == "all" or number in self.options.select(number + 1)

    def _finished(self, held: Sequence[_Held]) -> list[DrawnFrame]:
        """Draw the faces of some frames."""
        draw = quickly_drawn if self.temporal.quick else drawn
        faces: dict[tuple[int, int], DrawnFace] = {}
        for number in sorted({number for one in held for number in one.portraits}):
            own, look = [one for one in held if number in one.portraits], self._look(number)
            steadied = [self._steadied(one, number) for one in own]
            pictures = self._batches(partial(draw, look), steadied)
            for one, *drawing in zip(own, steadied, pictures, strict=True):
                faces[one.frame.index, number] = DrawnFace(look, *drawing)
        done = []
        for one in held:
            own = {number: faces[one.frame.index, number] for number in one.portraits}
            done.append(DrawnFrame(one.frame, own, self._begins_scene))
            self._begins_scene = False
        for person in self._persons.values():
            person.forget(float(held[-1].frame.time))
        return done

    def _steadied(self, held: _Held, number: int) -> Portrait:
        portrait, time = held.portraits[number], float(held.frame.time)
        return self._persons[number].steadied(portrait, time, FREE_LAYERS)

    def _look(self, number: int) -> Look:
        return self.people.get(number) or self._usual
