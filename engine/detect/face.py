"""What a detector returns, and the geometry all detectors share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from engine.errors import DetectorError
from engine.models.detector import suppress
from engine.warp import halved

MIN_PADDED = 32  # pixels; smaller pictures are padded to this
MIRRORED = [1, 0, 2, 4, 3]  # left and right landmarks change places in a mirror
UPRIGHT_SHARE = 0.72  # of an upright crop: the side of the face in it
Point = tuple[float, float] | list[float] | np.ndarray


@dataclass(frozen=True, eq=False)
class Face:
    """One face: landmarks float32 [5 or 68, 2], box float32 [4] x0, y0, x1, y1, score 0..1."""

    landmarks: np.ndarray
    box: np.ndarray
    score: float

    @property
    def area(self) -> float:
        """Of the box, in square pixels."""
        return float(np.clip(self.box[2:] - self.box[:2], 0, None).prod())


class Detector(Protocol):
    """What finds faces."""

    def __call__(self, rgb: np.ndarray) -> list[Face]:
        """Return the faces of uint8 [H, W, 3], largest first; [] if there is none."""


@runtime_checkable
class LooksAgain(Protocol):
    """A detector that can also look at known faces only: for videos, much faster than a search."""

    def again(self, rgb: np.ndarray, faces: Sequence[Face]) -> list[Face]:
        """Return those of `faces` that are still there, with the landmarks and scores of now."""


def face_from_points(left_eye: Point, right_eye: Point, mouth: Point) -> Face:
    """Build the face a user marked by hand: both eyes and the middle of the mouth, (x, y) pixels.

    Nose, mouth corners and box follow from the proportions of an average face. Eyes clicked in the
    other order are exchanged, so that the mouth is below them.

    Raises:
        DetectorError: the points are not finite or (almost) coincide.
    """
    left, right, mouth = (np.asarray(p, np.float64) for p in (left_eye, right_eye, mouth))
    given = [p.tolist() for p in (left, right, mouth)]
    across, down = right - left, mouth - (left + right) / 2
    turn = across[0] * down[1] - across[1] * down[0]  # area, positive if the order is right
    if not np.isfinite(given).all() or abs(turn) < 1:
        raise DetectorError(
            f"left eye, right eye and mouth at {given} span no face; "
            "three different points not on one line are needed: mark them again"
        )
    if turn < 0:
        left, right, across = right, left, -across
    between = (left + right) / 2
    corners = [mouth - 0.44 * across, mouth + 0.44 * across]
    landmarks = np.stack([left, right, between + 0.59 * down, *corners])
    size = 0.62 * (np.hypot(*across) + np.hypot(*down))
    middle, half = between + 0.32 * down, size * np.array([0.86, 1.16])
    box = np.concatenate([middle - half, middle + half])
    return Face(landmarks.astype(np.float32), box.astype(np.float32), 1.0)


def turned_back(face: Face, turns: int, height: int, width: int) -> Face:
    """Map a face found in `np.rot90(photo, turns)` to the photo of `height` x `width` pixels."""

    def back(points: np.ndarray) -> np.ndarray:
        x, y = points[..., 0], points[..., 1]
        swaps = [(x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x)]
        return np.stack(swaps[turns % 4], -1).astype(np.float32)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(0), corners.max(0)])
    return replace(face, landmarks=back(face.landmarks), box=box)


@dataclass(frozen=True)
class Proposals:
    """Boxes [A, 4], landmarks [A, 5, 2] and scores [A] before they are grouped into faces."""

    scores: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray

    def faces(self, overlap: float = 0.4) -> list[Face]:
        """Group what overlaps, average each group by squared score; largest first."""
        found: list[Face] = []
        for group in suppress(self.boxes, self.scores, overlap):
            weights = self.scores[group] ** 2
            weights /= weights.sum()
            box = np.tensordot(weights, self.boxes[group], 1)
            landmarks = np.tensordot(weights, self.landmarks[group], 1)
            if all(_outside(box, other.box) for other in found):
                found.append(Face(landmarks, box, float(self.scores[group[0]])))
        return sorted(found, key=lambda face: -face.area)


def _outside(box: np.ndarray, other: np.ndarray) -> bool:
    """Whether at most 60 % of the smaller of two boxes lies in the other: no face within a face."""
    shared = np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None)
    areas = [max(float((b[2:] - b[:2]).prod()), 1e-9) for b in (box, other)]
    return float(shared.prod()) <= 0.6 * min(areas)


def shrunk(rgb: np.ndarray, long_side: int) -> tuple[np.ndarray, np.ndarray]:
    """Shrink to a long side, never below one pixel; also return the exact factors of x and y."""
    height, width = rgb.shape[:2]
    factor = min(1.0, long_side / max(height, width))
    if factor == 1:
        return rgb, np.ones(2, np.float32)
    size, step = np.maximum(np.rint(np.array([width, height]) * factor), 1).astype(int), 1
    while (np.array(rgb.shape[1::-1]) >= 4 * size).all():
        rgb, step = halved(rgb), 2 * step
    small = cv2.resize(rgb, size.tolist(), interpolation=cv2.INTER_AREA)
    return small, (size / (step * np.array(rgb.shape[1::-1]))).astype(np.float32)


def upright_matrix(landmarks: np.ndarray, size: int) -> np.ndarray:
    """The similarity float64 [2, 3], photo to crop, that sets five landmarks upright in a square.

    Middle and direction are those of the eyes and the mouth; the face (its box) becomes
    `UPRIGHT_SHARE` of the crop's `size`.
    """
    eyes, mouth = landmarks[:2].astype(np.float64), landmarks[3:5].astype(np.float64)
    across, down = eyes[1] - eyes[0], mouth.mean(0) - eyes.mean(0)
    length = max(1.24 * (np.hypot(*across) + np.hypot(*down)), 1.0)  # about the box's side
    direction = across + np.array([down[1], -down[0]])  # both halves of a turned face count
    cosine, sine = UPRIGHT_SHARE * size / length * direction / max(np.hypot(*direction), 1e-6)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    middle = (eyes.mean(0) + mouth.mean(0)) / 2
    return np.column_stack([turn, (size - 1) / 2 - turn @ middle])


def cut(rgb: np.ndarray, photo_to_crop: np.ndarray, size: int) -> np.ndarray:
    """Cut [size, size, 3] out of a photo; it is shrunk by area first, so that nothing aliases."""
    factor = 2 ** max(0, int(-np.log2(np.hypot(*photo_to_crop[0, :2]))))
    matrix = photo_to_crop
    if factor > 1:
        rgb, scale = shrunk(rgb, max(rgb.shape[:2]) // factor)
        turn = photo_to_crop[:, :2] / scale
        shift = photo_to_crop[:, 2] + (turn - photo_to_crop[:, :2]).sum(1) / 2
        matrix = np.column_stack([turn, shift])
    return cv2.warpAffine(rgb, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
