"""Recorded motion: the keypoints of a driving clip over time, in memory and as a safe template.

A template is a safetensors file: `value` [T, K, 2] and `jacobian` [T, K, 2, 2] float32, `times`
int64 [T + 1, 2] (numerator and denominator of the seconds of every frame, and of the end), with
`format`, `version`, `detector` and `size` in its metadata. Nothing in it is executed. It holds no
picture of the person who was filmed.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from engine.errors import MediaError
from engine.pack import save_tensors
from motion.fomm import Keypoints
from motion.smoothing import REACH, LocalFit

FORMAT, VERSION = "motion-template", "1"
MAX_FRAMES, MAX_KEYPOINTS = 1_000_000, 1_000
_SHAPES = {"value": (2,), "jacobian": (2, 2)}
_LIMIT = 100.0  # no keypoint lies further out, no neighbourhood is stretched more


@dataclass(frozen=True)
class Motion:
    """The keypoints of a driving face, frame by frame.

    Attributes:
        keypoints: [T, K, ...], float32 on the CPU.
        times: T seconds, exact, growing; the first need not be 0.
        end: seconds when the last frame ends.
        size: side in pixels of the pictures they were found in.
        detector: sha256 of the detector's weights: keypoints mean something to the generator it was
            trained with and to no other.
    """

    keypoints: Keypoints
    times: tuple[Fraction, ...]
    end: Fraction
    size: int
    detector: str

    def __len__(self) -> int:
        """The number of frames T."""
        return len(self.times)

    @property
    def rate(self) -> float:
        """Frames per second, on average."""
        return float(len(self) / max(self.end - self.times[0], Fraction(1, 1000)))

    def smoothed(self, sigma: float) -> Motion:
        """Return the motion evened out over `sigma` seconds, both ways, so without a delay."""
        if sigma <= 0 or len(self) < 2:
            return self
        value, jacobian = self.keypoints.value, self.keypoints.jacobian
        rows = torch.cat([value.flatten(1), jacobian.flatten(1)], dim=1).double().numpy()  # [T, 6K]
        at = np.array([float(time) for time in self.times])
        times, rows = _continued(at, rows, REACH * sigma)
        fit, added, smooth = LocalFit(sigma), 0, []
        for time in at:
            while added < len(times) and times[added] <= time + REACH * sigma:
                fit.add(times[added], rows[added])
                added += 1
            smooth.append(torch.from_numpy(fit.at(time)).float())
        parts = torch.stack(smooth).split([value[0].numel(), jacobian[0].numel()], dim=1)
        keypoints = Keypoints(parts[0].reshape(value.shape), parts[1].reshape(jacobian.shape))
        return replace(self, keypoints=keypoints)


def _continued(times: np.ndarray, rows: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Continue values [T, n] for `reach` seconds at both ends, mirrored in the first and the last.

    A movement that is under way at the end of a clip then goes on, instead of being slowed down.
    """
    before = np.flatnonzero((times > times[0]) & (times <= times[0] + reach))[::-1]
    after = np.flatnonzero((times < times[-1]) & (times >= times[-1] - reach))[::-1]

    def continued(x: np.ndarray) -> np.ndarray:
        return np.concatenate([2 * x[0] - x[before], x, 2 * x[-1] - x[after]])

    return continued(times), continued(rows)


def save_motion(motion: Motion, path: str | Path) -> None:
    """Write a motion as a template, whole or not at all; raises MediaError."""
    path = Path(path)
    ticks = [[t.numerator, t.denominator] for t in (*motion.times, motion.end)]
    tensors = {
        "value": motion.keypoints.value,
        "jacobian": motion.keypoints.jacobian,
        "times": torch.tensor(ticks, dtype=torch.int64),
    }
    metadata = {"format": FORMAT, "version": VERSION, "detector": motion.detector}
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        save_tensors(tensors, part, half=False, metadata={**metadata, "size": str(motion.size)})
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise MediaError(
            f"cannot write the template {path}: {error}; choose another place or make room"
        ) from error


def load_motion(path: str | Path) -> Motion:
    """Read a template; raises MediaError on anything that is none, incomplete or implausible."""
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
                raise ValueError(f"its format is {metadata.get('format')!r}")
            _check_shapes({name: tuple(file.get_slice(name).get_shape()) for name in file.keys()})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        times = _times(tensors["times"])
        return Motion(
            Keypoints(*(_checked(tensors[name]) for name in _SHAPES)),
            times[:-1],
            times[-1],
            _size(metadata.get("size", "")),
            metadata.get("detector", "")[:64],
        )
    except (OSError, SafetensorError, ValueError, OverflowError) as error:
        raise MediaError(
            f"{path} is no motion template: {error}; one that --save-template wrote is accepted"
        ) from error


def _check_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    if set(shapes) != {*_SHAPES, "times"}:
        raise ValueError(f"it holds {', '.join(sorted(shapes)) or 'nothing'}")
    frames, keypoints = shapes["times"][0] - 1, (*shapes["value"], 0)[1]
    if not (0 < frames <= MAX_FRAMES and 0 < keypoints <= MAX_KEYPOINTS):
        raise ValueError(f"{frames} frames of {keypoints} keypoints")
    expected = {name: (frames, keypoints, *last) for name, last in _SHAPES.items()}
    if shapes != {**expected, "times": (frames + 1, 2)}:
        raise ValueError(f"its tensors have the shapes {shapes}")


def _checked(tensor: Tensor) -> Tensor:
    if tensor.dtype != torch.float32 or not bool((tensor.abs() <= _LIMIT).all()):  # False for NaN
        raise ValueError(f"its keypoints are {tensor.dtype}, or beyond {_LIMIT:g}")
    return tensor


def _times(ticks: Tensor) -> tuple[Fraction, ...]:
    if ticks.dtype != torch.int64 or bool((ticks[:, 1] <= 0).any()):
        raise ValueError("its times are no fractions")
    times = tuple(Fraction(top, bottom) for top, bottom in ticks.tolist())
    if any(a >= b for a, b in zip(times, times[1:], strict=False)) or not 0 <= times[0]:
        raise ValueError("its times do not grow")
    return times


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 4096):
        raise ValueError(f"its size is {text[:20]!r}")
    return int(text)
