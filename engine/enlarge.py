"""Drawings that are shown larger than they were drawn: the base's upscaler keeps lines sharp."""

from __future__ import annotations

import numpy as np
import torch

from engine.base import Base
from engine.image import to_tensor, to_uint8
from engine.models.upscaler import FOLD
from engine.runtime import memory_guard

WORTH = 1.25  # times larger
LARGEST = 512  # pixels of a drawing's side: what is larger has as much detail as a photo's face


def enlarged(drawing: np.ndarray, times: float, base: Base) -> np.ndarray:
    """Return a drawing uint8 [H, W, 3] that will be shown `times` larger, twice as large.

    It comes back as it is where that is not worth it, or where the base has no upscaler.
    """
    sides = drawing.shape[:2]
    if (
        base.upscaler is None
        or times < WORTH
        or max(sides) > LARGEST
        or any(s % FOLD for s in sides)
    ):
        return drawing
    with memory_guard(base.runtime), torch.inference_mode():
        return to_uint8(base.upscaler(to_tensor(drawing[None]).to(base.runtime.device)))[0]
