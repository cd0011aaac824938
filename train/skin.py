"""What a style does to skin: drift in CIELAB between photo and drawing, per band of the Monk scale.

The Monk skin tone scale (Monk 2019, skintone.google) has ten colours; a photo belongs to the band
of the colour nearest to the mean of its cheeks, as far as light and camera let that be told.
"""

from collections.abc import Mapping

import numpy as np

from engine.color import skin_tone, to_lab

MONK = (
    "f6ede4 f3e7db f7ead0 eadaba d7bd96 a07e56 825c43 604134 3a312a 292420"  # lightest first
).split()
BANDS = {"1-4": range(0, 4), "5-6": range(4, 6), "7-10": range(6, 10)}


def skin_drift(photos: np.ndarray, drawn: np.ndarray) -> Mapping[str, tuple[float, int]]:
    """Return (mean Delta E*ab, number of photos) per band of `BANDS`, and of "all".

    Args:
        photos, drawn: uint8 [N, S, S, 3] in FFHQ's framing, the same faces in the same order.
    """
    tones = np.array([skin_tone(rgb) for rgb in photos])
    drift = np.linalg.norm(np.array([skin_tone(rgb) for rgb in drawn]) - tones, axis=1)
    bands = np.array([monk_band(tone) for tone in tones])
    found = {name: drift[bands == name] for name in BANDS} | {"all": drift}
    return {name: (float(d.mean()), len(d)) for name, d in found.items() if len(d)}


def monk_band(tone: np.ndarray) -> str:
    """The band of `BANDS` whose colours lie nearest to L, a, b [3]."""
    scale = np.array([[list(bytes.fromhex(color)) for color in MONK]], np.uint8)
    nearest = int(np.linalg.norm(to_lab(scale)[0] - tone, axis=1).argmin())
    return next(name for name, numbers in BANDS.items() if nearest in numbers)
