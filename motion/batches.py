"""Many faces at a time through the networks, and on a CPU several such calls side by side.

A call with several faces is faster than one for each; small networks gain little by more than one
thread inside a call, but calls do not wait for each other. When memory runs out the rest goes
through in one call at a time, then in halves, and no more are tried from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import wait
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from engine.errors import OutOfMemory
from engine.pipeline import Portrait
from engine.portraits import read_detail
from engine.runtime import Runtime
from motion.person import Look
from motion.stream import workers

CPU_BATCH, GPU_BATCH = 4, 16
MOST_TOGETHER = 16  # faces in all calls: the frames of all of them wait in memory
MOST_PIXELS = 4 * 1024**2  # of faces drawn at a time on a CPU: large ones fill the memory
MOST_WORKERS = 8

T = TypeVar("T")
R = TypeVar("R")


class Batches:
    """Calls a function with at most `size` things at a time, fewer once memory ran out.

    Args:
        size: things in one call.
        num_calls: calls side by side, each in a thread of its own.
        num_threads: threads torch uses inside each of them; where there is one call, as many as
            the calling thread uses.
    """

    def __init__(self, size: int, num_calls: int = 1, num_threads: int = 1) -> None:
        self.size, self.num_calls = size, num_calls
        self._pool = workers(num_calls, num_threads) if num_calls > 1 else None

    @property
    def together(self) -> int:
        """How many things are worked on at a time."""
        return self.size * self.num_calls

    def __call__(self, call: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T]) -> list[R]:
        """Return what `call` gives for all items, in order.

        Raises OutOfMemory where it needs more memory than there is for a single one.
        """
        results: list[R] = []
        while len(results) < len(items):
            rest = items[len(results) :]
            size = min(self.size, -(-len(rest) // self.num_calls))
            try:
                self._extend(results, call, [rest[i : i + size] for i in range(0, len(rest), size)])
                continue
            except OutOfMemory:
                if size == self.num_calls == 1:
                    raise
            # Only now: the error kept what did not fit alive.
            self.size = size if self.num_calls > 1 else size // 2
            self.num_calls = 1
        return results

    def _extend(
        self,
        results: list[R],
        call: Callable[[Sequence[T]], Sequence[R]],
        parts: Sequence[Sequence[T]],
    ) -> None:
        """Add the results of all parts, or of those before the first one that fails."""
        if self.num_calls == 1 or len(parts) == 1:
            for part in parts:
                results += call(part)
            return
        futures = [self._pool.submit(call, part) for part in parts]
        wait(futures)  # also for those after one that fails: they hold the memory it lacked
        for future in futures:
            results += future.result()


def usual_batches(runtime: Runtime, resolution: int, *, quick: bool = False) -> Batches:
    """Return how faces of R x R pixels go through the networks of a device.

    `quick` is for small networks, which take less time than what is done before and after them.
    """
    if runtime.device.type != "cpu":
        return Batches(GPU_BATCH)
    most = max(1, min(MOST_TOGETHER, MOST_PIXELS // resolution**2))
    num_calls = 1 if quick else min(runtime.num_threads, MOST_WORKERS, most)
    size = min(CPU_BATCH, most // num_calls)
    return Batches(size, num_calls, max(1, runtime.num_threads // num_calls))


def usual_workers(runtime: Runtime) -> int:
    """Return how many frames are searched, cut out or painted side by side.

    Half as many as there are processors: what goes on beside it needs the others.
    """
    return min((runtime.num_threads + 1) // 2, MOST_WORKERS)


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
