"""Who is who from frame to frame, and where one scene ends.

Faces of a frame are assigned to the tracks of the frame before by how far their points moved (the
Hungarian method, Kuhn 1955). A scene cut is a frame that differs from the one before in its
layout and in its colours, and by much more than frames did lately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from engine.detect import Face

MOST_MOVED = 0.5  # of the face's size, from one sighting to the next
LONGEST_GAP = 8  # frames a face may be lost and still be the same
THUMBNAIL = (32, 18)  # width, height
LEAST_DIFFERENCE, LEAST_RECOLORED, LEAST_RISE = 16.0, 0.3, 3.0
REMEMBERED = 12  # differences


class Tracker:
    """Numbers the faces of a scene. Numbers start at 0 and are never used again."""

    def __init__(self) -> None:
        self._next = 0
        self._last: dict[int, tuple[int, np.ndarray]] = {}  # frame and points of each track

    def update(self, index: int, faces: Sequence[Face]) -> dict[int, Face]:
        """Return the faces of frame `index` by the number of their track.

        New faces get the next numbers in the order of `faces`.
        """
        self._last = {k: v for k, v in self._last.items() if index - v[0] <= LONGEST_GAP + 1}
        ids = list(self._last)
        found: dict[int, Face] = {}
        if ids and faces:
            costs = np.array([[moved(self._last[i][1], face) for face in faces] for i in ids])
            allowed = costs <= MOST_MOVED
            # What is not allowed counts the same however far: it must not break a pair that is.
            pairs = linear_sum_assignment(np.where(allowed, costs, len(costs) + len(faces)))
            for row, column in zip(*pairs, strict=True):
                if allowed[row, column]:
                    found[ids[row]] = faces[column]
        taken = {id(face) for face in found.values()}
        for face in faces:
            if id(face) not in taken:
                found[self._next] = face
                self._next += 1
        self._last.update({k: (index, points_of(face)) for k, face in found.items()})
        return dict(sorted(found.items()))

    def end_scene(self) -> None:
        """Forget the faces: those of the next scene are new ones."""
        self._last = {}

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays and numbers."""
        return {
            "next": self._next,
            "last": {
                str(k): {"index": index, "points": points}
                for k, (index, points) in self._last.items()
            },
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._next = state["next"]
        last = state.get("last", {})
        self._last = {int(k): (seen["index"], seen["points"]) for k, seen in last.items()}


def points_of(face: Face) -> np.ndarray:
    """Its landmarks, or the corners of its box in pictures without faces, [K, 2]."""
    return face.landmarks if len(face.landmarks) else face.box.reshape(2, 2)


def moved(points: np.ndarray, face: Face) -> float:
    """How far a face is from where it was, in shares of its size (the root of its box's area)."""
    now = points_of(face)
    if now.shape != points.shape:
        return np.inf
    return float(np.hypot(*(now - points).T).mean() / max(face.area**0.5, 1.0))


class SceneCuts:
    """Tells for frame after frame whether a new scene begins."""

    def __init__(self) -> None:
        self._thumbnail = self._colors = np.zeros(0, np.float32)
        self._lately: list[float] = []

    def is_cut(self, rgb: np.ndarray) -> bool:
        """Whether uint8 [H, W, 3] begins a scene; the very first frame does not."""
        small = cv2.resize(rgb, THUMBNAIL, interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32)
        colors = _histogram(cv2.resize(rgb, (128, 72), interpolation=cv2.INTER_AREA))
        before, colors_before = self._thumbnail, self._colors
        self._thumbnail, self._colors = thumbnail, colors
        if not len(before):
            return False
        difference = float(np.abs(thumbnail - before).mean())
        # 1 - Bhattacharyya's coefficient, under the root: 0 the same colours, 1 none in common
        recolored = float(np.sqrt(max(0.0, 1 - np.sqrt(colors * colors_before).sum())))
        usual = float(np.median(self._lately)) if self._lately else 0.0
        is_cut = (
            difference > max(LEAST_DIFFERENCE, LEAST_RISE * usual) and recolored > LEAST_RECOLORED
        )
        self._lately = [] if is_cut else [*self._lately, difference][-REMEMBERED:]
        return is_cut

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays and numbers."""
        return {
            "thumbnail": self._thumbnail,
            "colors": self._colors,
            "lately": np.array(self._lately),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._thumbnail, self._colors = state["thumbnail"], state["colors"]
        self._lately = state["lately"].tolist()


def _histogram(rgb: np.ndarray) -> np.ndarray:
    """Share of 8 x 8 x 8 colours, float32 [512]."""
    counts = cv2.calcHist([rgb], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()
    return counts / counts.sum()
