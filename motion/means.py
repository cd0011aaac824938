"""A first look through a clip: the mean codes of everybody in it, before anything is drawn.

A running mean begins with the first frame and drifts with every further one; that of the whole clip
is there from the start. Some frames a second are enough for it. Who is who is told by where a face
is, not by its number, which depends on every frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.detect import Face
from engine.pipeline import Stylizer
from engine.portraits import encode_faces
from motion.batches import usual_batches
from motion.track import MOST_MOVED, SceneCuts, Tracker, moved, points_of

if TYPE_CHECKING:
    from motion.media import Frame

SAMPLE_SECONDS = 0.5  # from one look to the next
NEAR_SECONDS = 2 * SAMPLE_SECONDS  # of a face to one that was looked at


class Means:
    """Mean codes of tracks.

    Args:
        scenes: [n], the number of the scene of each sighting.
        tracks: [n], the number of its track.
        times: [n], seconds.
        points: [n, K, 2], where the face was.
        codes: [num_tracks, L, w_dim], their means.
    """

    def __init__(self, **values: np.ndarray) -> None:
        self._values = values

    def of(self, scene: int, time: float, face: Face) -> np.ndarray:
        """Return the mean codes [L, w_dim] of who is there at that time; [0]: nobody we met."""
        values = self._values
        distance = np.abs(values["times"] - time)
        for index in np.argsort(distance, kind="stable"):
            if distance[index] > NEAR_SECONDS:
                break
            is_there = moved(values["points"][index], face) <= MOST_MOVED
            if is_there and values["scenes"][index] == scene:
                return values["codes"][values["tracks"][index]].copy()
        return np.zeros(0)

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays."""
        return dict(self._values)

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Means:
        """Return the means of a snapshot."""
        return cls(**state)


def clip_means(frames: Iterable[Frame], stylizer: Stylizer) -> Means | None:
    """Look through a clip; None where nobody is in it. Frames are not kept."""
    look = _FirstLook(stylizer)
    cuts, due, scene = SceneCuts(), 0.0, 0
    for frame in frames:
        if is_cut := cuts.is_cut(frame.rgb):
            look.end_scene()
            scene += 1
        if is_cut or frame.time >= due:
            look.take(scene, float(frame.time), frame.rgb)
            due = float(frame.time) + SAMPLE_SECONDS
    return look.means()


class _FirstLook:
    """Finds and encodes the faces of some frames, and adds up their codes by track."""

    def __init__(self, stylizer: Stylizer) -> None:
        self._stylizer, self._tracker = stylizer, Tracker()
        resolution = stylizer.style.base.generator.resolution
        self._encode = usual_batches(stylizer.runtime, resolution)
        self._count = 0  # of frames taken
        self._sightings: list[tuple[int, int, float, np.ndarray]] = []
        self._codes: list[np.ndarray] = []

    def end_scene(self) -> None:
        self._tracker.end_scene()

    def take(self, scene: int, time: float, rgb: np.ndarray) -> None:
        faces = self._tracker.update(self._count, self._stylizer.detect(rgb))
        self._count += 1
        base, space = self._stylizer.style.base, self._stylizer.card.encoder_space
        seen = [(rgb, face) for face in faces.values()]
        read = partial(encode_faces, base=base, space=space, with_detail=False)
        portraits = self._encode(read, seen)
        for (number, face), portrait in zip(faces.items(), portraits, strict=True):
            self._sightings.append((scene, number, time, points_of(face)))
            self._codes.append(portrait.ws[0].double().numpy())

    def means(self) -> Means | None:
        if not self._sightings:
            return None
        scenes, tracks, times, points = zip(*self._sightings, strict=True)
        return Means(
            scenes=np.array(scenes),
            tracks=np.array(tracks),
            times=np.array(times),
            points=np.stack(points),
            codes=_means(np.array(tracks), self._codes),
        )


def _means(tracks: np.ndarray, codes: Sequence[np.ndarray]) -> np.ndarray:
    """Mean of the codes of each track, [num_tracks, L, w_dim]."""
    together = np.stack(codes)
    return np.stack([together[tracks == number].mean(0) for number in range(tracks.max() + 1)])
