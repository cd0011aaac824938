"""Colour transfer by mean and deviation (Reinhard et al. 2001), in CIELAB."""

import cv2
import numpy as np

# Flat art must not turn into noise, nor a rich photo into flat grey.
LEAST_GAIN, MOST_GAIN = 0.5, 2.0


def match_color(
    rgb: np.ndarray, found: np.ndarray, wanted: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Recolour uint8 rgb [H, W, 3] as `found` would have to be to look like `wanted`.

    `found` and `wanted` are uint8 [h, w, 3] of the same view, compared where weight [h, w] is high.
    """
    return recolor(rgb, compare(found, wanted, weight))


def compare(found: np.ndarray, wanted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return mean and deviation of L, a, b, of `found` and of `wanted`: float64 [2, 2, 3]."""
    return np.array([_statistics(found, weight), _statistics(wanted, weight)])


def recolor(rgb: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Recolour uint8 rgb [H, W, 3] by what `compare` returned, or a mean of it over time."""
    (found_mean, found_deviation), (wanted_mean, wanted_deviation) = colors
    gain = np.clip(wanted_deviation / np.maximum(found_deviation, 1e-3), LEAST_GAIN, MOST_GAIN)
    lab = (_to_lab(rgb) - found_mean) * gain + wanted_mean
    matched = cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB)
    return np.rint(np.clip(matched, 0, 1) * 255).astype(np.uint8)


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _statistics(rgb: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of L, a, b."""
    lab, weights = _to_lab(rgb).reshape(-1, 3), weight.ravel()
    mean = np.average(lab, 0, weights)
    return mean, np.sqrt(np.average((lab - mean) ** 2, 0, weights))
