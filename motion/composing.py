"""From drawn faces to finished frames: colours held over time, pasted, the last frame carried on.

The second half of stylizing a frame; no network takes part, so a thread of its own composes one
frame while the faces of the next are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine import color
from engine.align import compare_colors
from engine.around import draw_around, is_drawn_around
from engine.compose import Placed, face_scale, is_larger
from engine.finish import finished
from engine.image import resize
from engine.options import StylizeOptions
from engine.pipeline import Portrait
from engine.style import Style
from motion.flow import carried
from motion.media import Frame
from motion.person import Look
from motion.smoothing import OneEuro
from motion.snapshots import flattened
from motion.temporal_options import TemporalOptions

COLOR_CUTOFF, COLOR_BETA = 0.5, 0.02  # One-Euro of the colours; speed in units of L, a, b


@dataclass(frozen=True)
class DrawnFace:
    """What `look` made of `portrait`: `crop` uint8 [R, R, 3]."""

    look: Look
    portrait: Portrait
    crop: np.ndarray


@dataclass(frozen=True)
class DrawnFrame:
    """A frame and the drawings of its faces, by number of their track.

    With `begins_scene` nothing of the frames before goes on in it.
    """

    frame: Frame
    faces: Mapping[int, DrawnFace]
    begins_scene: bool


@dataclass(frozen=True)
class StylizedFrame:
    """A frame with the people in it stylized.

    `faces` are the numbers of their tracks; () means that the frame passed through untouched.
    """

    frame: Frame
    faces: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What the frames before it say about a frame: enough to paint it without them.

    Attributes:
        scale: pixels of a drawing per pixel of the frame, for what is drawn around; 0: nothing is.
        tones: what the drawings of the scene do to colours (`color.compare`); None: not known.
        colors: of faces that keep those of the clip, by number: filtered over time.
        fine: by number, whose drawing goes through the upscaler.
    """

    drawn: DrawnFrame
    scale: float
    tones: np.ndarray | None
    colors: Mapping[int, np.ndarray | None]
    fine: Mapping[int, bool]


class Compositor:
    """Puts drawn faces into their frames, which come in order.

    `finish(plan, paint(plan))` is done with each frame. `plan` and `finish` take the frames in
    order; `paint`, most of the work, may be done by any thread and side by side.

    Args:
        style: what the rest of a frame is drawn in, if `options.around` wants that.
        options: what is done with the whole frame.
        temporal: how steady.
    """

    def __init__(self, style: Style, options: StylizeOptions, temporal: TemporalOptions) -> None:
        self.style, self.options, self.temporal = style, options, temporal
        self._is_drawn_around = is_drawn_around(style, options)
        self._last: tuple[np.ndarray, ...] = ()  # of the frame before: input, result
        self._begin_scene()

    def __call__(self, drawn: DrawnFrame) -> StylizedFrame:
        """Compose the next frame."""
        plan = self.plan(drawn)
        return self.finish(plan, self.paint(plan))

    def plan(self, drawn: DrawnFrame) -> Plan:
        """Decide about the next frame what depends on those before."""
        if drawn.begins_scene:
            self._begin_scene()
        if self._is_drawn_around:
            self._note_scale(drawn)
        else:
            self._note_tones(drawn)
        colors = {
            number: self._colors(f"of {number}", drawn.frame, face)
            for number, face in drawn.faces.items()
            if face.look.options.color == "keep"
        }
        fine = {number: self._is_fine(number, face) for number, face in drawn.faces.items()}
        return Plan(drawn, self._scale, self._tones, colors, fine)

    def paint(self, plan: Plan) -> np.ndarray:
        """Return the frame with its surroundings and its drawings, uint8 [H, W, 3]."""
        picture, options = plan.drawn.frame.rgb, self.options
        if plan.scale:
            picture = draw_around(picture, plan.scale, self.style, options)
        elif plan.tones is not None:
            picture = color.toned(picture, plan.tones, options.surroundings)
        for number, face in plan.drawn.faces.items():
            picture = _pasted(picture, face, plan.colors.get(number), fine=plan.fine[number])
        return picture

    def finish(self, plan: Plan, picture: np.ndarray) -> StylizedFrame:
        """Let the last frame go on in the next one as it was painted: the frame of the film."""
        frame, faces, rgb = plan.drawn.frame, plan.drawn.faces, plan.drawn.frame.rgb
        if plan.drawn.begins_scene:
            self._last = ()
        share = self.temporal.steadiness * self.temporal.carry
        if share and self._last and faces:
            picture = carried(rgb, picture, *self._last, share)
        self._last = (rgb, picture)
        rgb = finished(picture, self.options, is_drawn=bool(faces))
        alpha = None if frame.alpha is None else resize(frame.alpha, *rgb.shape[:2])
        return StylizedFrame(replace(frame, rgb=rgb, alpha=alpha), tuple(faces))

    def plan_snapshot(self) -> dict[str, Any]:
        """Return the state of `plan` as a flat dict of tensors and JSON values."""
        return flattened(
            {
                "tones": {} if self._tones is None else {"mean": self._tones},
                "scale": self._scale,
                "fine": {str(number): fine for number, fine in self._fine.items()},
                "colors": {name: one.snapshot() for name, one in self._filters.items()},
            }
        )

    def finish_snapshot(self) -> dict[str, Any]:
        """Return the state of `finish` as a flat dict of tensors."""
        return flattened({"last": {str(i): picture for i, picture in enumerate(self._last)}})

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over both snapshots, which `nested` has opened; what was empty is missing there."""
        self._begin_scene()
        self._tones, self._scale = state.get("tones", {}).get("mean"), state.get("scale", 0.0)
        self._fine = {int(number): fine for number, fine in state.get("fine", {}).items()}
        self._last = tuple(state.get("last", {}).values())
        for name, values in state.get("colors", {}).items():
            self._filter(name).restore(values)

    def _begin_scene(self) -> None:
        self._tones: np.ndarray | None = None  # what the last drawings did to their frame's colours
        self._scale = 0.0  # of the first face in the scene: strokes stay as wide as they are
        self._fine: dict[int, bool] = {}  # by number: lines stay as sharp as they are
        self._filters: dict[str, OneEuro] = {}

    def _note_scale(self, drawn: DrawnFrame) -> None:
        """Before the first face of a scene its frames stay as filmed."""
        if drawn.faces and not self._scale:
            self._scale = face_scale([_placed(face) for face in drawn.faces.values()])

    def _note_tones(self, drawn: DrawnFrame) -> None:
        """Frames have the tones of their drawings, or of the last ones in the scene."""
        seen = []
        for number, face in drawn.faces.items() if self.options.surroundings else ():
            own = face.look.options
            if own.surroundings and own.color != "keep":
                seen.append(self._colors(f"around {number}", drawn.frame, face))
        known = [colors for colors in seen if colors is not None]
        if known:
            self._tones = np.mean(known, axis=0)

    def _is_fine(self, number: int, face: DrawnFace) -> bool:
        """Whether drawings of somebody are made finer: as where the scene first showed them."""
        if number not in self._fine:
            self._fine[number] = not self.temporal.quick and is_larger(_placed(face))
        return self._fine[number]

    def _colors(self, name: str, frame: Frame, face: DrawnFace) -> np.ndarray | None:
        """Compare a drawing with the untouched frame under it, filtered over time: as `compare`."""
        colors = compare_colors(frame.rgb, *_placed(face))
        if colors is None:
            return None
        over_time, time = self._filter(name), float(frame.time)
        over_time.add(time, colors)
        return over_time.at(time)

    def _filter(self, name: str) -> OneEuro:
        if name not in self._filters:
            steadiness = self.temporal.steadiness
            looser = 1 / steadiness if steadiness else math.inf
            self._filters[name] = OneEuro(looser * COLOR_CUTOFF, COLOR_BETA)
        return self._filters[name]


def _placed(face: DrawnFace) -> Placed:
    return face.crop, face.portrait.face.photo_to(len(face.crop))


def _pasted(
    picture: np.ndarray, face: DrawnFace, colors: np.ndarray | None, *, fine: bool
) -> np.ndarray:
    """Return `picture`, what the frame shows by now, with one more drawing in it."""
    look, crop = face.look, face.crop
    options = replace(look.options, samples=1, output_size=0, surroundings=0.0, ai_label=False)
    if options.color == "keep":
        crop = crop if colors is None else color.recolor(crop, colors)
        options = replace(options, color="style")
    return look.stylizer.paste(picture, [face.portrait], [crop], options, fine=fine)
