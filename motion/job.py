"""A video job: one clip, one style, a folder of finished parts; stopped or killed, it goes on.

    decode | detect | smooth, encode, draw | paste | write

Each `|` is a short queue between two threads (`motion.stream`), so memory stays flat. About every
two seconds of film the segment is closed and the state of the stabilizer saved (`JobFolder`);
`run` of the same job then continues there and ends with the same file.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import OptionError, StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.composing import StylizedFrame
from motion.film import Cut, Film
from motion.job_folder import JobFolder, State, file_sha256
from motion.means import clip_means
from motion.media import Clip, Limits, keeps_alpha, probe
from motion.person import Look
from motion.stages import Source, drawn
from motion.stream import kept_threads
from motion.temporal import Stabilizer, TemporalOptions

JOB_VERSION = 4
RATE_WINDOW = 60  # frames over which the speed is measured

ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Job:
    """What to make: everything but the loaded style.

    Attributes:
        source, result: the clip to read and the film to write.
        options, temporal: the choices for every picture, and for what happens between them.
        start, end: seconds of the clip; end None: to its end.
        lossless: write every pixel as drawn.
        people: who is drawn in another way, by number of appearance; None: not at all.
        limits: what is accepted as a clip.
        keep_folder: leave the folder of parts when the film is complete.
    """

    source: Path
    result: Path
    options: StylizeOptions
    temporal: TemporalOptions = field(default_factory=TemporalOptions)
    start: float = 0.0
    end: float | None = None
    lossless: bool = False
    people: Mapping[int, Look | None] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    keep_folder: bool = False

    @property
    def folder(self) -> JobFolder:
        """Where the parts are kept until the film is complete: beside the result."""
        return JobFolder(self.result.with_name(self.result.name + ".job"), self.result.suffix)

    def identity(self, stylizer: Stylizer) -> dict[str, Any]:
        """Return all that decides about the pixels of the result, as JSON values."""
        style, runtime = stylizer.style, stylizer.runtime
        return {
            "version": JOB_VERSION,
            "source": file_sha256(self.source),
            "style": style.card.sha256,
            "source_style": style.source and style.source.card.sha256,
            "base": style.base.pack.card.sha256,
            "options": self.options.to_dict(),
            "temporal": self.temporal.to_dict(),
            "people": self.describe_people(),
            "start": self.start,
            "end": self.end,
            "lossless": self.lossless,
            "device": runtime.device.type,
            "dtype": str(runtime.dtype).removeprefix("torch."),
        }

    def describe_people(self) -> dict[str, Any]:
        """Return style and options of everybody who is drawn in another way, as JSON values."""
        return {
            str(number): {
                "style": look.stylizer.card.name,
                "sha256": look.stylizer.card.sha256,
                "options": look.options.to_dict(),
            }
            if look
            else "left alone"
            for number, look in sorted(self.people.items())
        }


@dataclass(frozen=True)
class Progress:
    """How far a job is, told after every frame.

    Attributes:
        done, total: frames written, and about how many there are.
        rate: frames per second now; 0 unknown.
        seconds_left: None where `total` or `rate` is unknown.
        latest: uint8 [H, W, 3], the frame just written.
    """

    done: int
    total: int
    rate: float
    latest: np.ndarray

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the film is complete."""
        return max(0, self.total - self.done) / self.rate if self.total and self.rate else None


@dataclass(frozen=True)
class Outcome:
    """What was made: a complete film, or its beginning where the job was stopped.

    Attributes:
        frames: frames of the film, also those of earlier runs.
        untouched: (first, last) numbers of frames without a face; they are as they were.
        notes: plain-words warnings about the clip and its sound.
        seconds: how long this run took.
    """

    clip: Clip
    is_complete: bool
    frames: int
    untouched: tuple[tuple[int, int], ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def num_untouched(self) -> int:
        """How many frames have no face."""
        return sum(last - first + 1 for first, last in self.untouched)


def run(
    job: Job,
    stylizer: Stylizer,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: ShouldStop | None = None,
) -> Outcome:
    """Make the film of a job, or go on with it; the result is whole or not there.

    When `should_stop` says so, or something breaks after the first frame, `job.result` becomes what
    is done so far, with its sound, and the finished segments stay in the folder for the next run.

    Raises:
        MediaError: a clip that cannot be read or is refused, a full disk.
        OptionError: the folder holds a job with other options or another input, or is in use.
        OutOfMemory: for a single face.
    """
    started = time.perf_counter()
    clip, stabilizer, folder = _probed(job), _stabilizer(job, stylizer), job.folder
    with folder.locked():
        state = folder.open(job.identity(stylizer))
        film = Film(
            *(folder, state, job.source, job.result),
            start=job.start,
            end=job.end,
            lossless=job.lossless,
            alpha=clip.has_alpha and keeps_alpha(job.result, lossless=job.lossless),
        )
        meter = _Meter(num_frames(job, clip), state.written)
        source = _source(job, state.written)
        try:
            with kept_threads():
                _begin(stabilizer, state, job, should_stop)
                with closing(drawn(source, stabilizer)) as items:
                    is_complete = _write(items, film, meter, on_progress, should_stop)
            film.finish(is_complete=is_complete, keep_folder=job.keep_folder)
        except StylizeError as error:
            raise film.rescue(error) from error
        except BaseException:
            film.abandon()
            raise
    return Outcome(
        *(clip, is_complete, film.num_frames, tuple(film.untouched)),
        notes=tuple(dict.fromkeys([*clip.notes, *source.notes, *film.notes])),
        seconds=time.perf_counter() - started,
    )


def _begin(stabilizer: Stabilizer, state: State, job: Job, should_stop: ShouldStop | None) -> None:
    """Let the stabilizer go on where the job stands, or meet the people of the clip first."""
    if state.stabilizer:
        stabilizer.restore(state.stabilizer)
    elif job.temporal.needs_means:
        with closing(_source(job).frames()) as frames:
            wanted = takewhile(lambda frame: not (should_stop and should_stop()), frames)
            stabilizer.means = clip_means(wanted, stabilizer.stylizer)


def _write(
    items: Iterator[StylizedFrame | Cut],
    film: Film,
    meter: _Meter,
    on_progress: Callable[[Progress], None] | None,
    should_stop: ShouldStop | None,
) -> bool:
    """Write what comes until it ends (True) or is stopped (False)."""
    for item in items:
        if isinstance(item, Cut):
            film.cut(item)
            continue
        film.write(item.frame, is_untouched=not item.faces)
        if on_progress:
            on_progress(meter.count(item.frame.rgb))
        if should_stop and should_stop():
            return False
    return True


class _Meter:
    """Counts frames, and how many a second lately."""

    def __init__(self, total: int, done: int) -> None:
        self._total, self._done = total, done
        self._times = deque([time.perf_counter()], maxlen=RATE_WINDOW)

    def count(self, latest: np.ndarray) -> Progress:
        self._done += 1
        self._times.append(time.perf_counter())
        rate = (len(self._times) - 1) / max(1e-9, self._times[-1] - self._times[0])
        return Progress(self._done, max(self._total, self._done), rate, latest)


def estimate(job: Job, stylizer: Stylizer, sample: int = 12) -> float:
    """Return about how many seconds the whole job takes, from drawing its first `sample` frames.

    0 where the clip does not tell how long it is. Raises what `run` raises.
    """
    total = num_frames(job, _probed(job))
    for frame in _source(job).frames(1):  # the first is slow: memory is taken, kernels are chosen
        stylizer(frame.rgb, job.options)
    started = time.perf_counter()
    with kept_threads(), closing(drawn(_source(job), _stabilizer(job, stylizer), sample)) as items:
        count = sum(isinstance(item, StylizedFrame) for item in items)
        if job.temporal.needs_means:
            clip_means(_source(job).frames(sample), stylizer)
    return (time.perf_counter() - started) / max(1, count) * total


def num_frames(job: Job, clip: Clip) -> int:
    """Return about how many frames the film will have; 0 unknown."""
    end = clip.seconds if job.end is None else min(job.end, clip.seconds)
    return round(clip.frames * max(0.0, end - job.start) / clip.seconds) if clip.seconds else 0


def _stabilizer(job: Job, stylizer: Stylizer) -> Stabilizer:
    return Stabilizer(stylizer, job.options, job.temporal, job.people)


def _source(job: Job, skip: int = 0) -> Source:
    return Source(job.source, job.limits, job.start, job.end, skip)


def _probed(job: Job) -> Clip:
    clip = probe(job.source, job.limits)
    ends = [end for end in (job.end, clip.seconds or None) if end is not None]
    if job.start < 0 or job.start >= min(ends, default=float("inf")):
        raise OptionError(
            f"start is {job.start:g} s and end {job.end} s; {job.source.name} has "
            f"{clip.seconds:.2f} s, and the start must come before the end: change --start or --end"
        )
    return clip
