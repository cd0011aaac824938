"""Drawings that are shown larger than they were drawn: the base's upscaler keeps lines sharp."""

from __future__ import annotations

import numpy as np
import torch

from engine.base import Base
from engine.image import to_tensor, to_uint8
from engine.models.upscaler import FOLD
from engine.runtime import memory_guard

WORTH = 1.5  # times larger: below, interpolation shows as much
LARGEST = 512  # pixels of a drawing's side: what is larger has as much detail as a photo's face


def enlarged(drawing: np.ndarray, base: Base) -> np.ndarray:
    """Return a drawing uint8 [H, W, 3] twice as large.

    It comes back as it is where the base has no upscaler, where it is large already, or where its
    sides are odd.
    """
    height, width = drawing.shape[:2]
    fits = max(height, width) <= LARGEST and height % FOLD == width % FOLD == 0
    if base.upscaler is None or not fits:
        return drawing
    with memory_guard(base.runtime), torch.inference_mode():
        return to_uint8(base.upscaler(to_tensor(drawing[None]).to(base.runtime.device)))[0]
