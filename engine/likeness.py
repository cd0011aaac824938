"""How alike a drawing and its photo are, as far as a thumbnail tells: pose, light, hair, outline.

A drawing is compared with its photo and with other people's faces, as grey pictures of SIDE px
whose brightness and contrast are evened out. What counts is the rank: the share of the others that
are less like the drawing than the photo is. It says nothing of identity, which no network measures
here, but it needs none, and works for any style.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from engine.image import resize

SIDE = 16


def signature(rgb: np.ndarray) -> np.ndarray:
    """Return a framed face uint8 [H, W, 3] as a unit vector float32 [SIDE * SIDE] of mean 0."""
    return _even(np.asarray(Image.fromarray(resize(rgb, SIDE, SIDE)).convert("L")))


def read_others(sheet: np.ndarray) -> np.ndarray:
    """Return the signatures [N, SIDE * SIDE] of thumbnails in a grey sheet uint8 [H, W]."""
    rows, columns = (length // SIDE for length in sheet.shape)
    tiles = sheet.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)  # [rows, columns, SIDE, SIDE]
    return np.stack([_even(tile) for row in tiles for tile in row])


def share_less_alike(photo: np.ndarray, drawn: np.ndarray, others: np.ndarray) -> float:
    """Return the share 0..1 of `others` that are less like `drawn` than `photo` is.

    Args:
        photo, drawn: the same face, framed alike, uint8 [H, W, 3] of any sizes.
        others: signatures [N, SIDE * SIDE] of other faces.
    """
    mine = signature(drawn)
    return float((others @ mine < signature(photo) @ mine).mean())


def _even(gray: np.ndarray) -> np.ndarray:
    vector = gray.astype(np.float32).ravel()
    vector -= vector.mean()
    return vector / max(float(np.linalg.norm(vector)), 1e-6)
