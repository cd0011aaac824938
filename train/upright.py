"""Upright face crops, as the detector's second look sees them, and crops that are no face.

A crop of a face is off by as much as the first look may be. As with train.faces, all of it is a
function of (seed, index of the crop).
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engine.detect.embedded import CROP
from engine.detect.face import MIRRORED, upright_matrix
from engine.warp import moved_by
from train.faces import develop, faceless
from train.portraits import Portrait

FACES = 0.7  # share of the crops that show one


@dataclass(frozen=True)
class Crops:
    """uint8 [N, S, S, 3], float32 [N, 5, 2] in pixels of the crop, bool [N]."""

    images: np.ndarray
    landmarks: np.ndarray
    is_face: np.ndarray


def draw_crops(portraits: list[Portrait], count: int, seed: int, cur_nimg: int) -> Crops:
    """Make the `count` crops from number `cur_nimg` on."""
    images = np.empty((count, CROP, CROP, 3), np.uint8)
    landmarks = np.zeros((count, 5, 2), np.float32)
    is_face = np.zeros(count, bool)
    for i in range(count):
        rng = np.random.default_rng([seed, 1, cur_nimg + i])
        portrait = portraits[rng.integers(len(portraits))]
        is_face[i] = rng.random() < FACES
        if is_face[i]:
            image, landmarks[i] = _crop(portrait, _slip(rng), rng)
            image = _blurred(image, rng)
        elif rng.random() < 0.6:
            image = faceless(portraits, CROP, CROP, rng)
        else:
            image, _ = _crop(portrait, _miss(rng), rng)
        images[i] = develop(image, rng)
    return Crops(images, landmarks, is_face)


def _slip(rng: np.random.Generator) -> np.ndarray:
    """A similarity [2, 3] of the crop as the first look may be off."""
    return _similarity(rng.normal(0, 9), math.exp(rng.normal(0, 0.1)), rng.normal(0, 0.045, 2))


def _miss(rng: np.random.Generator) -> np.ndarray:
    """A similarity [2, 3] so far off that what it shows must not pass for a face."""
    kind, away = rng.integers(3), rng.uniform(0, 2 * math.pi)
    if kind == 0:
        far = rng.uniform(0.35, 0.6) * np.array([math.cos(away), math.sin(away)])
        return _similarity(rng.normal(0, 20), math.exp(rng.normal(0, 0.3)), far)
    if kind == 1:
        scale = rng.choice([rng.uniform(0.2, 0.5), rng.uniform(2.0, 4.0)])
        return _similarity(rng.normal(0, 20), scale, rng.normal(0, 0.1, 2))
    return _similarity(rng.uniform(100, 260), math.exp(rng.normal(0, 0.2)), rng.normal(0, 0.1, 2))


def _similarity(degrees: float, scale: float, shift: np.ndarray) -> np.ndarray:
    """Turn and scale about the crop's middle, then shift by shares of the crop."""
    middle = (CROP - 1) / 2
    cosine, sine = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([turn, middle - turn @ [middle, middle] + shift * CROP])


def _crop(
    portrait: Portrait, slip: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    matrix = slip @ np.vstack([upright_matrix(portrait.landmarks, CROP), [0, 0, 1]])
    if rng.random() < 0.5:
        matrix = np.array([[-1, 0], [0, 1]]) @ matrix + np.array([[0, 0, CROP - 1], [0, 0, 0]])
    landmarks = moved_by(matrix, portrait.landmarks)
    if np.linalg.det(matrix[:, :2]) < 0:
        landmarks = landmarks[MIRRORED]
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    level = min(max(0, int(-math.log2(scale))), len(portrait.levels) - 1)
    shrunk = 2**level
    to_full = np.array([[shrunk, 0, shrunk / 2 - 0.5], [0, shrunk, shrunk / 2 - 0.5], [0, 0, 1]])
    image = cv2.warpAffine(
        portrait.levels[level], matrix @ to_full, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE
    )
    return image, landmarks.astype(np.float32)


def _blurred(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Often, leave only the detail of a small face; sometimes cover a part."""
    if rng.random() < 0.4:
        small = int(rng.integers(CROP // 5, CROP))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15:
        x, y = rng.integers(0, CROP - 12, 2)
        w, h = rng.integers(8, CROP // 3, 2)
        image[y : y + h, x : x + w] = rng.integers(0, 256, 3)
    return image
