"""How fast video is, end to end and stage by stage, and what stands in the way.

    python -m motion.benchmark CLIP [--style NAME] [--seconds 4]

Each stage is timed alone on one thread, which is what a job gives it; then the film is made as a
job makes it. Reading, detection, drawing and writing run side by side there, so the slowest of
them, or the processors together, bound the frames a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TypeVar

import torch

from engine.errors import StylizeError
from engine.pipeline import Stylizer
from engine.runtime import available_processors
from motion.flow import carried
from motion.job import Job, run
from motion.media import Frame, Writer, read_frames
from motion.stream import kept_threads
from motion.temporal import Stabilizer
from motion.temporal_options import frame_options

T = TypeVar("T")
PARTS = ("encode", "render", "paste", "carry")  # of "stabilize", which holds all drawing


class Stopwatch:
    """Seconds of every call, by the name of the stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, stage: str, call: Callable[..., T], *arguments: object) -> T:
        """Call, and note how long it took."""
        started = time.perf_counter()
        result = call(*arguments)
        self.seconds.setdefault(stage, []).append(time.perf_counter() - started)
        return result

    def medians(self) -> dict[str, float]:
        """Return the median of each stage in seconds."""
        return {stage: median(values) for stage, values in self.seconds.items()}


def time_stages(stylizer: Stylizer, clip: Path, seconds: float) -> dict[str, float]:
    """Return the seconds each stage needs for a frame, one after the other on one thread.

    Raises MediaError; a stage that no frame needs, as for a clip without faces, is left out.
    """
    watch, options = Stopwatch(), frame_options(stylizer.card)
    stabilizer, frames = Stabilizer(stylizer, options), []
    with kept_threads(), TemporaryDirectory() as folder:
        torch.set_num_threads(1)
        with read_frames(clip, end=seconds) as reader:
            while (frame := watch("read", next, reader, None)) is not None:
                frames.append(frame)
        writer = Writer(Path(folder) / "out.mp4", *frames[0].rgb.shape[1::-1])
        for frame in frames:
            faces = watch("detect", stylizer.detect, frame.rgb)
            for done in watch("stabilize", stabilizer.push, frame, faces):
                watch("write", writer.write, done.frame)
        _time_parts(watch, stylizer, frames)
        writer.close()
    return watch.medians()


def _time_parts(watch: Stopwatch, stylizer: Stylizer, frames: Iterable[Frame]) -> None:
    options, before = frame_options(stylizer.card), None
    for frame in frames:
        portraits = watch("encode", stylizer.encode, frame.rgb, stylizer.detect(frame.rgb))
        crops = [watch("render", stylizer.render, portrait, options) for portrait in portraits]
        picture = watch("paste", stylizer.paste, frame.rgb, portraits, crops, options)
        if before:
            watch("carry", carried, frame.rgb, picture, *before, 0.5)
        before = (frame.rgb, picture)


def time_job(stylizer: Stylizer, clip: Path, seconds: float) -> float:
    """Return the frames a second of a whole job, its start and its end included."""
    with TemporaryDirectory() as folder:
        job = Job(clip, Path(folder) / "out.mp4", frame_options(stylizer.card), end=seconds)
        outcome = run(job, stylizer)
    return outcome.frames / outcome.seconds


def main(argv: Sequence[str] | None = None) -> int:
    """Print milliseconds per stage, and frames a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", metavar="CLIP", type=Path, help="480 px is what is compared")
    parser.add_argument("--style", default="comic", metavar="NAME", help="style, or ./folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the clip, default 4")
    args = parser.parse_args(argv)
    try:
        stylizer = Stylizer.load(args.style)
        stages = time_stages(stylizer, args.clip, args.seconds)
        rate = time_job(stylizer, args.clip, args.seconds)
    except StylizeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(_table(stages, rate, stylizer.runtime.reason))
    return 0


def _table(stages: dict[str, float], rate: float, reason: str) -> str:
    lines = [f"{reason}\nstage        ms a frame"]
    for stage in ("read", "detect", "stabilize", *PARTS, "write"):
        name = f"  {stage}" if stage in PARTS else stage
        lines.append(f"{name:12s} {1000 * stages.get(stage, 0):9.1f}")
    threads = [seconds for stage, seconds in stages.items() if stage not in PARTS]
    shared = sum(threads) / available_processors()
    lines.append(f"bound by the slowest stage {1 / max(threads):.1f} frames/s")
    lines.append(f"bound by all processors    {1 / shared:.1f} frames/s")
    return "\n".join([*lines, f"end to end                 {rate:.1f} frames/s\n"])


if __name__ == "__main__":
    sys.exit(main())
