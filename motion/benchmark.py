"""How fast video is, end to end and stage by stage, and what stands in the way.

    python -m motion.benchmark CLIP [--style NAME] [--seconds 4] [--rounds 2]

Each stage is timed alone on one thread; then films are made as a job makes them: as it is, with
fewer searches, without calls of the networks side by side, with one face at a time, with
surroundings toned instead of drawn, and quickly by the student of the style if it has one, in
turns. Stages run side by side there, and several frames in most of them (motion.stages), so that
the processors together bound the frames a second. On a busy machine only the processor time can be
compared.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from engine.around import draw_around, is_drawn_around
from engine.compose import face_scale
from engine.errors import StylizeError
from engine.live import has_student
from engine.pipeline import Stylizer
from engine.portraits import encode_faces
from engine.runtime import available_processors
from motion.batches import CPU_BATCH, usual_batches
from motion.batches import drawn as drawn_faces
from motion.composing import DrawnFrame, StylizedFrame
from motion.flow import carried
from motion.media import Frame, Limits, Writer, read_frames
from motion.person import Look
from motion.stages import Source, drawn
from motion.stream import kept_threads
from motion.temporal import Stabilizer
from motion.temporal_options import TemporalOptions, frame_options
from motion.watch import SEARCH_EVERY, Watch

T = TypeVar("T")
QUICK = "quick, toned around faces"
PARTS = {  # of a film; their parts are measured face by face
    "read": (),
    "see": ("search",),
    "draw": ("encode", "render"),
    "compose": ("around", "paste", "carry"),
    "write": (),
}
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "every fourth searched": {"search_every": 4},
    "one call at a time": {"batch": CPU_BATCH},
    "one face at a time": {"batch": 1},
    "toned around faces": {"around": "toned"},
    "quick, by its student": {"quick": True},
    QUICK: {"quick": True, "around": "toned"},
}


class Stopwatch:
    """Seconds of the processors in every call, by the name of the stage; nothing runs beside."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, stage: str, call: Callable[..., T], *arguments: object) -> T:
        """Call, and note how long it took."""
        started = time.process_time()
        result = call(*arguments)
        self.seconds.setdefault(stage, []).append(time.process_time() - started)
        return result

    def per_frame(self, num_frames: int) -> dict[str, float]:
        """Return the seconds of each stage, shared by all frames."""
        return {stage: sum(values) / num_frames for stage, values in self.seconds.items()}


def time_stages(stylizer: Stylizer, clip: Path, seconds: float) -> dict[str, float]:
    """Return the seconds of a processor that each stage needs for a frame, on one thread.

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
            sighting = watch("see", stabilizer.watch, frame)
            _finish(watch, stabilizer, watch("draw", stabilizer.draw, sighting), writer)
        _finish(watch, stabilizer, watch("draw", stabilizer.drain), writer)
        _time_parts(watch, stylizer, frames)
        writer.close()
    return watch.per_frame(len(frames))


def _finish(
    watch: Stopwatch, stabilizer: Stabilizer, drawn: Sequence[DrawnFrame], writer: Writer
) -> None:
    for one in drawn:
        watch("write", writer.write, watch("compose", stabilizer.compositor, one).frame)


def _time_parts(watch: Stopwatch, stylizer: Stylizer, frames: Sequence[Frame]) -> None:
    options = frame_options(stylizer.card)
    plain = replace(options, surroundings=0.0)
    look, before = Look(stylizer, options), None
    base, space = stylizer.style.base, stylizer.card.encoder_space
    batch = usual_batches(stylizer.runtime, base.generator.resolution).size
    read = partial(encode_faces, base=base, space=space, with_detail=False)
    for start in range(0, len(frames), batch):
        some = frames[start : start + batch]
        found = [watch("search", stylizer.detect, frame.rgb) for frame in some]
        seen = [(f.rgb, face) for f, faces in zip(some, found, strict=True) for face in faces]
        if not seen:
            continue
        portraits = watch("encode", read, seen)
        crops = watch("render", drawn_faces, look, portraits)
        for (rgb, _), portrait, crop in zip(seen, portraits, crops, strict=True):
            picture = rgb
            if is_drawn_around(stylizer.style, options):
                scale = face_scale([(crop, portrait.face.photo_to(len(crop)))])
                picture = watch("around", draw_around, rgb, scale, stylizer.style, options)
            picture = watch("paste", stylizer.paste, picture, [portrait], [crop], plain)
            if before:
                watch("carry", carried, rgb, picture, *before, 0.5)
            before = (rgb, picture)


@dataclass(frozen=True)
class Speed:
    """Of a whole film: `rate` in frames a second, `work` in seconds of processors a frame."""

    rate: float
    work: float


def time_film(
    stylizer: Stylizer,
    clip: Path,
    seconds: float,
    *,
    search_every: int = SEARCH_EVERY,
    batch: int | None = None,
    quick: bool = False,
    around: str = "drawn",
) -> Speed:
    """Make a film of the first `seconds` as a job does, with these ways of saving time."""
    options = replace(frame_options(stylizer.card), around=around)
    watch = Watch(stylizer, search_every)
    temporal = TemporalOptions(quick=quick)
    stabilizer = Stabilizer(stylizer, options, temporal, batch=batch, watch=watch)
    started, worked, count = time.perf_counter(), _processor_seconds(), 0
    with TemporaryDirectory() as folder, kept_threads():
        source, writer = Source(clip, Limits(), end=seconds), None
        with closing(drawn(source, stabilizer)) as items:
            for item in items:
                if isinstance(item, StylizedFrame):
                    rgb = item.frame.rgb
                    writer = writer or Writer(Path(folder) / "out.mp4", *rgb.shape[1::-1])
                    writer.write(item.frame)
                    count += 1
        writer.close()
    took, worked = time.perf_counter() - started, _processor_seconds() - worked
    return Speed(count / took, worked / count)


def compare(
    stylizer: Stylizer, clip: Path, seconds: float, num_rounds: int
) -> dict[str, list[Speed]]:
    """Time films of each kind that the style can make, in turns."""
    can_be_quick = has_student(stylizer.card)
    names = [name for name, way in WAYS.items() if can_be_quick or not way.get("quick")]
    speeds: dict[str, list[Speed]] = {name: [] for name in names}
    for _ in range(num_rounds):
        for name in names:
            speeds[name].append(time_film(stylizer, clip, seconds, **WAYS[name]))
    return speeds


def _processor_seconds() -> float:
    """Of this process, all its threads, and the decoders that have ended."""
    return sum(os.times()[:4])


def main(argv: Sequence[str] | None = None) -> int:
    """Print milliseconds per stage, and frames a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", metavar="CLIP", type=Path, help="480 px is what is compared")
    parser.add_argument("--style", default="comic", metavar="NAME", help="style, or ./folder")
    parser.add_argument("--seconds", type=float, default=4.0, help="of the clip, default 4")
    parser.add_argument("--rounds", type=int, default=2, help="films of each kind, default 2")
    args = parser.parse_args(argv)
    try:
        stylizer = Stylizer.load(args.style)
        stages = time_stages(stylizer, args.clip, args.seconds)
        speeds = compare(stylizer, args.clip, args.seconds, args.rounds)
    except StylizeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(_table(stages, speeds, stylizer.runtime.reason))
    return 0


def _table(stages: dict[str, float], speeds: dict[str, list[Speed]], reason: str) -> str:
    lines = [f"{reason}\nstage                 ms of one processor a frame"]
    for stage, parts in PARTS.items():
        lines.append(f"{stage:21s} {1000 * stages.get(stage, 0):8.1f}")
        lines += [f"  {part:19s} {1000 * stages.get(part, 0):8.1f}" for part in parts]
    lines.append(f"\n{'film':26s} {'ms/frame':>8s} {'bound':>8s} {'frames/s':>8s}")
    for name, found in speeds.items():
        work = min(speed.work for speed in found)
        bound, rate = available_processors() / work, max(speed.rate for speed in found)
        lines.append(f"{name:26s} {1000 * work:8.1f} {bound:8.1f} {rate:8.1f}")
    note = "ms/frame of processors, the frames/s these allow, and the frames/s reached: best round"
    return "\n".join([*lines, note, ""])


if __name__ == "__main__":
    sys.exit(main())
