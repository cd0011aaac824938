"""What a face detector achieves on labelled pictures: found, landmarks, false alarms, time.

The labels are the CSV of ../shared/data/wild; one face per picture. Everything is deterministic but
the time.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from engine.detect import Detector
from engine.models.detector import box_iou
from train.faces import outside_face, texture
from train.portraits import Portrait, read_portraits

NUM_FACELESS = 200
NUM_TEXTURES = 50  # among them


def measure(detector: Detector, table: Path) -> dict[str, float]:
    """Return the named measurements of `detector` on the pictures of `table`."""
    portraits = read_portraits(table, largest_face=np.inf)
    return {
        **accuracy(detector, portraits),
        "false_alarms200": false_alarms(detector, faceless200(portraits)),
        "ms_640": milliseconds(detector, portraits, 640),
    }


def accuracy(detector: Detector, portraits: Sequence[Portrait]) -> dict[str, float]:
    """Share found at IoU 0.5, mean landmark error / eye distance of those, extra faces a picture.

    `landmarks` holds the five landmarks, `eyes_mouth` without the nose, which alignment ignores.
    """
    errors, extra = [], 0
    for portrait in portraits:
        faces = detector(portrait.levels[0])
        iou = box_iou(portrait.box[None], np.stack([f.box for f in faces]))[0] if faces else [0]
        best = int(np.argmax(iou))
        extra += len(faces) - int(iou[best] >= 0.5)
        if iou[best] >= 0.5:
            eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
            miss = faces[best].landmarks - portrait.landmarks
            errors.append(np.linalg.norm(miss, axis=1) / eyes)
    per_point = np.mean(errors, axis=0) if errors else np.full(5, np.nan)
    return {
        "found": len(errors) / len(portraits),
        "landmarks": float(per_point.mean()),
        "eyes_mouth": float(per_point[[0, 1, 3, 4]].mean()),
        "extra": extra / len(portraits),
    }


def faceless200(portraits: Sequence[Portrait]) -> list[np.ndarray]:
    """200 pictures without a face: pieces of the portraits beside the faces, and textures."""
    rng = np.random.default_rng(200)
    pictures = []
    for i in range(NUM_FACELESS):
        height, width = rng.integers(160, 641, 2)
        if i < NUM_TEXTURES:
            pictures.append(texture(height, width, rng))
        else:
            portrait = portraits[rng.integers(len(portraits))]
            pictures.append(outside_face(portrait, height, width, rng))
    return pictures


def false_alarms(detector: Detector, pictures: Sequence[np.ndarray]) -> float:
    """Share of faceless pictures in which at least one face is found."""
    return float(np.mean([len(detector(picture)) > 0 for picture in pictures]))


def milliseconds(
    detector: Detector, portraits: Sequence[Portrait], long_side: int, count: int = 20
) -> float:
    """Median time of one picture enlarged or shrunk to a long side; the first few do not count."""
    times = []
    for portrait in portraits[: count + 3]:
        rgb = portrait.levels[0]
        factor = long_side / max(rgb.shape[:2])
        rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        start = time.perf_counter()
        detector(rgb)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times[3:]))
