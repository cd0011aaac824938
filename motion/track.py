"""Who is who from frame to frame, and where one scene ends.

Faces of a frame are assigned to the tracks of the frame before by how far their points moved (the
Hungarian method, Kuhn 1955). A scene cut is a frame that differs from the one before in its
layout and in its colours, and by much more than frames did lately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from engine.detect import Face
from engine.warp import moved_by

MOST_MOVED = 0.5  # of the face's size, from one sighting to the next
LONGEST_GAP = 8  # frames a face may be lost and still be the same
THUMBNAIL = (32, 18)  # width, height
LEAST_DIFFERENCE, LEAST_RECOLORED, LEAST_RISE = 16.0, 0.3, 3.0
REMEMBERED = 12  # differences


@dataclass(frozen=True)
class Track:
    """A face over time: the frame it was last seen in, how often it was, and where it is now."""

    index: int
    count: int
    face: Face


class Tracker:
    """Numbers the faces of a scene. Numbers start at 0 and are never used again.

    Attributes:
        known: the tracks that may go on, by number.
    """

    def __init__(self) -> None:
        self.known: dict[int, Track] = {}
        self._next = 0

    def carry(self, movements: Mapping[int, np.ndarray]) -> None:
        """Move the known faces to where they are thought to be in the next frame.

        Args:
            movements: similarity [3, 3] since the frame before, by number.
        """
        for number, matrix in movements.items():
            track = self.known[number]
            self.known[number] = replace(track, face=_carried(track.face, matrix))

    def update(self, index: int, faces: Sequence[Face]) -> dict[int, Face]:
        """Return the faces of frame `index` by the number of their track, and know them there.

        New faces get the next numbers in the order of `faces`.
        """
        self.known = {k: t for k, t in self.known.items() if index - t.index <= LONGEST_GAP + 1}
        ids = list(self.known)
        found: dict[int, Face] = {}
        if ids and faces:
            points = [points_of(self.known[i].face) for i in ids]
            costs = np.array([[moved(before, face) for face in faces] for before in points])
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
        found = dict(sorted(found.items()))
        self.see(index, found)
        return found

    def see(self, index: int, faces: Mapping[int, Face]) -> None:
        """Know faces of frame `index` whose numbers are known."""
        for number, face in faces.items():
            before = self.known.get(number)
            is_new = before is None or before.index < index
            count = (before.count if before else 0) + is_new
            self.known[number] = Track(index, count, face)

    def end_scene(self) -> None:
        """Forget the faces: those of the next scene are new ones."""
        self.known = {}

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays and numbers."""
        known = {
            str(number): {"index": track.index, "count": track.count, **vars(track.face)}
            for number, track in self.known.items()
        }
        return {"next": self._next, "known": known}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state."""
        self._next = state["next"]
        self.known = {
            int(number): Track(
                *(kept["index"], kept["count"]),
                Face(kept["landmarks"], kept["box"], kept["score"]),
            )
            for number, kept in state.get("known", {}).items()
        }


def _carried(face: Face, matrix: np.ndarray) -> Face:
    """Move a face by a similarity [3, 3]; its box stays upright."""
    landmarks = moved_by(matrix, face.landmarks).astype(np.float32)
    middle, half = face.box.reshape(2, 2).mean(0), (face.box[2:] - face.box[:2]) / 2
    middle, half = moved_by(matrix, middle), half * np.sqrt(np.linalg.det(matrix[:2, :2]))
    box = np.concatenate([middle - half, middle + half]).astype(np.float32)
    return replace(face, landmarks=landmarks, box=box)


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
