"""The movement of a face as a whole is read off its pixels."""

import cv2
import numpy as np
import pytest

from engine.warp import moved_by
from motion.follow import gray_of, movement


def texture(height, width, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("size", [200, 1000])
def test_a_similarity_is_found(size):
    before = texture(size, size)
    matrix = np.eye(3)
    matrix[:2] = cv2.getRotationMatrix2D((size / 2, size / 2), 2, 1.01)
    matrix[:2, 2] += (3, -2)
    now = cv2.warpAffine(before, matrix[:2], (size, size), borderMode=cv2.BORDER_REFLECT)
    box = np.array([0.2, 0.2, 0.8, 0.8], np.float32) * size
    scale = gray_of(now).shape[1] / size
    found = movement(gray_of(before), gray_of(now), box, scale)
    points = box.reshape(2, 2)
    assert np.abs(moved_by(found, points) - moved_by(matrix, points)).max() < 0.002 * size


def test_without_anything_to_follow_nothing_moved():
    flat = np.full((100, 100), 128, np.uint8)
    noise = gray_of(texture(100, 100, 1))
    box = np.array([20, 20, 80, 80], np.float32)
    assert movement(flat, noise, box + 500) is None
