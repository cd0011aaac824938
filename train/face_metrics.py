"""What a face detector achieves on labelled pictures: found, landmarks, false alarms, time.

The labels are the CSV of ../shared/data/wild; one face per picture. Everything is deterministic but
the time.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from engine.detect import Detector
from engine.detect.face import MIRRORED, cut
from engine.models.detector import box_iou
from train.faces import outside_face, texture
from train.portraits import Portrait, read_portraits

NUM_FACELESS = 200
NUM_TEXTURES = 50  # among them
NUM_VIEWS = 40  # of a face, for its consensus
VIEW = 256  # pixels of a side


def measure(detector: Detector, table: Path, reference: Detector | None = None) -> dict[str, float]:
    """Return the named measurements of `detector` on the pictures of `table`.

    With a `reference` detector, also how far `detector` and the labels are from its consensus.
    """
    portraits = read_portraits(table, largest_face=np.inf)
    measured = {
        **accuracy(detector, portraits),
        "false_alarms200": false_alarms(detector, faceless200(portraits)),
        "ms_640": milliseconds(detector, portraits, 640),
    }
    if reference is not None:
        agreed = [replace(p, landmarks=consensus(reference, p)) for p in portraits]
        labels = [
            point_errors(old.landmarks, new) for old, new in zip(portraits, agreed, strict=True)
        ]
        measured["labels_to_consensus"] = float(np.mean(labels))
        measured["landmarks_to_consensus"] = accuracy(detector, agreed)["landmarks"]
    return measured


def point_errors(landmarks: np.ndarray, portrait: Portrait) -> np.ndarray:
    """Distance of each of five landmarks from the portrait's, in eye distances: [5]."""
    eyes = np.linalg.norm(portrait.landmarks[1] - portrait.landmarks[0])
    return np.linalg.norm(landmarks - portrait.landmarks, axis=1) / eyes


def consensus(reference: Detector, portrait: Portrait) -> np.ndarray:
    """Median landmarks [5, 2] of many shifted, scaled, turned and mirrored views of a face.

    Automatic labels scatter with where the pixel grid falls; the median of many views does not.
    """
    rng = np.random.default_rng(NUM_VIEWS)
    found = [_seen(reference, portrait, rng, mirrored=i % 2 == 1) for i in range(NUM_VIEWS)]
    found = [landmarks for landmarks in found if landmarks is not None]
    return np.median(found, axis=0) if found else portrait.landmarks


def _seen(
    reference: Detector, portrait: Portrait, rng: np.random.Generator, mirrored: bool
) -> np.ndarray | None:
    """Landmarks of one random view, in the portrait's pixels; None if no face is found there."""
    scale = np.exp(rng.uniform(np.log(70), np.log(150))) / portrait.face_size
    angle = np.radians(rng.uniform(-12, 12))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if mirrored:
        turn[0] *= -1
    middle = (portrait.box[:2] + portrait.box[2:]) / 2
    shift = VIEW / 2 + rng.uniform(-16, 16, 2) - turn @ middle
    faces = reference(cut(portrait.levels[0], np.column_stack([turn, shift]), VIEW))
    if not faces:
        return None
    landmarks = faces[0].landmarks[MIRRORED] if mirrored else faces[0].landmarks
    return (landmarks - shift) @ np.linalg.inv(turn).T


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
            errors.append(point_errors(faces[best].landmarks, portrait))
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
    """Median time of one picture enlarged or shrunk to a long side, after three to warm up."""
    times = []
    for portrait in [*portraits[:3], *portraits[:count]]:
        rgb = portrait.levels[0]
        factor = long_side / max(rgb.shape[:2])
        rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        start = time.perf_counter()
        detector(rgb)
        times.append((time.perf_counter() - start) * 1000)
    return float(np.median(times[3:]))
