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

from engine.detect import Face
from engine.errors import OutOfMemory
from engine.pipeline import Portrait, Stylizer
from engine.portraits import encode_faces, read_detail
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


def encoded(stylizer: Stylizer, seen: Sequence[tuple[np.ndarray, Face]]) -> list[Portrait]:
    """Encode faces, each with the picture it was seen in; their detail is read while drawing."""
    base, space = stylizer.style.base, stylizer.card.encoder_space
    return encode_faces(seen, base, space, with_detail=False)


def drawn(look: Look, portraits: Sequence[Portrait]) -> list[np.ndarray]:
    """Turn portraits into pictures uint8 [R, R, 3], in one call for those of one attribute path.

    All of a video is drawn here. Detail is what the photo shows beyond its codes, so that it is
    read now that they are steady: read before, it would bring the trembling of the codes back.
    """
    options = replace(look.options, samples=1, output_size=0)
    base = look.stylizer.style.base
    pictures: dict[int, np.ndarray] = {}
    kinds = [sorted(portrait.attributes.items()) for portrait in portraits]
    for index, kind in enumerate(kinds):
        if index not in pictures:
            alike = [i for i, other in enumerate(kinds) if other == kind]
            own = [portraits[i] for i in alike]
            detail = read_detail(own, base) if options.likeness else None
            together = replace(joined(own), detail=detail)
            pictures |= zip(alike, look.stylizer.render_samples(together, options), strict=True)
    return [pictures[index] for index in range(len(portraits))]


def joined(portraits: Sequence[Portrait]) -> Portrait:
    """Return the first portrait with the tensors of all of them, one after the other in N."""
    first = portraits[0]
    names = [field.name for field in fields(first)]
    values = {name: [getattr(portrait, name) for portrait in portraits] for name in names}
    tensors = {name: torch.cat(v) for name, v in values.items() if isinstance(v[0], Tensor)}
    return replace(first, **tensors)
