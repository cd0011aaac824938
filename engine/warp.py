"""Resampling between a photo and a square crop of it, touching only what is needed.

Matrices are float64 [3, 3] similarities on (x, y) pixels, centres at integers.
"""

import cv2
import numpy as np
from PIL import Image

from engine.image import resize

ENLARGED = 4  # times
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels, the last two not included


def rescale(photo_to_crop: np.ndarray, size: int, resolution: int) -> np.ndarray:
    """The matrix into the same crop at another resolution; half-pixel centres are respected."""
    k = resolution / size
    return np.array([[k, 0, (k - 1) / 2], [0, k, (k - 1) / 2], [0, 0, 1]]) @ photo_to_crop


def moved_by(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a similarity [3, 3] or [2, 3] to points [K, 2]."""
    return points @ matrix[:2, :2].T + matrix[:2, 2]


def covered_box(rgb: np.ndarray, photo_to_crop: np.ndarray, size: int) -> Box:
    """Box x0, y0, x1, y1 of the photo's pixels that the crop may touch; empty if x0 >= x1."""
    edges = np.array([[a, b, 1] for a in (-0.5, size - 0.5) for b in (-0.5, size - 0.5)])
    corners = (np.linalg.inv(photo_to_crop) @ edges.T)[:2]
    height, width = rgb.shape[:2]
    low = np.clip(np.floor(corners.min(1)), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(corners.max(1)) + 1, 0, (width, height)).astype(int)
    return low[0], low[1], high[0], high[1]


def halved(rgb: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, [(H + 1) // 2, (W + 1) // 2, C]; a last odd row counts twice.

    Three times as fast as a reduction at once by a factor that is no whole number.
    """
    bottom, right = rgb.shape[0] % 2, rgb.shape[1] % 2
    if bottom or right:
        rgb = cv2.copyMakeBorder(rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    half = (rgb.shape[1] // 2, rgb.shape[0] // 2)
    return cv2.resize(rgb, half, interpolation=cv2.INTER_AREA)


def reduced_window(
    rgb: np.ndarray, low: np.ndarray, high: np.ndarray, scale: np.ndarray, *, exact: bool = False
) -> np.ndarray:
    """Pixels [low, high) of the photo reduced by `scale`, computed without reducing the rest.

    `exact` reduces by Lanczos alone; else halves of the photo are taken first, as long as they are
    no smaller than what is wanted: a third of the time, two grey levels apart at most.
    """
    if (scale == 1).all():
        return rgb[low[1] : high[1], low[0] : high[0]]
    reach = np.ceil(3 * scale).astype(int) + 1  # Lanczos looks three reduced pixels far
    first = np.maximum(np.floor(low * scale).astype(int) - reach, 0)
    last = np.minimum(np.ceil(high * scale).astype(int) + reach, rgb.shape[1::-1])
    window, step = rgb[first[1] : last[1], first[0] : last[0]], 1
    while not exact and scale.min() >= 2 * step:
        window, step = halved(window), 2 * step
    box = np.array([*(low * scale - first), *(np.minimum(high * scale, last) - first)]) / step
    width, height = (high - low).tolist()
    image = Image.fromarray(np.ascontiguousarray(window))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, tuple(box)))


def reduce_to_photo(crop: np.ndarray, photo_to_crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Antialias: bring a crop that is larger than its place in the photo to the photo's scale."""
    size = crop.shape[0]
    target = max(round(size / np.sqrt(np.linalg.det(photo_to_crop))), 1)
    if target >= size:
        return crop, photo_to_crop
    return resize(crop, target, target), rescale(photo_to_crop, size, target)


def warp(
    image: np.ndarray,
    photo_to_image: np.ndarray,
    box: Box,
    interpolation: int,
    border: int,
) -> np.ndarray:
    """Draw `image` where it lies in the photo, only inside the box x0, y0, x1, y1.

    What is enlarged ENLARGED times or more is drawn at half the size and doubled: in half of the
    time, at 52 dB, where edges are sharp four grey levels apart.
    """
    x0, y0, x1, y1 = (int(edge) for edge in box)
    if np.linalg.det(photo_to_image[:2, :2]) <= 1 / ENLARGED**2:
        # Pixel j of the half lies between 2 j and 2 j + 1; one more at every edge for the doubling.
        half = photo_to_image @ np.array([[2, 0, x0 - 1.5], [0, 2, y0 - 1.5], [0, 0, 1.0]])
        width, height = (x1 - x0 + 1) // 2 + 2, (y1 - y0 + 1) // 2 + 2
        small = _warped(image, half, (width, height), interpolation, border)
        doubled = cv2.resize(small, (2 * width, 2 * height), interpolation=cv2.INTER_LINEAR)
        return doubled[2 : 2 + y1 - y0, 2 : 2 + x1 - x0]
    shifted = photo_to_image @ np.array([[1, 0, x0], [0, 1, y0], [0, 0, 1.0]])
    return _warped(image, shifted, (x1 - x0, y1 - y0), interpolation, border)


def _warped(
    image: np.ndarray, to_image: np.ndarray, size: tuple[int, int], interpolation: int, border: int
) -> np.ndarray:
    return cv2.warpAffine(
        image,
        to_image[:2],
        size,
        flags=interpolation | cv2.WARP_INVERSE_MAP,
        borderMode=border,
    )
