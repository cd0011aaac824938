"""The tasks of the decoding process, done in this one: quicker where no guard is on trial."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from motion.media import Clip, Frame, Limits, pipe
from motion.media.formats import HEAD_BYTES, identify
from motion.media.worker import run


def answer(task: str, path: Path, **request: Any) -> io.BytesIO:
    """Everything the process would write to its pipe."""
    answers = io.BytesIO()
    with path.open("rb") as file:
        form = identify(file.read(HEAD_BYTES), path.name)
        request |= {"task": task, "name": path.name, "format": form.name}
        run({"limits": vars(Limits()), **request}, file, answers)
    answers.seek(0)
    return answers


def probe(path: Path) -> Clip:
    """`motion.media.probe` without a process."""
    message, _ = pipe.receive(answer("probe", path), 0)
    assert message["kind"] == "clip", message
    clip = message["clip"]
    exact = {"rate": Fraction(*clip["rate"]), "notes": tuple(clip["notes"])}
    return Clip(path=path, **clip | exact)


def read(
    path: Path, start: float = 0, end: float | None = None, longest: int = 0
) -> tuple[list[Frame], list[str]]:
    """All frames of `motion.media.read_frames` without a process, and its notes."""
    span = {
        "start": Fraction(start).as_integer_ratio(),
        "end": None if end is None else Fraction(end).as_integer_ratio(),
    }
    answers, frames = answer("frames", path, **span, longest=longest), []
    while True:
        message, payload = pipe.receive(answers, 2**24)
        if message["kind"] == "end":
            return frames, message["notes"]
        assert message["kind"] in ("frame", "alive"), message
        if message["kind"] == "frame":
            frames.append(_frame(len(frames), message, payload))


def _frame(index: int, message: dict[str, Any], payload: np.ndarray) -> Frame:
    height, width = message["size"]
    rgb, alpha = np.split(payload, [3 * height * width])
    return Frame(
        *(index, Fraction(*message["time"]), rgb.reshape(height, width, 3)),
        alpha.reshape(height, width) if message["alpha"] else None,
        Fraction(*message["duration"]),
    )
