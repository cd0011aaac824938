"""Filters over time for one track: landmarks, codes and colours, at uneven times in seconds.

`LocalFit` looks both ways and has no delay of its own: a weighted polynomial through the values
around a moment (Savitzky & Golay 1964; Cleveland 1979), which keeps the height of short movements
that a mean of the same length would flatten. `OneEuro` sees only the past (Casiez et al. 2012): it
smooths a resting face strongly and lets a moving one through.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

REACH = 3.0  # of the Gaussian window, in its deviations
SPEED_CUTOFF = 1.0  # Hz, of One-Euro's own estimate of the speed


class Filter(Protocol):
    """Values over time, smoothed; the values of one filter have one shape."""

    def add(self, time: float, value: np.ndarray) -> None:
        """Take the value seen at a time, later than those before."""

    def at(self, time: float) -> np.ndarray:
        """Return the smoothed value at a time, float64."""

    def forget(self, time: float) -> None:
        """Nothing before a time will be asked for again."""

    def snapshot(self) -> dict[str, Any]:
        """Return the state: arrays and numbers."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a filter made with the same settings."""


class LocalFit:
    """Zero-phase: the value at a time of the polynomial fitted around it.

    Args:
        sigma: deviation of the Gaussian window in seconds; 0 gives the values as they are.
        degree: of the polynomial; a line for times beyond the first or the last value.
    """

    def __init__(self, sigma: float, degree: int = 2) -> None:
        self.sigma, self.degree = sigma, degree
        self._times: list[float] = []
        self._values: list[np.ndarray] = []

    def add(self, time: float, value: np.ndarray) -> None:
        """Take the value seen at a time."""
        self._times.append(time)
        self._values.append(np.asarray(value, np.float64))

    def at(self, time: float) -> np.ndarray:
        """Return the smoothed value at a time, float64; the nearest one if `sigma` is 0."""
        weights = local_weights(np.array(self._times), time, self.sigma, self.degree)
        used = np.flatnonzero(weights)
        return np.tensordot(weights[used], np.stack([self._values[i] for i in used]), 1)

    def forget(self, time: float) -> None:
        """Drop what lies two windows and a second before a time, all but the last four of it."""
        # A gap is filled from the values before it, so a window's worth is kept beyond the window.
        while len(self._times) > 4 and self._times[4] < time - 2 * REACH * self.sigma - 1:
            del self._times[0], self._values[0]

    def snapshot(self) -> dict[str, Any]:
        """Return times [n] and values [n, ...]."""
        return {"times": np.array(self._times), "values": np.array(self._values)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over times and values."""
        self._times, self._values = list(state["times"].tolist()), list(state["values"])


def local_weights(times: np.ndarray, time: float, sigma: float, degree: int) -> np.ndarray:
    """Return what each value counts for the polynomial's value at `time`; they sum to 1.

    Args:
        times: [n] seconds, rising.
        time: where the polynomial is read.
        sigma: deviation of the Gaussian window in seconds, or 0: the nearest value alone.
        degree: of the polynomial; 1 where all values lie before or after `time`. At the very ends
            a parabola smooths little, but a line would flatten what moves: by 0.75 sigma^2 times
            half the acceleration.
    """
    distance = times - time
    if len(times) == 1 or sigma <= 0:
        return (np.arange(len(times)) == np.abs(distance).argmin()).astype(float)
    # Across a gap the window opens until it holds a value on either side.
    nearest = [
        np.abs(distance[side]).min() for side in (distance <= 0, distance >= 0) if side.any()
    ]
    reach = max(sigma * REACH, *(1.01 * gap for gap in nearest))
    weight = np.exp(-0.5 * (distance * REACH / reach) ** 2) * (np.abs(distance) <= reach)
    used = distance[weight > 0]
    is_inside = used[0] <= 0 <= used[-1]
    degree = min(degree if is_inside else 1, len(used) - 1)
    powers = (distance / reach)[:, None] ** np.arange(degree + 1)  # [n, degree + 1]
    moments = powers.T @ (powers * weight[:, None])
    return (powers * weight[:, None]) @ np.linalg.solve(moments, np.eye(degree + 1)[0])


class OneEuro:
    """Causal: an exponential mean whose cutoff rises with the speed of the value.

    Args:
        cutoff: Hz, for a value at rest; infinity gives the values as they are.
        beta: what the cutoff rises by, per unit and second.
        unit: what a speed is measured in, such as the distance of the eyes in pixels.
    """

    def __init__(self, cutoff: float, beta: float, unit: float = 1.0) -> None:
        self.cutoff, self.beta, self.unit = cutoff, beta, unit
        self._time: float | None = None
        self._value = self._speed = np.zeros(0)

    def add(self, time: float, value: np.ndarray) -> None:
        """Take the value seen at a time."""
        value = np.asarray(value, np.float64)
        if self._time is None:
            self._time, self._value, self._speed = time, value, np.zeros_like(value)
            return
        step = max(time - self._time, 1e-6)
        speed = (value - self._value) / step
        self._speed = self._speed + _share(SPEED_CUTOFF, step) * (speed - self._speed)
        moving = float(np.sqrt((self._speed**2).mean())) / self.unit if value.size else 0.0
        share = _share(self.cutoff + self.beta * moving, step)
        self._time, self._value = time, self._value + share * (value - self._value)

    def at(self, time: float) -> np.ndarray:
        """Return the value of the last moment, which a later one keeps."""
        return self._value

    def forget(self, time: float) -> None:
        """Do nothing: only the last value is kept."""

    def snapshot(self) -> dict[str, Any]:
        """Return time, value and speed."""
        return {"time": self._time, "value": self._value, "speed": self._speed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over time, value and speed."""
        self._time = state["time"]
        self._value, self._speed = state["value"], state["speed"]


def _share(cutoff: float, step: float) -> float:
    """What a new value counts after `step` seconds for a cutoff in Hz (Casiez et al., eq. 2)."""
    return 1.0 if math.isinf(cutoff) else 1 / (1 + 1 / (2 * math.pi * cutoff * step))
