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
from engine.compose import face_scale
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


class Compositor:
    """Puts drawn faces into their frames, which come in order.

    Args:
        style: what the rest of a frame is drawn in, if `options.around` wants that.
        options: what is done with the whole frame.
        temporal: how steady.
    """

    def __init__(self, style: Style, options: StylizeOptions, temporal: TemporalOptions) -> None:
        self.style, self.options, self.temporal = style, options, temporal
        self._begin_scene()

    def __call__(self, drawn: DrawnFrame) -> StylizedFrame:
        """Compose the next frame."""
        if drawn.begins_scene:
            self._begin_scene()
        frame, rgb = drawn.frame, drawn.frame.rgb
        is_drawn = is_drawn_around(self.style, self.options)
        picture = self._drawn_around(drawn) if is_drawn else self._toned(drawn)
        for number, face in drawn.faces.items():
            picture = self._pasted(picture, frame, number, face)
        share = self.temporal.steadiness * self.temporal.carry
        if share and self._last and drawn.faces:
            picture = carried(rgb, picture, *self._last, share)
        self._last = (rgb, picture)
        rgb = finished(picture, self.options, is_drawn=bool(drawn.faces))
        alpha = None if frame.alpha is None else resize(frame.alpha, *rgb.shape[:2])
        return StylizedFrame(replace(frame, rgb=rgb, alpha=alpha), tuple(drawn.faces))

    def snapshot(self) -> dict[str, Any]:
        """Return the state as a flat dict of tensors and JSON values."""
        return flattened(
            {
                "tones": {} if self._tones is None else {"mean": self._tones},
                "scale": self._scale,
                "last": {str(i): picture for i, picture in enumerate(self._last)},
                "colors": {name: one.snapshot() for name, one in self._filters.items()},
            }
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a snapshot that `nested` has opened; what was empty is missing in it."""
        self._begin_scene()
        self._tones, self._scale = state.get("tones", {}).get("mean"), state.get("scale", 0.0)
        self._last = tuple(state.get("last", {}).values())
        for name, values in state.get("colors", {}).items():
            self._filter(name).restore(values)

    def _begin_scene(self) -> None:
        self._last: tuple[np.ndarray, ...] = ()  # of the frame before: input, result
        self._tones: np.ndarray | None = None  # what the last drawings did to their frame's colours
        self._scale = 0.0  # of the first face in the scene: strokes stay as wide as they are
        self._filters: dict[str, OneEuro] = {}

    def _drawn_around(self, drawn: DrawnFrame) -> np.ndarray:
        """Return the frame drawn as a whole; as filmed before the first face of its scene."""
        faces = [(f.crop, f.portrait.face.photo_to(len(f.crop))) for f in drawn.faces.values()]
        if faces and not self._scale:
            self._scale = face_scale(faces)
        rgb = drawn.frame.rgb
        return draw_around(rgb, self._scale, self.style, self.options) if self._scale else rgb

    def _toned(self, drawn: DrawnFrame) -> np.ndarray:
        """Return the frame in the tones of its drawings, or of the last ones in the scene."""
        share, rgb, seen = self.options.surroundings, drawn.frame.rgb, []
        for number, face in drawn.faces.items() if share else ():
            own = face.look.options
            if own.surroundings and own.color != "keep":
                seen.append(self._colors(f"around {number}", drawn.frame, face))
        known = [colors for colors in seen if colors is not None]
        if known:
            self._tones = np.mean(known, axis=0)
        return rgb if self._tones is None else color.toned(rgb, self._tones, share)

    def _pasted(
        self, picture: np.ndarray, frame: Frame, number: int, face: DrawnFace
    ) -> np.ndarray:
        """Return `picture`, what the frame shows by now, with one more drawing in it."""
        look, crop = face.look, face.crop
        options = replace(look.options, samples=1, output_size=0, surroundings=0.0, ai_label=False)
        if options.color == "keep":
            colors = self._colors(f"of {number}", frame, face)
            crop = crop if colors is None else color.recolor(crop, colors)
            options = replace(options, color="style")
        return look.stylizer.paste(picture, [face.portrait], [crop], options)

    def _colors(self, name: str, frame: Frame, face: DrawnFace) -> np.ndarray | None:
        """Compare a drawing with the untouched frame under it, filtered over time: as `compare`."""
        matrix = face.portrait.face.photo_to(len(face.crop))
        colors = compare_colors(frame.rgb, face.crop, matrix)
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
