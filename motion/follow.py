"""How a face moved as a whole from one frame to the next: Lucas & Kanade 1981, then a similarity.

Landmarks tremble by what the detector is unsure of; the pixels of a face tell its movement a good
deal better. So landmarks are filtered in coordinates that move with the face: the movement passes
untouched and at once, and only the trembling is left to be smoothed away.
"""

from __future__ import annotations

import cv2
import numpy as np

LONGEST_SIDE = 640  # of the grey pictures compared
GRID = 12  # points along a side of the face's box
WINDOW = {"winSize": (17, 17), "maxLevel": 3}
INLIER = 0.01  # of the face's size: points further off belong to something else
FEWEST = 12  # points that agree


def gray_of(rgb: np.ndarray) -> np.ndarray:
    """Return uint8 [h, w], no longer than LONGEST_SIDE, of uint8 [H, W, 3]."""
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    scale = LONGEST_SIDE / max(gray.shape)
    if scale >= 1:
        return gray
    return cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def movement(
    before: np.ndarray, now: np.ndarray, box: np.ndarray, scale: float = 1.0
) -> np.ndarray | None:
    """Return the similarity [3, 3] float64 that takes points of a face from before to now.

    Args:
        before, now: of `gray_of`, one shape.
        box: x0, y0, x1, y1 of the face before, pixels of the frame.
        scale: of these pictures, as a part of the frame.

    Returns:
        None where too few points agree.
    """
    box = (box + 0.5) * scale - 0.5
    inside = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(inside, inside)
    in_face = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.25  # the corners of a box are no face
    points = np.stack([x[in_face], y[in_face]], 1) * (box[2:] - box[:2]) + box[:2]
    points = points.astype(np.float32)[:, None]
    found, status, _ = cv2.calcOpticalFlowPyrLK(before, now, points, None, **WINDOW)
    height, width = now.shape
    kept = (status[:, 0] == 1) & ((found >= 0) & (found < (width, height))).all(axis=(1, 2))
    tolerance = max(INLIER * float(np.sqrt((box[2:] - box[:2]).prod())), 0.3)
    if kept.sum() < FEWEST:
        return None
    settings = {"method": cv2.RANSAC, "ransacReprojThreshold": tolerance}
    fitted, inliers = cv2.estimateAffinePartial2D(points[kept], found[kept], **settings)
    if fitted is None or inliers.sum() < FEWEST:
        return None
    matrix = np.vstack([fitted, [0, 0, 1]])
    to_gray = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    return np.linalg.inv(to_gray) @ matrix @ to_gray
