"""What a clip shows, frame by frame: scenes, who is where, and how the faces moved.

Finding faces costs most of it. Where speed counts more than the last bit of movement, a frame is
searched for new faces only every few frames, and in each the known ones are looked at where the
pixels under them went: a tenth of the work. Whenever that is not sure, as at the beginning of a
scene, with a face that was lost or just found, or where the pixels tell no movement, the frame is
searched. By default each is: with every fourth, landmarks that tremble as little follow less of the
head (measured in docs/video.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.detect import Face
from engine.pipeline import Stylizer
from motion.follow import gray_of, movement
from motion.track import SceneCuts, Tracker, moved, points_of

if TYPE_CHECKING:
    from motion.media import Frame

SEARCH_EVERY = 1  # frames from one search to the next
CONFIRMED = 3  # sightings; what is found less often is no face
CORRECTED = 0.25  # of how far a face is from where it was expected; all of it adds to the trembling
MOST_CORRECTED = 0.25  # of the face's size, from where the pixels under it went to where it is
LEAST_APART = 0.25  # of two faces


@dataclass(frozen=True)
class Sighting:
    """What is seen in a frame.

    Attributes:
        frame: the frame.
        is_cut: whether a new scene begins with it.
        faces: by number of their track.
        movements: how the faces known before moved since the frame before, [3, 3] each.
        state: of the watch after this frame, for a snapshot.
    """

    frame: Frame
    is_cut: bool = False
    faces: Mapping[int, Face] = field(default_factory=dict)
    movements: Mapping[int, np.ndarray] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)


class Watch:
    """Takes the frames of a clip one by one, and tells what is seen in them.

    Args:
        stylizer: whose detector finds the faces.
        search_every: frames from one search for new faces to the next; 1: each is searched.
    """

    def __init__(self, stylizer: Stylizer, search_every: int = SEARCH_EVERY) -> None:
        self._stylizer, self._search_every = stylizer, search_every
        self._tracker, self._cuts = Tracker(), SceneCuts()
        self._gray = np.zeros((0, 0), np.uint8)  # of the last frame
        self._seen = -1  # index of the last frame
        self._due = 0  # index of the frame to search next
        self._state: dict[str, Any] = {}

    def search(self, frame: Frame) -> list[Face] | None:
        """Search a frame, as any thread may do ahead of its turn; None where it is not needed."""
        if self._search_every > 1 or frame.index <= self._seen:
            return None
        return self._stylizer.detect(frame.rgb)

    def __call__(self, frame: Frame, found: list[Face] | None = None) -> Sighting:
        """Look at the next frame; those known from before a `restore` are only passed on.

        `found` is what `search` gave for it, if it was searched already.
        """
        if frame.index <= self._seen:
            return Sighting(frame, state=self._state)
        is_cut = self._cuts.is_cut(frame.rgb)
        if is_cut:
            self._tracker.end_scene()
        movements = self._movements(frame.rgb)
        certain = {number: matrix for number, matrix in movements.items() if matrix is not None}
        self._tracker.carry(certain)
        faces = self._faces(frame, found, is_certain=len(certain) == len(movements))
        self._seen = frame.index
        self._state = self._snapshot()
        return Sighting(frame, is_cut, faces, certain, self._state)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the `state` of a sighting: what follows that frame is seen as it was."""
        self._state = dict(state)
        self._seen, self._due, self._gray = state["seen"], state["due"], state["gray"]
        self._tracker.restore(state["tracker"])
        self._cuts.restore(state["cuts"])

    def _snapshot(self) -> dict[str, Any]:
        own = {"seen": self._seen, "due": self._due, "gray": self._gray}
        return {**own, "tracker": self._tracker.snapshot(), "cuts": self._cuts.snapshot()}

    def _movements(self, rgb: np.ndarray) -> dict[int, np.ndarray | None]:
        """How each known face moved since the frame before, None where the pixels do not tell."""
        gray, before = gray_of(rgb), self._gray
        self._gray = gray
        if gray.shape != before.shape:
            return dict.fromkeys(self._tracker.known)
        scale = gray.shape[1] / rgb.shape[1]
        return {
            number: movement(before, gray, known.face.box, scale)
            for number, known in self._tracker.known.items()
        }

    def _faces(
        self, frame: Frame, found: list[Face] | None, *, is_certain: bool
    ) -> dict[int, Face]:
        index, rgb = frame.index, frame.rgb
        expected = {number: track.face for number, track in self._tracker.known.items()}
        faces = None
        if expected and is_certain and index < self._due:
            faces = self._looked_at(rgb, expected)
        if faces is None:
            searched = self._stylizer.detect(rgb) if found is None else found
            numbered = self._tracker.update(index, searched)
            expected = {number: expected.get(number, face) for number, face in numbered.items()}
            if self._search_every == 1:
                return numbered
            again = self._looked_at(rgb, expected) or numbered
            faces = {k: replace(f, landmarks=again[k].landmarks) for k, f in numbered.items()}
            self._due = index + (self._search_every if self._is_settled(index) else 1)
        self._tracker.see(index, {k: _between(expected[k], face) for k, face in faces.items()})
        return faces

    def _is_settled(self, index: int) -> bool:
        """Whether all known faces are there, and have been for a while."""
        tracks = self._tracker.known.values()
        return bool(tracks) and all(t.index == index and t.count >= CONFIRMED for t in tracks)

    def _looked_at(self, rgb: np.ndarray, expected: Mapping[int, Face]) -> dict[int, Face] | None:
        """Look where faces are expected; None where not each of them is there and by itself."""
        faces = self._stylizer.detect_again(rgb, list(expected.values()))
        if faces is None or len(faces) < len(expected):
            return None
        far = [moved(points_of(a), b) for a, b in zip(expected.values(), faces, strict=True)]
        apart = [moved(points_of(a), b) for a, b in combinations(faces, 2)]
        is_sure = max(far, default=0) <= MOST_CORRECTED and min(apart, default=1) >= LEAST_APART
        return dict(zip(expected, faces, strict=True)) if is_sure else None


def _between(expected: Face, found: Face) -> Face:
    """Where to look next time: the frame of a look trembles less than what is found in it."""
    if expected.landmarks.shape != found.landmarks.shape:
        return found
    correction = found.landmarks - expected.landmarks
    return replace(found, landmarks=expected.landmarks + CORRECTED * correction)
