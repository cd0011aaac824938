"""How steady a stylized video is, and how much of the filmed movement survived, as numbers.

    print(compare(stylizer, read_frames("clip.mp4")).table())

Warping error is that of Lai et al. 2018 (arXiv 1808.00449, section 4.2), with DIS flow of the
input. Movement is measured on the five landmarks found in the input and again in the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from engine.detect import Face
from engine.detect.face import cut, upright_matrix
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.flow import backward_flow, pull, visible
from motion.means import Means
from motion.temporal import Stabilizer, TemporalOptions
from motion.track import MOST_MOVED, moved

if TYPE_CHECKING:
    from motion.media import Frame

LONGEST_SIDE = 480  # pixels of the frames that reports measure
CERTAIN = 0.7  # of `visible`: pixels that count
FACE = 24  # pixels a side of the face whose changes are compared

Detect = Callable[[np.ndarray], Sequence[Face]]


@dataclass(frozen=True)
class Measures:
    """What `Meter` measured over a clip.

    Attributes:
        warping_error: mean squared difference of a frame and the one before moved along the flow,
            over painted pixels visible in both, colours in 0..1, times 1000.
        jitter: high-frequency movement of the landmarks in the result, % of the eye distance.
        head, pose, expression: correlation with the input's landmarks of what a similarity moves,
            of where the nose points, and of what is left after the similarity is taken out.
        features: correlation with the input of how the upright face changes, as a small grey
            picture: eyes that close and mouths that open, which five points hardly tell.
        head_gain, expression_gain: size of the movement that follows the input; 1: as large.
        num_frames, num_lost: frames with a face, and those of them whose result showed none.
    """

    warping_error: float
    jitter: float
    head: float
    pose: float
    expression: float
    features: float
    head_gain: float
    expression_gain: float
    num_frames: int
    num_lost: int


class Meter:
    """Takes the frames of a clip and of its result one by one; `result` at the end.

    Args:
        detect: finds faces; the first of a frame, the largest, is followed.
    """

    def __init__(self, detect: Detect) -> None:
        self._detect = detect
        self._before: tuple[np.ndarray, np.ndarray] | None = None
        self._error = self._weight = 0.0
        self._points: list[tuple[np.ndarray, np.ndarray]] = []
        self._faces: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_lost = 0

    def add(
        self,
        now: np.ndarray,
        drawn: np.ndarray,
        faces: Sequence[Face] | None = None,
        flow: np.ndarray | None = None,
    ) -> None:
        """Take a frame and its result, uint8 [H, W, 3].

        `faces` of the frame and its backward `flow` [H, W, 2] save finding them.
        """
        if self._before is not None:
            flow = careful_flow(now, self._before[0]) if flow is None else flow
            self._add_error(now, drawn, *self._before, flow)
        self._before = (now, drawn)
        faces = self._detect(now) if faces is None else faces
        if not faces:
            return
        self._faces.append(tuple(upright_gray(rgb, faces[0].landmarks) for rgb in (now, drawn)))
        found = min(self._detect(drawn), key=lambda f: moved(faces[0].landmarks, f), default=None)
        if found is None or moved(faces[0].landmarks, found) > MOST_MOVED:
            self._num_lost += 1
        else:
            self._points.append((faces[0].landmarks[:5], found.landmarks[:5]))

    def _add_error(
        self,
        now: np.ndarray,
        drawn: np.ndarray,
        before: np.ndarray,
        drawn_before: np.ndarray,
        flow: np.ndarray,
    ) -> None:
        counts = (now != drawn).any(axis=2) & (visible(now, pull(before, flow)) > CERTAIN)
        moved_before = pull(drawn_before, flow).astype(np.float32)
        self._error += float((((moved_before - drawn) / 255) ** 2).mean(axis=2)[counts].sum())
        self._weight += int(counts.sum())

    def result(self) -> Measures:
        """Return the measures of what was taken so far; nan where there was nothing to measure."""
        error = 1000 * self._error / self._weight if self._weight else np.nan
        counts = (len(self._points) + self._num_lost, self._num_lost)
        if len(self._points) < 3:
            return Measures(error, *[np.nan] * 7, *counts)
        given, drawn = (np.stack(p).astype(np.float64) for p in zip(*self._points, strict=True))
        parts = [decomposed(given), decomposed(drawn)]
        features = correlation(*map(np.stack, zip(*self._faces, strict=True)))
        head, pose, expression = zip(*parts, strict=True)
        return Measures(
            *(error, jitter(drawn), correlation(*head), correlation(*pose)),
            *(correlation(*expression), features, gain(*head), gain(*expression)),
            *counts,
        )


def careful_flow(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the backward flow [H, W, 2] that errors are measured along."""
    return backward_flow(now, before, "medium")


def upright_gray(rgb: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Cut out the face upright, grey and small; its mean is 0: float64 [FACE, FACE].

    Args:
        rgb: uint8 [H, W, 3].
        landmarks: [5, 2]; those of the input serve for the result too.
    """
    small = cut(rgb, upright_matrix(landmarks, 4 * FACE), 4 * FACE)
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float64)
    gray = cv2.resize(gray, (FACE, FACE), interpolation=cv2.INTER_AREA)
    return gray - gray.mean()


def jitter(points: np.ndarray) -> float:
    """High-frequency movement of landmarks [n, 5, 2], % of the distance of the eyes.

    The root mean square of the second difference over time, divided by sqrt(6): the deviation of
    the noise if every frame had its own (its second difference has 1 + 4 + 1 times its variance).
    """
    eyes = np.hypot(*(points[:, 1] - points[:, 0]).T).mean()
    second = np.diff(points, 2, axis=0)
    return float(100 * np.sqrt((second**2).mean() / 6) / eyes)


def decomposed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the movement of landmarks [n, 5, 2] into head, pose and expression.

    Returns:
        head: [n, 5, 2], the mean shape as the best similarity places it in each frame, pixels.
        pose: [n, 2], how far the nose points to the side and down, in eye distances.
        expression: [n, 5, 2], the upright shape in each frame less the mean one, in eye distances.
    """
    complex_points = points[..., 0] + 1j * points[..., 1]  # a similarity is z -> a z + b
    middle = complex_points.mean(1, keepdims=True)
    centred = complex_points - middle
    shape = centred / (complex_points[:, 1:2] - complex_points[:, :1])
    mean = shape.mean(0)
    mean = mean - mean.mean()
    turn = (centred @ mean.conj()) / (mean @ mean.conj())  # [n], least squares
    head = turn[:, None] * mean + middle
    upright = centred / turn[:, None]
    nose = upright[:, 2] - upright[:, [0, 1, 3, 4]].mean(1)
    return _real(head), _real(nose), _real(upright - mean)


def _real(values: np.ndarray) -> np.ndarray:
    return np.stack([values.real, values.imag], -1)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation over time of [n, ...], pooled over the rest; 0 where nothing moves."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / max(np.sqrt((a**2).sum() * (b**2).sum()), 1e-12))


def gain(a: np.ndarray, b: np.ndarray) -> float:
    """How large the part of `b` is that moves as `a` does: the slope of b over a, pooled."""
    a, b = a - a.mean(0), b - b.mean(0)
    return float((a * b).sum() / max((a**2).sum(), 1e-12))


@dataclass(frozen=True)
class Comparison:
    """A clip stylized frame by frame, and steadily."""

    plain: Measures
    steady: Measures

    @property
    def less_error(self) -> float:
        """By how much of the plain one the warping error is lower, 0..1."""
        return 1 - self.steady.warping_error / self.plain.warping_error

    def table(self) -> str:
        """Return both columns as text."""
        rows = [f"{'':<16}{'plain':>10}{'steady':>10}"]
        for name, value in asdict(self.plain).items():
            other = getattr(self.steady, name)
            rows.append(f"{name:<16}{value:>10.4g}{other:>10.4g}")
        return "\n".join([*rows, f"warping error {self.less_error:.0%} lower"])


def compare(
    stylizer: Stylizer,
    frames: Iterable[Frame],
    options: StylizeOptions | None = None,
    temporal: TemporalOptions | None = None,
    means: Means | None = None,
) -> Comparison:
    """Stylize a clip frame by frame and steadily, and measure both.

    `means` are those of `motion.means` for the same frames, or None.
    """
    stabilizer = Stabilizer(stylizer, options, temporal)
    stabilizer.means = means
    plain, steady = Meter(stylizer.detect), Meter(stylizer.detect)
    waiting: list[np.ndarray] = []
    before = None

    def measure(done: list) -> None:
        nonlocal before
        for stylized in done:
            now = waiting.pop(0)
            faces = stylizer.detect(now)
            flow = None if before is None else careful_flow(now, before)
            plain.add(now, stylizer(now, options, faces=faces), faces, flow)
            steady.add(now, stylized.frame.rgb, faces, flow)
            before = now

    for frame in frames:
        waiting.append(frame.rgb)
        measure(stabilizer.push(frame))
    measure(stabilizer.flush())
    return Comparison(plain.result(), steady.result())
