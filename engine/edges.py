"""What a square shows where it leaves the picture: reflected, ever more blurred, then faded."""

import cv2
import numpy as np

from engine.warp import warp

# Rows faded at a time: what fits the processor's cache.
FADED_ROWS = 32
# Above this side the surroundings of a padded picture are blurred on a reduced copy.
BLUR_SIZE = 1024


def beyond(
    image: np.ndarray, quad: np.ndarray, pad_low: np.ndarray, pad_high: np.ndarray, side: float
) -> tuple[np.ndarray, np.ndarray]:
    """Reflect the picture beyond its edges, ever more blurred, then fading to the median colour.

    rim is 1 at the outermost pixel and 0 at the picture's edge, along x and along y; the blur is
    weighted by 3 rim + 1, the median by rim.

    Args:
        image: uint8 [H, W, 3].
        quad: [4, 2], corners of the square in it.
        pad_low, pad_high: (x, y) pixels that are added before and after.
        side: of the square, in pixels.

    Returns:
        The part under the square, uint8, and the corners within it.
    """
    (left, top), (right, bottom) = pad_low.tolist(), pad_high.tolist()
    padded = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REFLECT_101)
    rim = [_rim(padded.shape[1], left, right), _rim(padded.shape[0], top, bottom)]
    blurred, median = _surroundings(padded, rim, 0.02 * side)
    quad = quad + pad_low
    low = np.maximum(np.floor(quad.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(quad.max(0)).astype(int) + 3, padded.shape[1::-1])
    reduction = np.array(blurred.shape[1::-1]) / padded.shape[1::-1]
    to_blurred = np.diag([*reduction, 1.0])
    to_blurred[:2, 2] = (reduction - 1) / 2
    piece = padded[low[1] : high[1], low[0] : high[0]]
    for first in range(low[1], high[1], FADED_ROWS):
        box = (low[0], first, high[0], min(first + FADED_ROWS, high[1]))
        soft = warp(blurred, to_blurred, box, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
        strip = piece[first - low[1] : box[3] - low[1]]
        near = [rim[0][low[0] : high[0]], rim[1][first : box[3]]]
        strip[:] = np.rint(np.clip(_fade(strip, near, soft, median), 0, 255))
    return piece, quad - low


def _rim(length: int, before: int, after: int) -> np.ndarray:
    at = np.arange(length, dtype=np.float32)
    return 1 - np.minimum(at / before, at[::-1] / after)


def _fade(
    image: np.ndarray, rim: list[np.ndarray], blurred: np.ndarray, median: np.ndarray | None
) -> np.ndarray:
    """Mix [h, w, 3] with its float32 blurred copy, then with the median colour, as rim rises."""
    weight = np.maximum.outer(rim[1], rim[0])[..., None]
    image = image + (blurred - image) * np.clip(3 * weight + 1, 0, 1)
    return image if median is None else image + (median - image) * np.clip(weight, 0, 1)


def _surroundings(
    padded: np.ndarray, rim: list[np.ndarray], sigma: float
) -> tuple[np.ndarray, np.ndarray]:
    """Blurred copy (float32, reduced if the picture is large) and median colour of its fading."""
    height, width = padded.shape[:2]
    step = max(int(sigma / 3), 1) if max(height, width) > BLUR_SIZE else 1
    small_size = (-(-width // step), -(-height // step))
    small = cv2.resize(padded, small_size, interpolation=cv2.INTER_AREA).astype(np.float32)
    kernel = 2 * int(4 * sigma / step + 0.5) + 1
    blurred = cv2.GaussianBlur(small, (kernel, kernel), sigma / step, borderType=cv2.BORDER_REFLECT)
    small_rim = [
        np.interp((np.arange(n) + 0.5) * len(line) / n - 0.5, np.arange(len(line)), line)
        for n, line in zip(small_size, rim, strict=True)
    ]
    return blurred, np.median(_fade(small, small_rim, blurred, None), axis=(0, 1))
