"""Stylize videos from the command line: a file, a folder or a glob, steady from frame to frame.

    python -m demo.video me.mov me.mp4 --style cartoon
    python -m demo.video "holidays/*.mp4" results --style cartoon comic --skip-existing
    python -m demo.video me.mov me.mp4 --style comic --start 12 --end 20.5 --preview
    python -m demo.video us.mov us.mp4 --style comic --person 1=cartoon:0.6 --person 2=none
    python -m demo.video me.mov --style comic --report

A run that was stopped or killed goes on when the command is given again. Beside every film a JSON
file records how it was made.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from demo.films import end_of, load_stylizers, plan_films
from demo.jobs import CLIPS, find_photos
from demo.photo import (
    INTERRUPTED,
    NO_FACE,
    SOME_FAILED,
    SUCCESS,
    USAGE,
    add_setup_arguments,
)
from demo.record import describe_machine, describe_style, write_json
from demo.statement import mark_film
from engine.errors import StylizeError
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE
from motion.temporal_options import TemporalOptions, frame_options

if TYPE_CHECKING:  # torch takes seconds to import, --help must not
    from engine.pipeline import Stylizer
    from motion.job import Job, Outcome

MEASURED_CLIPS = "../shared/data/video"
EXIT_CODES = """\
exit codes:
  0    every film was written (one without a face unchanged, with a warning)
  1    some films failed, the others were written
  2    nothing was tried: wrong arguments, no such style, a broken pack, no such clip
  3    films were written, but no face was found in any of them
  130  stopped with Ctrl-C: what is done can be played; the same command goes on
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.video`."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.video",
        description="Stylize the people in videos, with their sound; a JSON record beside each.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    endings = f"{', '.join(CLIPS.endings)} for one clip, else a folder"
    parser.add_argument(
        "input", metavar="IN", nargs="?", help="a clip, a folder, or a glob in quotes"
    )
    parser.add_argument("output", metavar="OUT", nargs="?", help=endings)
    style = {"nargs": "+", "default": ["cartoon"], "metavar": "NAME"}
    parser.add_argument("--style", help="styles, or ./folders: a film of each", **style)
    parser.add_argument("--skip-existing", action="store_true", help="leave finished films alone")
    parser.add_argument(
        *("--report",),
        action="store_true",
        help=f"measure how steady the film is, write none; IN is {MEASURED_CLIPS} if left out",
    )
    _add_film_arguments(parser)
    add_setup_arguments(parser)
    StylizeOptions.add_arguments(parser)
    TemporalOptions.add_arguments(parser)
    return parser


def _add_film_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("film")
    seconds = {"type": float, "metavar": "SECONDS"}
    group.add_argument("--start", default=0.0, help="begin here in the clip", **seconds)
    group.add_argument("--end", default=None, help="end here in the clip", **seconds)
    group.add_argument("--preview", action="store_true", help="only one second, as OUT-preview")
    group.add_argument("--estimate", action="store_true", help="say how long it takes, and stop")
    group.add_argument("--lossless", action="store_true", help="keep every pixel: large files")
    group.add_argument(
        *("--person",),
        action="append",
        default=[],
        metavar="N=STYLE[:STRENGTH]",
        help="draw the Nth person to appear, from 0, in another style; none leaves them alone",
    )
    group.add_argument(
        *("--resume",),
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on where the same command was stopped; --no-resume starts over",
    )
    group.add_argument("--keep-job", action="store_true", help="keep the folder OUT.job of parts")


def make_film(job: Job, stylizer: Stylizer, should_stop: Callable[[], bool]) -> Outcome:
    """Make or go on with one film, its progress shown, and write the record beside it."""
    from tqdm import tqdm

    from motion.job import Progress, run

    with tqdm(unit="frame", desc=job.result.name, dynamic_ncols=True) as bar:

        def show(progress: Progress) -> None:
            if not bar.total:
                bar.initial = bar.n = progress.done - 1
            bar.total = progress.total
            bar.update(progress.done - bar.n)

        outcome = run(job, stylizer, show, should_stop)
    if outcome.num_untouched < outcome.frames:
        mark_film(job.result, COMPOSITE, job.source)
    write_json(job.result.with_suffix(".json"), describe_film(job, stylizer, outcome))
    return outcome


def describe_film(job: Job, stylizer: Stylizer, outcome: Outcome) -> dict[str, object]:
    """Return everything needed to make a film again, as JSON values."""
    clip = outcome.clip
    film = {
        "complete": outcome.is_complete,
        "start": job.start,
        "end": job.end,
        "lossless": job.lossless,
        "temporal": job.temporal.to_dict(),
        "people": job.describe_people(),
        "clip": {"width": clip.width, "height": clip.height, "seconds": round(clip.seconds, 3)},
        "notes": outcome.notes,
        "frames": outcome.frames,
        "frames_without_a_face": outcome.untouched,
        "seconds": round(outcome.seconds, 3),
    }
    style = describe_style(stylizer, job.options)
    return {"source": job.source.name, **style, **film, **describe_machine(stylizer, "av")}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        stylizers = load_stylizers(arguments)
        clips = find_photos(arguments.input or MEASURED_CLIPS, CLIPS)[1] if arguments.report else []
        films = [] if arguments.report else plan_films(arguments, stylizers)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    if arguments.report:
        return _report(clips, arguments, stylizers)
    if arguments.estimate:
        return _estimate(films)
    return _make_all(films, arguments)


def _report(
    clips: Sequence[Path], arguments: argparse.Namespace, stylizers: dict[str, Stylizer]
) -> int:
    from tqdm import tqdm

    from motion.means import clip_means
    from motion.measures import LONGEST_SIDE, compare
    from motion.media import read_frames

    temporal = TemporalOptions.from_arguments(arguments)
    part = {"start": arguments.start, "end": end_of(arguments), "longest": LONGEST_SIDE}
    for clip in clips:
        for name in arguments.style:
            stylizer = stylizers[name]
            options = StylizeOptions.from_arguments(arguments, frame_options(stylizer.card))
            try:
                means = None
                if temporal.needs_means:
                    with read_frames(clip, **part) as frames:
                        means = clip_means(frames, stylizer)
                with read_frames(clip, **part) as frames:
                    shown = tqdm(frames, unit="frame", desc=f"{clip.name} {name}", leave=False)
                    table = compare(stylizer, shown, options, temporal, means).table()
            except StylizeError as error:
                print(f"failed: {clip}: {error}", file=sys.stderr)
                return SOME_FAILED
            print(f"{clip.name} in {stylizer.card.name}\n{table}\n")
    return SUCCESS


def _estimate(films: Sequence[tuple[Job, Stylizer]]) -> int:
    from motion.job import estimate

    for job, stylizer in films:
        try:
            seconds = estimate(job, stylizer)
        except StylizeError as error:
            print(f"failed: {job.source}: {error}", file=sys.stderr)
            return SOME_FAILED
        print(f"{job.result}: about {seconds / 60:.1f} minutes")
    return SUCCESS


def _make_all(films: Sequence[tuple[Job, Stylizer]], arguments: argparse.Namespace) -> int:
    print(films[0][1].runtime.reason, file=sys.stderr)
    written = failed = skipped = 0
    has_faces = False
    with stopped_by_interrupt() as should_stop:
        for job, stylizer in films:
            if arguments.skip_existing and is_finished(job):
                skipped += 1
                continue
            try:
                if not arguments.resume:
                    _forget(job)
                outcome = make_film(job, stylizer, should_stop)
            except StylizeError as error:
                print(f"failed: {job.source}: {error}", file=sys.stderr)
                failed += 1
                continue
            if not outcome.is_complete:
                print(_stopped(job, outcome), file=sys.stderr)
                return INTERRUPTED
            has_faces |= outcome.num_untouched < outcome.frames
            written += 1
            for line in _warnings(job, outcome):
                print(line, file=sys.stderr)
    print(f"{written} written, {skipped} skipped, {failed} failed")
    if failed:
        return SOME_FAILED
    return NO_FACE if written and not has_faces else SUCCESS


def _forget(job: Job) -> None:
    """Drop what an earlier run has done; StylizeError where one is still at it."""
    folder = job.folder
    if folder.folder.exists():
        with folder.locked():
            folder.remove()


def is_finished(job: Job) -> bool:
    """Tell whether the film and its record are there, from its beginning to its end."""
    try:
        record = json.loads(job.result.with_suffix(".json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return job.result.exists() and record.get("complete") is True


def _warnings(job: Job, outcome: Outcome) -> Iterator[str]:
    yield from (f"note: {job.source}: {note}" for note in outcome.notes)
    if outcome.num_untouched == outcome.frames:
        yield f"warning: no face found in {job.source}: written unchanged"
    elif outcome.untouched:
        ranges = ", ".join(f"{a}-{b}" if a != b else str(a) for a, b in outcome.untouched)
        yield f"note: {job.source}: no face in frames {ranges}"


def _stopped(job: Job, outcome: Outcome) -> str:
    return f"stopped after {outcome.frames} frames; they are in {job.result}, run again to go on"


@contextmanager
def stopped_by_interrupt() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end the film after the frame at hand; a second one stops at once."""
    stop = Event()

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield stop.is_set
    finally:
        signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    sys.exit(main())
