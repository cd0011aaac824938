"""Stylized video that does not flicker: posterior means, held steady over time.

Every frame is drawn from the posterior mean, never from a sample. Per track: landmarks, and with
them the crop, are filtered before the face is encoded; codes of layers that draw who somebody is
are pulled to their mean over the track, the layers of pose and expression are only filtered; the
colours of the paste are filtered; and what the last frame showed is carried along the optical flow
of the input. A few frames of look-ahead let the filters see both ways, without delay of the motion.

    for done in stylize(stylizer, frames, options):
        writer.write(done.frame)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine import color
from engine.align import AlignedFace, compare_colors
from engine.detect import Face
from engine.errors import Cancelled, OptionError
from engine.finish import finished
from engine.image import resize
from engine.options import StylizeOptions
from engine.pipeline import Portrait, Stylizer
from motion.flow import carried
from motion.follow import gray_of, movement
from motion.person import Look, Person
from motion.snapshots import flattened, nested
from motion.temporal_options import TemporalOptions, frame_options
from motion.track import LONGEST_GAP, SceneCuts, Tracker

if TYPE_CHECKING:
    from motion.media import Frame

__all__ = ["Look", "Stabilizer", "StylizedFrame", "TemporalOptions", "stylize"]

FREE_LAYERS = 6  # codes of 4 x 4 to 16 x 16 pixels: pose and expression


@dataclass(frozen=True)
class StylizedFrame:
    """A frame with the people in it stylized.

    `faces` are the numbers of their tracks; () means that the frame passed through untouched.
    """

    frame: Frame
    faces: tuple[int, ...]


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

    Raises:
        OptionError: `options.whole_photo` is off.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        options: StylizeOptions | None = None,
        temporal: TemporalOptions | None = None,
        people: Mapping[int, Look | None] | None = None,
    ) -> None:
        self.stylizer, self.temporal = stylizer, temporal or TemporalOptions()
        self.options = options or frame_options(stylizer.card)
        if not self.options.whole_photo:
            raise OptionError(
                "whole_photo is false; a video keeps its frame: leave out --no-whole-photo"
            )
        self.people = dict(people or {})
        self._held: list[_Held] = []
        self._persons: dict[int, Person] = {}
        self._tracker, self._cuts = Tracker(), SceneCuts()
        self._seen = -1  # index of the last frame looked at
        self._scene_length = 0
        self._last: tuple[np.ndarray, ...] = ()  # of the frame before: input, result
        self._gray = np.zeros((0, 0), np.uint8)  # of the last frame looked at
        self._awaited: dict[int, dict[int, Portrait]] = {}  # after a restore

    def push(self, frame: Frame, faces: Sequence[Face] | None = None) -> list[StylizedFrame]:
        """Take the next frame; return those that are finished, none at first.

        A scene cut finishes all frames before it. `faces` are what `stylizer.detect` found in the
        frame, where that was done beforehand.
        """
        done = []
        if frame.index > self._seen:  # else its faces are known from before a restore
            if self._cuts.is_cut(frame.rgb):
                done = self.flush()
            self._find(frame, self.stylizer.detect(frame.rgb) if faces is None else faces)
            self._held.append(_Held(frame))
        else:
            self._held.append(_Held(frame, self._awaited.pop(frame.index, None)))
        return done + self._advance(self.temporal.look_ahead)

    def flush(self) -> list[StylizedFrame]:
        """Return the frames still held: the video, or a scene of it, is over."""
        done = self._advance(0)
        self._persons, self._scene_length, self._last = {}, 0, ()
        self._tracker.end_scene()
        return done

    def snapshot(self) -> dict[str, Any]:
        """Return the state as a flat dict of tensors and JSON values.

        Frames that were pushed but not returned are not in it, only what was found in them: after
        `restore`, push them again, beginning with the first frame that was not returned.
        """
        placed = {h.frame.index: h.portraits for h in self._held if h.portraits is not None}
        placed |= self._awaited
        faces = {str(i): {str(k): _kept(p) for k, p in ps.items()} for i, ps in placed.items()}
        return flattened(
            {
                "seen": self._seen,
                "scene_length": self._scene_length,
                "tracker": self._tracker.snapshot(),
                "cuts": self._cuts.snapshot(),
                "persons": {str(k): person.snapshot() for k, person in self._persons.items()},
                "gray": self._gray,
                "placed": list(placed),
                "faces": faces,
                "last": {str(i): picture for i, picture in enumerate(self._last)},
            }
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot of a stabilizer with the same arguments: the pixels are the same."""
        state = nested(state)
        self._seen, self._scene_length = state["seen"], state["scene_length"]
        self._gray = state["gray"]
        self._tracker.restore(state["tracker"])
        self._cuts.restore(state["cuts"])
        self._persons = {
            int(k): Person.restored(person, self.temporal)
            for k, person in state.get("persons", {}).items()
        }
        faces = state.get("faces", {})
        self._held, self._last = [], tuple(state.get("last", {}).values())
        self._awaited = {
            i: {int(k): self._portrait(kept) for k, kept in faces.get(str(i), {}).items()}
            for i in state["placed"]
        }

    def _portrait(self, kept: Mapping[str, Any]) -> Portrait:
        face = AlignedFace(kept["crop"], kept["photo_to_crop"])
        ws, base = torch.from_numpy(kept["ws"]), self.stylizer.style.base
        names = (self.stylizer.card.encoder_space, base.sha256, kept.get("attributes", {}))
        return Portrait(face, kept["landmarks"], ws, None, None, *names)

    def _find(self, frame: Frame, faces: Sequence[Face]) -> None:
        """Tell the persons of a new frame where their faces are."""
        index, time = frame.index, float(frame.time)
        self._seen, self._scene_length = index, self._scene_length + 1
        forgotten = index - LONGEST_GAP - self.temporal.look_ahead - 1
        self._persons = {k: p for k, p in self._persons.items() if p.sightings[-1] >= forgotten}
        gray, before = gray_of(frame.rgb), self._gray
        if before.shape == gray.shape:
            scale = gray.shape[1] / frame.rgb.shape[1]
            for person in self._persons.values():
                person.follow(index, movement(before, gray, person.box, scale))
        self._gray = gray
        for number, face in self._tracker.update(index, faces).items():
            if number not in self._persons:
                self._persons[number] = Person(self.temporal, face.area**0.5)
            self._persons[number].see(index, time, face)

    def _advance(self, wait: int) -> list[StylizedFrame]:
        """Encode the faces of frames half of `wait` frames old, and draw those `wait` frames old.

        Landmarks are filtered with the first half of what is known ahead, codes with the second.
        """
        for held in self._held:
            if held.portraits is None and held.frame.index <= self._seen - (wait + 1) // 2:
                held.portraits = self._placed(held.frame)
        done = []
        while self._held and self._held[0].frame.index <= self._seen - wait:
            done.append(self._drawn(self._held.pop(0)))
        return done

    def _placed(self, frame: Frame) -> dict[int, Portrait]:
        base, space = self.stylizer.style.base, self.stylizer.card.encoder_space
        shown = [
            (number, person)
            for number, person in self._persons.items()
            if self._is_chosen(number) and person.is_shown(frame.index, self._scene_length)
        ]
        placed = {
            k: person.place(frame.rgb, frame.index, float(frame.time), base, space)
            for k, person in shown
        }
        return {k: portrait for k, portrait in placed.items() if portrait is not None}

    def _is_chosen(self, number: int) -> bool:
        """Whether a track is drawn: `options.faces` counts tracks, `people` may name None."""
        if self.people.get(number, self.options) is None:
            return False
        if self.options.faces == "largest":
            return number == max(self._persons, key=lambda k: self._persons[k].area)
        return self.options.faces == "all" or number in self.options.select(number + 1)

    def _drawn(self, held: _Held) -> StylizedFrame:
        frame, picture = held.frame, held.frame.rgb
        for number, portrait in held.portraits.items():
            picture = self._with_person(picture, frame, number, portrait)
        share = self.temporal.steadiness * self.temporal.carry
        if share and self._last and held.portraits:
            picture = carried(frame.rgb, picture, *self._last, share)
        self._last = (frame.rgb, picture)
        rgb = finished(picture, self.options, is_drawn=bool(held.portraits))
        alpha = None if frame.alpha is None else resize(frame.alpha, *rgb.shape[:2])
        frame = replace(frame, rgb=rgb, alpha=alpha)
        return StylizedFrame(frame, tuple(held.portraits))

    def _with_person(
        self, picture: np.ndarray, frame: Frame, number: int, portrait: Portrait
    ) -> np.ndarray:
        """Draw one person into the picture; colours are compared with the untouched frame."""
        look = self.people.get(number) or Look(self.stylizer, self.options)
        person, time = self._persons[number], float(frame.time)
        options = replace(look.options, samples=1, output_size=0, ai_label=False)
        portrait = person.steadied(portrait, time, FREE_LAYERS)
        crop = look.stylizer.render(portrait, options)
        if options.color == "keep":
            colors = compare_colors(frame.rgb, crop, portrait.face.photo_to(len(crop)))
            crop = crop if colors is None else color.recolor(crop, person.colored(time, colors))
        return look.stylizer.paste(picture, [portrait], [crop], replace(options, color="style"))


def _kept(portrait: Portrait) -> dict[str, Any]:
    """What a snapshot keeps of a portrait: `Stabilizer._portrait` reads it."""
    face = {"crop": portrait.face.crop, "photo_to_crop": portrait.face.photo_to_crop}
    values = {"landmarks": portrait.landmarks, "ws": portrait.ws.numpy()}
    return {**face, **values, "attributes": dict(portrait.attributes)}
