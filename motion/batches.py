"""Many faces at a time through the networks: half the time for each of them, also on a CPU.

When memory runs out the rest goes through in halves, and no more are tried from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.errors import OutOfMemory
from engine.pipeline import Portrait
from engine.runtime import Runtime
from motion.person import Look

CPU_BATCH, GPU_BATCH = 4, 16

T = TypeVar("T")
R = TypeVar("R")


def usual_batch(runtime: Runtime) -> int:
    """Return how many faces a device takes at a time."""
    return CPU_BATCH if runtime.device.type == "cpu" else GPU_BATCH


class Batches:
    """Calls a function with at most `size` things at a time, fewer once memory ran out."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Return what `call` gives for all items, in order.

        Raises OutOfMemory where it needs more memory than there is for a single one.
        """
        results: list[R] = []
        while len(results) < len(items):
            part = items[len(results) : len(results) + self.size]
            try:
                results += call(part)
                continue
            except OutOfMemory:
                if len(part) == 1:
                    raise
            self.size = len(part) // 2  # only now: the error kept what did not fit alive
        return results


def drawn(look: Look, portraits: Sequence[Portrait]) -> list[np.ndarray]:
    """Turn portraits into pictures uint8 [R, R, 3], in one call for those of one attribute path.

    All of a video is drawn here.
    """
    options = replace(look.options, samples=1, output_size=0)
    pictures: dict[int, np.ndarray] = {}
    kinds = [sorted(portrait.attributes.items()) for portrait in portraits]
    for index, kind in enumerate(kinds):
        if index not in pictures:
            alike = [i for i, other in enumerate(kinds) if other == kind]
            together = joined([portraits[i] for i in alike])
            pictures |= zip(alike, look.stylizer.render_samples(together, options), strict=True)
    return [pictures[index] for index in range(len(portraits))]


def joined(portraits: Sequence[Portrait]) -> Portrait:
    """Return the first portrait with the tensors of all of them, one after the other in N."""
    first = portraits[0]
    names = [field.name for field in fields(first)]
    values = {name: [getattr(portrait, name) for portrait in portraits] for name in names}
    tensors = {name: torch.cat(v) for name, v in values.items() if isinstance(v[0], Tensor)}
    return replace(first, **tensors)
