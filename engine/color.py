"""Colour transfer by mean and deviation (Reinhard et al. 2001), and of skin alone, in CIELAB."""

from functools import lru_cache

import cv2
import numpy as np

# Flat art must not turn into noise, nor a rich photo into flat grey.
LEAST_GAIN, MOST_GAIN = 0.5, 2.0
# Of surroundings: lightness follows with care, colours may vanish but must not glare.
LIGHTNESS_GAIN, CHROMA_GAIN = (0.7, 1.15), (0.0, 1.1)
MIDDLE = 0.25  # of a side: how far from its centre a picture counts, for a palette
STRIP = 512  # rows at once, so that a large photo takes little memory
# Of L, a, b over one face: light and shade are skin too.
SKIN_SPREAD = np.array([30, 12, 15], np.float32)


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
    lab = to_lab(rgb)
    lab *= gain
    lab += wanted_mean - gain * found_mean
    return _to_rgb(lab)


def toned(rgb: np.ndarray, colors: np.ndarray, share: float) -> np.ndarray:
    """Change all of uint8 rgb [H, W, 3] as a drawing changed the photo under it.

    A grey drawing makes a grey picture, a bright one a bright picture. For what surrounds a
    drawing, which else looks cut out of another picture.

    Args:
        colors: what `compare` returned of the drawing and of the photo under it.
        share: how far, 0 to 1.
    """
    (drawn_mean, drawn_deviation), (photo_mean, photo_deviation) = colors
    low, high = np.array([LIGHTNESS_GAIN, CHROMA_GAIN, CHROMA_GAIN]).T
    gain = np.clip(drawn_deviation / np.maximum(photo_deviation, 1e-3), low, high)
    scale, offset = np.array([100 / 255, 1, 1]), np.array([0, -128, -128])  # of OpenCV's bytes
    lab = np.arange(256)[:, None] * scale + offset
    lab = lab + share * ((lab - photo_mean) * gain + drawn_mean - lab)
    table = np.rint(np.clip((lab - offset) / scale, 0, 255)).astype(np.uint8)[None]
    out = np.empty_like(rgb)
    for top in range(0, len(rgb), STRIP):
        rows = cv2.cvtColor(rgb[top : top + STRIP], cv2.COLOR_RGB2LAB)
        out[top : top + STRIP] = cv2.cvtColor(cv2.LUT(rows, table), cv2.COLOR_LAB2RGB)
    return out


def palette_of(rgb: np.ndarray) -> np.ndarray:
    """Mean and deviation of L, a, b in the middle of a picture, float64 [2, 3]."""
    return np.array(_statistics(rgb, _middle(*rgb.shape[:2])), np.float64)


def with_palette(rgb: np.ndarray, palette: np.ndarray, share: float) -> np.ndarray:
    """Give uint8 rgb [H, W, 3] the mean and deviation of colours that `palette_of` has seen.

    A grey palette leaves no colour at all. `share` says how far, 0 to 1.
    """
    mean, deviation = palette_of(rgb)
    wanted_mean, wanted_deviation = palette
    low = np.array([LEAST_GAIN, 0, 0])  # colours may vanish, light and shade must not
    gain = np.clip(wanted_deviation / np.maximum(deviation, 1e-3), low, MOST_GAIN)
    lab = to_lab(rgb)
    lab *= 1 + share * (gain - 1)
    lab += share * (wanted_mean - gain * mean)
    return _to_rgb(lab)


@lru_cache(maxsize=8)
def _middle(height: int, width: int) -> np.ndarray:
    """Weights that fall off from the centre, where a face is: float32 [H, W]."""
    y, x = (((np.arange(n, dtype=np.float32) + 0.5) / n - 0.5) / MIDDLE for n in (height, width))
    return np.exp(-np.add.outer(y * y, x * x) / 2)


@lru_cache(maxsize=4)
def skin_region(size: int) -> np.ndarray:
    """Where FFHQ's framing has cheeks and nose bridge: float32 weights 0..1, [size, size].

    Between eyes (0.47 of the height) and mouth (0.66), where neither hair, brows nor beards are.
    """
    y, x = (np.mgrid[:size, :size].astype(np.float32) + 0.5) / size
    spots = [((0.41, 0.565), 0.045), ((0.59, 0.565), 0.045), ((0.5, 0.53), 0.03)]
    near = [np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s**2)) for (cx, cy), s in spots]
    return np.max(near, axis=0)


def skin_tone(rgb: np.ndarray) -> np.ndarray:
    """Mean L, a, b of the skin of an FFHQ-framed face, uint8 [S, S, 3]."""
    return _statistics(rgb, skin_region(len(rgb)))[0]


def keep_skin(rgb: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Move the skin of a drawn face, uint8 [S, S, 3], to the tone it has in the photo, same shape.

    Colours near that of the drawn skin move by the whole difference, others less and less: hair,
    clothes and background keep the colours of the style.
    """
    drawn = skin_tone(rgb)
    lab = to_lab(rgb)
    square = np.square((lab - drawn) / SKIN_SPREAD)
    near = np.exp(-(square[..., 0] + square[..., 1] + square[..., 2]) / 2)
    lab += near[..., None] * (skin_tone(photo) - drawn)
    return _to_rgb(lab)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """L, a, b of uint8 rgb [..., W, 3], float32 of the same shape."""
    return cv2.cvtColor(np.multiply(rgb, 1 / 255, dtype=np.float32), cv2.COLOR_RGB2LAB)


def _to_rgb(lab: np.ndarray) -> np.ndarray:
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return cv2.multiply(rgb, (255, 255, 255, 0), dtype=cv2.CV_8U)  # rounded and clipped


def _statistics(rgb: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and standard deviation of L, a, b."""
    lab = to_lab(rgb).reshape(-1, 3)
    share = (weight / weight.sum()).ravel().astype(np.float32)
    mean = share @ lab
    return mean, np.sqrt(share @ np.square(lab - mean))
