"""Portraits with a box and five landmarks each, in memory at several sizes."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engine.errors import DataError
from train.data import rows_of

POINTS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
LARGEST_STORED = 176  # pixels of a face in memory; larger ones come from enlarging it a little


@dataclass(frozen=True)
class Portrait:
    """A labelled picture in memory: sizes 1, 1/2, 1/4 ...; labels in pixels of the first."""

    levels: tuple[np.ndarray, ...]  # uint8 [H, W, 3]
    box: np.ndarray  # float32 [4]
    landmarks: np.ndarray  # float32 [5, 2]

    @property
    def face_size(self) -> float:
        """The geometric mean of the box's sides."""
        return math.sqrt(float((self.box[2:] - self.box[:2]).prod()))


def read_portraits(table: Path, largest_face: float = LARGEST_STORED) -> list[Portrait]:
    """Read the pictures of a CSV file as in ../shared/data/wild, faces shrunk to `largest_face`.

    Raises:
        DataError: the table or a picture is missing or broken.
    """
    if not table.is_file():
        raise DataError(
            f"no labelled pictures at {table}: give the folder of train.csv with --data"
        )
    columns = [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    rows = rows_of(table, "file", "box_x", "box_y", "box_w", "box_h", *columns)
    return [_portrait(table.parent / row["file"], row, columns, largest_face) for row in rows]


def _portrait(file: Path, row: dict[str, str], columns: list[str], largest: float) -> Portrait:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if bgr is None:
        raise DataError(f"{file} cannot be read as a picture: remove its row, or restore the file")
    rgb = np.ascontiguousarray(bgr[..., ::-1])
    x, y, w, h = (float(row[f"box_{name}"]) for name in "xywh")
    points = np.array([float(row[name]) for name in columns]).reshape(5, 2)
    scale = min(1.0, largest / math.sqrt(w * h))
    if scale < 1:
        size = (max(1, round(rgb.shape[1] * scale)), max(1, round(rgb.shape[0] * scale)))
        rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    box = (np.array([x, y, x + w, y + h]) + 0.5) * scale - 0.5
    levels = [rgb]
    while min(levels[-1].shape[:2]) >= 32:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    landmarks = (points + 0.5) * scale - 0.5
    return Portrait(tuple(levels), box.astype(np.float32), landmarks.astype(np.float32))
