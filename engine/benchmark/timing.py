"""Timing of several ways to do one thing, fairly on a machine that does other things too.

The ways alternate, so that noise hits all alike, and each has its median and its quartiles.
Processor time is taken beside the clock: of what runs on a CPU it hardly changes when other
programs wait for the same processors, the clock does.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Call = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of several runs of one call: by the clock, and of all processors together."""

    wall: tuple[float, ...]
    processor: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the clock."""
        return statistics.median(self.wall)

    @property
    def busy(self) -> float:
        """The median of the processor time."""
        return statistics.median(self.processor)

    def cost(self, device: torch.device) -> float:
        """Return what to compare: processor seconds on a CPU, else seconds by the clock."""
        return self.busy if device.type == "cpu" else self.median

    def per(self, count: int) -> Timing:
        """Return the seconds for one of the `count` things that each run did."""
        parts = (tuple(s / count for s in seconds) for seconds in (self.wall, self.processor))
        return Timing(*parts)

    def cells(self) -> dict[str, Any]:
        """Return the cells of a table's row: medians, quartiles of the clock, number of runs."""
        low, high = quartiles(self.wall)
        return {
            "seconds": self.median,
            "lower quartile": low,
            "upper quartile": high,
            "processor seconds": self.busy,
            "runs": len(self.wall),
        }


def quartiles(values: tuple[float, ...]) -> tuple[float, float]:
    """Return the lower and the upper quartile, both the value itself if there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def timed(call: Call, device: torch.device | None = None) -> tuple[float, float]:
    """Return the seconds of one call by the clock, and of all processors of this process."""
    _synchronize(device)
    wall, processor = time.perf_counter(), time.process_time()
    call()
    _synchronize(device)
    return time.perf_counter() - wall, time.process_time() - processor


def interleaved(
    calls: Mapping[str, Call],
    repeat: int,
    *,
    device: torch.device | None = None,
    warm_up: int = 1,
) -> dict[str, Timing]:
    """Time all calls in turn, `repeat` times, after `warm_up` rounds that do not count.

    A call may return the seconds itself, as (wall, processor), if it ran in another process.
    """
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for round_ in range(warm_up + repeat):
        for name, call in calls.items():
            seconds = _seconds(call, device)
            if round_ >= warm_up:
                runs[name].append(seconds)
    return {name: Timing(*zip(*seconds, strict=True)) for name, seconds in runs.items()}


def _seconds(call: Call, device: torch.device | None) -> tuple[float, float]:
    returned: list[object] = []
    seconds = timed(lambda: returned.append(call()), device)
    elsewhere = returned[0]
    is_told = isinstance(elsewhere, tuple) and all(isinstance(s, float) for s in elsewhere)
    return elsewhere if is_told else seconds


def _synchronize(device: torch.device | None) -> None:
    if device is not None and device.type != "cpu":
        torch.accelerator.synchronize(device)
