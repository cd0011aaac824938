"""Which square of a picture is driven: FOMM wants a face with some room around it.

The public recipe: the face's box, enlarged by a tenth on every side, made a square; for a clip the
boxes of all its frames are joined first, so that the square stands still while the head moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from engine.align import quad_to_matrix
from engine.detect import Detector, Face
from engine.errors import MediaError
from engine.image import resize
from motion.media import Frame

ROOM = 1.2  # side of the square by the longer one of the box


@dataclass(frozen=True)
class Square:
    """A square of whole pixels, which may reach beyond the picture's edges."""

    x: int
    y: int
    side: int

    def cut(self, rgb: np.ndarray, size: int) -> np.ndarray:
        """Cut the square out of uint8 [H, W, 3] as [size, size, 3]; edges are repeated beyond."""
        height, width = rgb.shape[:2]
        low = np.maximum(0, [-self.x, -self.y])
        high = np.maximum(0, [self.x + self.side - width, self.y + self.side - height])
        inside = rgb[max(self.y, 0) : self.y + self.side, max(self.x, 0) : self.x + self.side]
        if (low > 0).any() or (high > 0).any():
            edges = (int(low[1]), int(high[1]), int(low[0]), int(high[0]))
            inside = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REPLICATE)
        return resize(inside, size, size)

    def photo_to_crop(self, size: int) -> np.ndarray:
        """Return the matrix into the square drawn with `size` pixels a side, float64 [3, 3]."""
        x, y, s = self.x - 0.5, self.y - 0.5, self.side
        return quad_to_matrix(np.array([[x, y], [x, y + s], [x + s, y + s], [x + s, y]]), size)

    def normalised(self, points: np.ndarray) -> np.ndarray:
        """Bring points [K, 2] in pixels of the picture to the square's (x, y) in [-1, 1]."""
        return 2 * (points - (self.x, self.y)) / (self.side - 1) - 1


def face_square(box: np.ndarray, rgb: np.ndarray) -> Square:
    """Return the square around a face's box [4], moved into the picture as far as it fits."""
    height, width = rgb.shape[:2]
    side = int(np.ceil(max(box[2] - box[0], box[3] - box[1], 8) * ROOM))
    x, y = np.rint((box[:2] + box[2:]) / 2 - side / 2).astype(int).tolist()
    return Square(_moved_inside(x, side, width), _moved_inside(y, side, height), side)


def central_square(rgb: np.ndarray) -> Square:
    """Return the largest square in the middle of a picture: for one without a face."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    return Square((width - side) // 2, (height - side) // 2, side)


def clip_square(
    frames: Iterable[Frame], detector: Detector, every: float = 0.5
) -> tuple[Square, int]:
    """Find the square that holds the largest face of a clip throughout; also count the frames.

    Faces are looked for every so many seconds; one that does not overlap the first is another
    person's. A clip without a face is driven by its central square.

    Raises:
        MediaError: the clip has no frame.
    """
    joined, last, first, num_frames = None, None, None, 0
    for frame in frames:
        first, num_frames = frame if first is None else first, num_frames + 1
        if last is None or frame.time - last >= every:
            last = frame.time
            for face in detector(frame.rgb):
                if joined is None or _overlap(face, joined):
                    joined = face.box if joined is None else _union(joined, face.box)
                    break
    if first is None:
        raise MediaError("the driving clip has no frame; choose another clip")
    square = central_square(first.rgb) if joined is None else face_square(joined, first.rgb)
    return square, num_frames


def _moved_inside(low: int, side: int, extent: int) -> int:
    return (extent - side) // 2 if side >= extent else min(max(low, 0), extent - side)


def _overlap(face: Face, box: np.ndarray) -> bool:
    low, high = np.maximum(face.box[:2], box[:2]), np.minimum(face.box[2:], box[2:])
    return bool((high - low > 0).all())


def _union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.concatenate([np.minimum(a[:2], b[:2]), np.maximum(a[2:], b[2:])])
