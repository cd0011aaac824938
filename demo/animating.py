"""A portrait that is driven by a clip, step by step: for a page that shows how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.animate import drive, seated, written
from demo.live import duration
from engine.detect import Detector, Face
from engine.errors import Cancelled, OptionError
from motion.animate_options import AnimateOptions
from motion.animator import Animator
from motion.framing import clip_square
from motion.media import Clip, Frame, Limits, read_frames

READING = "Reading how the face moves"


@dataclass(frozen=True)
class Step:
    """How far it is: `done` of `total` frames, `latest` uint8 [S, S, 3] or None while reading."""

    line: str
    done: int = 0
    total: int = 0
    latest: np.ndarray | None = None


@dataclass(frozen=True)
class Animation:
    """How to drive a portrait; `in_photo` pastes the moving face back into its photo."""

    animator: Animator
    options: AnimateOptions
    detector: Detector
    should_stop: Callable[[], bool]
    in_photo: bool = False
    limits: Limits = Limits()
    most_seconds: float = 60

    def make(
        self,
        picture: np.ndarray,
        faces: Sequence[Face],
        rgb: np.ndarray,
        clip: Clip,
        output: Path,
    ) -> Iterator[Step]:
        """Write the animation with the sound of the clip, and tell each step.

        Args:
            picture: uint8 [H, W, 3] to be moved, drawn or not; `rgb` is the photo as it came, and
                `faces` are those in it.

        Raises:
            Cancelled: `should_stop` said so; nothing is left.
            StylizeError: a clip that is too long or broken.
        """
        if clip.seconds > self.most_seconds:
            raise OptionError(
                f"the driving clip has {clip.seconds:.0f} s; up to {self.most_seconds} s are "
                "accepted here: cut it, or use `python -m demo.animate`"
            )
        yield Step("Looking for the face that moves")
        span = {"limits": self.limits, "end": self.most_seconds}
        with read_frames(clip.path, **span) as frames:
            square, _ = clip_square(self._heeding(frames), self.detector)
        yield Step(READING)
        with read_frames(clip.path, **span) as frames:
            motion = self.animator.record(frames, square, self.should_stop)
        sitter = seated(picture, faces, rgb)
        driven = drive(sitter, motion, self.animator, self.options, in_photo=self.in_photo)
        started, sound = time.perf_counter(), clip.path if clip.sounds else None
        for number, frame in enumerate(written(self._heeding(driven), output, motion, sound), 1):
            rate = number / max(1e-9, time.perf_counter() - started)
            left = duration((len(motion) - number) / rate)
            line = f"{number} of {len(motion)} frames · {rate:.1f} a second · about {left} left"
            yield Step(line, number, len(motion), frame.rgb)

    def _heeding(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """Yield frames until it is to stop."""
        for frame in frames:
            if self.should_stop():
                raise Cancelled("stopped; nothing was kept of the animation")
            yield frame
