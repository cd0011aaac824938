"""One person of one scene over time: where the face is and its codes, held steady."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from engine.detect import Face
from engine.options import StylizeOptions
from engine.pipeline import Portrait, Stylizer
from engine.portraits import is_usable
from engine.warp import moved_by
from motion.smoothing import Filter, LocalFit, OneEuro
from motion.temporal_options import TemporalOptions
from motion.track import LONGEST_GAP
from motion.watch import CONFIRMED

FILTERS = ("points", "codes")
HELD = 3  # frames a lost face stays when nothing is known of what follows
MEAN_OVER = 300  # sightings the mean of the codes reaches back
# Landmarks are filtered where their face rests: over longer than codes, without loss of movement.
POINT_SIGMAS = 2.0
# One-Euro of live pictures; speed in face sizes, or units of w, per second
POINT_CUTOFF, POINT_BETA, CODE_CUTOFF, CODE_BETA = 2.0, 30.0, 2.0, 5.0


@dataclass(frozen=True)
class Look:
    """How one person is drawn: a style of the same base, and its options."""

    stylizer: Stylizer
    options: StylizeOptions


class Person:
    """What is known of one track.

    Args:
        temporal: how steady.
        size: of the face where it was first seen, pixels.
        most_held: frames that wait at most, from being seen to being drawn.
    """

    def __init__(self, temporal: TemporalOptions, size: float = 1.0, most_held: int = 0) -> None:
        self.temporal, self.size, self.most_held = temporal, size, most_held
        self.area, self.count = 0.0, 0
        self.sightings: list[int] = []
        self.attributes: dict[str, float] = {}
        self.attribute: str | None = None
        self.mean = np.zeros(0)  # of the codes until now
        self.clip_mean = np.zeros(0)  # of the whole clip, if it is known
        self.num_codes = 0
        # Of the last frames: how the face moved, as a whole, since it was first seen.
        self.movements: dict[int, np.ndarray] = {}
        looser = 1 / temporal.steadiness if temporal.steadiness else math.inf
        self.points: Filter = OneEuro(looser * POINT_CUTOFF, POINT_BETA, size)
        self.codes: Filter = OneEuro(looser * CODE_CUTOFF, CODE_BETA)
        if temporal.look_ahead:
            sigma = temporal.steadiness * temporal.smoothing
            self.points, self.codes = LocalFit(POINT_SIGMAS * sigma), LocalFit(sigma)

    def follow(self, index: int, matrix: np.ndarray) -> None:
        """Take how the face moved from the frame before to frame `index`, [3, 3]."""
        latest = max(self.movements, default=None)
        total = matrix if latest is None else matrix @ self.movements[latest]
        kept = index - self.most_held - 1
        self.movements = {k: m for k, m in self.movements.items() if k >= kept} | {index: total}

    def see(self, index: int, time: float, face: Face) -> None:
        """Take the face found in frame `index`."""
        if index not in self.movements:
            self.follow(index, np.eye(3))
        points = np.concatenate([face.landmarks, face.box.reshape(2, 2)])
        self.points.add(time, moved_by(np.linalg.inv(self.movements[index]), points))
        self.count += 1
        self.area += (face.area - self.area) / self.count
        kept = index - 2 * LONGEST_GAP - self.most_held
        self.sightings = [*(i for i in self.sightings if i >= kept), index]

    def is_shown(self, index: int, scene_length: int) -> bool:
        """Whether to draw the person in frame `index`: found there, or lost for a few frames only.

        Args:
            index: of the frame; nothing before it will be asked for again.
            scene_length: frames of the scene seen so far; in a very short one a face is believed
                at once.
        """
        if self.count < min(CONFIRMED, scene_length):
            return False
        before = max((i for i in self.sightings if i <= index), default=None)
        after = min((i for i in self.sightings if i >= index), default=None)
        if before is None:
            return False
        if after is None:
            return not self.temporal.look_ahead and index - before <= HELD
        # Only gaps whose end is seen from their first frame on: else a face would go and come back.
        seen_ahead = (self.temporal.look_ahead + 1) // 2
        return after - before <= min(LONGEST_GAP, seen_ahead) + 1

    def face_in(self, rgb: np.ndarray, index: int, time: float) -> Face | None:
        """Return the face at its filtered place in frame `index`; None: it left the picture."""
        points = moved_by(self.movements[index], self.points.at(time)).astype(np.float32)
        face = Face(points[:-2], points[-2:].ravel(), 1.0)
        return face if not len(face.landmarks) or is_usable(face, rgb) else None

    def learn(self, index: int, time: float, portrait: Portrait) -> None:
        """Take the face encoded in frame `index`; where it was not really seen it tells nothing."""
        if index not in self.sightings or not portrait.ws.numel():
            return
        ws = portrait.ws[0].double().numpy()
        self.codes.add(time, ws)
        self.num_codes = min(self.num_codes + 1, MEAN_OVER)
        mean = self.mean if self.mean.size else ws
        self.mean = mean + (ws - mean) / self.num_codes
        for name, value in portrait.attributes.items():
            known = self.attributes.get(name, value)
            self.attributes[name] = known + (value - known) / self.num_codes

    def steadied(self, portrait: Portrait, time: float, free_layers: int) -> Portrait:
        """Return the portrait with the filtered codes, those from `free_layers` on near the mean.

        Its attributes are those of all frames until now: a path does not change within a scene.
        """
        if not self.num_codes:
            return portrait
        ws = self.codes.at(time)
        share = self.temporal.steadiness * self.temporal.identity
        mean = self.clip_mean if self.clip_mean.size else self.mean
        ws[free_layers:] += share * (mean - ws)[free_layers:]
        if self.attribute is None and self.attributes:
            self.attribute = max(self.attributes, key=self.attributes.get)
        attributes = {name: float(name == self.attribute) for name in self.attributes}
        codes = torch.from_numpy(ws).to(portrait.ws)[None]
        return replace(portrait, ws=codes, mu=None, logvar=None, attributes=attributes)

    def forget(self, time: float) -> None:
        """Nothing before a time will be asked for again."""
        self.points.forget(time)
        self.codes.forget(time)

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays, numbers and texts."""
        names = ("size", "area", "count", "sightings", "attributes", "attribute")
        names += ("mean", "clip_mean", "num_codes")
        state = {name: getattr(self, name) for name in names}
        filters = {name: getattr(self, name).snapshot() for name in FILTERS}
        movements = {str(k): matrix for k, matrix in self.movements.items()}
        return {"values": state, "movements": movements, **filters}

    @classmethod
    def restored(
        cls, state: Mapping[str, Any], temporal: TemporalOptions, most_held: int = 0
    ) -> Person:
        """Return the person of a snapshot."""
        person = cls(temporal, state["values"]["size"], most_held)
        for name, value in state["values"].items():
            setattr(person, name, value)
        person.movements = {int(k): m for k, m in state.get("movements", {}).items()}
        for name in FILTERS:
            getattr(person, name).restore(state[name])
        return person
