"""A training step as one CUDA graph.

A step of a small network is some five thousand launches, and a GPU is done with them sooner than
Python can ask for them. Recorded once, they are asked for as one: see `Captured`.
"""

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.runtime import has_graphs
from train.distributed import num_processes

CALLS_BEFORE = 3  # of each kind of step: they set libraries, kernels and optimizers up

log = logging.getLogger(__name__)


def mean_of(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The named numbers of a step, each the mean over the parts that have it; no gradients."""
    found: dict[str, list[Tensor]] = {}
    for part in parts:
        for name, value in part.items():
            found.setdefault(name, []).append(value.detach())
    return {name: torch.stack(values).mean() for name, values in found.items()}


class Captured:
    """A step `function(*tensors, **settings)`, recorded for each of its settings.

    It must do the same whenever it gets tensors of the same shapes and the same settings, and
    return named numbers. Random numbers of the GPU follow its seed as it is at each call. On a CPU,
    and where several processes or several shares make a step, it is called as it is.

    Args:
        function: the step; what it changes (weights, statistics) must stay where it is in memory.
        device: where it runs.
        optimizers: that take a part in the step, once an earlier run's state is read; where steps
            are recorded, their learning rates become numbers on the GPU.
        whole: whether a step is computed in one piece.
    """

    def __init__(
        self,
        function: Callable[..., dict[str, Tensor]],
        device: torch.device,
        *optimizers: torch.optim.Adam,
        whole: bool,
    ) -> None:
        self.function = function
        self.records = has_graphs(device) and whole and num_processes() == 1
        self._kinds: dict[Hashable, int | _Recording] = {}
        if self.records:
            self._stream = torch.cuda.Stream(device)
            self._pool = torch.cuda.graph_pool_handle()
            for group in (group for each in optimizers for group in each.param_groups):
                group["capturable"] = True
                group["lr"] = torch.tensor(float(group["lr"]), device=device)

    def __call__(self, *tensors: Tensor, **settings: Any) -> dict[str, Tensor]:
        """Take the step and return its numbers, tensors of no dimension."""
        if not self.records:
            return self.function(*tensors, **settings)
        kind = tuple(sorted(settings.items()))
        known = self._kinds.setdefault(kind, 0)
        if known == CALLS_BEFORE:
            known = self._kinds[kind] = self._record(tensors, settings)
        if isinstance(known, _Recording):
            return known.replay(tensors)
        self._kinds[kind] = known + 1
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            numbers = self.function(*tensors, **settings)
        current.wait_stream(self._stream)
        return numbers

    def _record(self, tensors: tuple[Tensor, ...], settings: dict[str, Any]) -> "int | _Recording":
        try:
            return _Recording(self, tensors, settings, self._stream, self._pool)
        except RuntimeError as error:
            log.warning("training goes on without CUDA graphs: %s", error)
            self.records = False
            return 0


class _Recording:
    """One kind of step, and the memory its tensors come in and its numbers go out by."""

    def __init__(
        self,
        step: Captured,
        tensors: tuple[Tensor, ...],
        settings: dict[str, Any],
        stream: torch.cuda.Stream,
        pool: Any,
    ) -> None:
        self.tensors = tuple(tensor.clone() for tensor in tensors)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, pool=pool, stream=stream):
            numbers = step.function(*self.tensors, **settings)
            self.numbers = torch.stack([value.detach().float() for value in numbers.values()])
        self.names = tuple(numbers)

    def replay(self, tensors: tuple[Tensor, ...]) -> dict[str, Tensor]:
        for own, given in zip(self.tensors, tensors, strict=True):
            own.copy_(given)
        self.graph.replay()
        return dict(zip(self.names, self.numbers.clone().unbind(), strict=True))
