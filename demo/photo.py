"""Stylize photos from the command line: a file, a folder or a glob.

    python -m demo.photo me.jpg me.png --style cartoon
    python -m demo.photo "holidays/*.jpg" results --style comic --strength 0.8 --skip-existing
    python -m demo.photo me.jpg me.png --style comic --variation 7 --mix-layer 4
    python -m demo.photo me.jpg me.png --style comic --reference painting.jpg

Beside every picture a JSON file records how it was made.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.jobs import Job, plan
from demo.record import describe_result, write_json
from demo.statement import write_picture
from engine.errors import ImageError, StylizeError
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE, GENERATED

if TYPE_CHECKING:  # torch takes seconds to import, --help must not
    import numpy as np

    from engine.detect import Face
    from engine.image import Photo
    from engine.library import StyleLibrary
    from engine.pipeline import Stylizer
    from engine.reference import Reference

SUCCESS, SOME_FAILED, USAGE, NO_FACE, INTERRUPTED = 0, 1, 2, 3, 130
EXIT_CODES = """\
exit codes:
  0    every photo was written (one without a face unchanged, with a warning)
  1    some photos failed, the others were written
  2    nothing was tried: wrong arguments, no such style, a broken pack, no such photo
  3    photos were written, but no face was found in any of them
  130  interrupted with Ctrl-C
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.photo`."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.photo",
        description="Stylize the people in photos; PNG out, with a JSON record beside it.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", metavar="IN", help="a photo, a folder, or a glob in quotes")
    parser.add_argument("output", metavar="OUT", help="a .png for one photo, else a folder")
    parser.add_argument("--style", default="cartoon", metavar="NAME", help="style, or ./folder")
    parser.add_argument("--reference", metavar="FILE", help="draw in the look of this picture")
    parser.add_argument(
        *("--source-style",), metavar="NAME", help="take the shapes from this style's generator"
    )
    parser.add_argument("--skip-existing", action="store_true", help="leave finished results alone")
    add_setup_arguments(parser)
    StylizeOptions.add_arguments(parser)
    return parser


def add_setup_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command line tools share: where packs are, and where to run."""
    group = parser.add_argument_group("setup")
    group.add_argument("--packs", metavar="FOLDER", help="look for styles in this folder only")
    group.add_argument("--device", metavar="NAME", help="auto, cpu, mps, or a GPU as in pytorch")
    group.add_argument("--dtype", metavar="NAME", help="auto, float32, bfloat16, on a GPU float16")
    group.add_argument("--yunet", metavar="FILE", help="find faces with this YuNet ONNX file")
    group.add_argument(
        *("--allow-download",),
        action="store_true",
        help="let face-alignment fetch its 68 points (96 MB); used by itself where it is there",
    )


@dataclass(frozen=True)
class NamedReference:
    """A reference picture: the name of its file, and how it looks."""

    name: str
    look: Reference


def read_reference(
    path: str | None, stylizer: Stylizer, options: StylizeOptions
) -> NamedReference | None:
    """Read the look of a reference picture, None without one; raises StylizeError."""
    if path is None:
        return None
    from tqdm import tqdm

    from engine.image import read_photo
    from engine.inversion import InversionCache
    from engine.reference import QUICK
    from engine.runtime import data_home

    settings = replace(QUICK, path=stylizer.card.path_of(options.attribute))
    rgb = read_photo(path).rgb
    with tqdm(total=settings.steps, unit="step", desc="reading the reference") as bar:
        cache = InversionCache(data_home() / "references")  # of this user alone
        look = stylizer.reference(
            rgb, settings=settings, cache=cache, on_step=lambda step, loss: bar.update()
        )
    return NamedReference(Path(path).name, look)


def stylize_file(
    job: Job, stylizer: Stylizer, options: StylizeOptions, reference: NamedReference | None = None
) -> int:
    """Read, stylize and write one photo with its record; return the number of faces found."""
    from engine.image import read_photo

    started = time.perf_counter()
    photo = read_photo(job.source)
    faces = stylizer.detect(photo.rgb)
    _make_folder(job.target.parent)
    for target, rgb, alpha, made in _results(
        job, photo, faces, stylizer, options, reference and reference.look
    ):
        write_picture(target, rgb, alpha, made, job.source)
    record = describe_result(stylizer, options, photo.rgb, faces)
    named = {"source": job.source.name, "reference": reference and reference.name}
    seconds = round(time.perf_counter() - started, 3)
    write_json(job.sidecar, {**named, **record, "seconds": seconds})
    return len(faces)


def load_stylizer(
    arguments: argparse.Namespace,
    name: str,
    library: StyleLibrary | None = None,
    source: str | None = None,
) -> Stylizer:
    """Load a style, from and on what the setup arguments say; raises StylizeError.

    `source` names another style of the same base whose generator draws the shapes (UI2I).
    """
    from engine.detect import choose_detector
    from engine.library import StyleLibrary
    from engine.pipeline import Stylizer
    from engine.runtime import pick_runtime

    library = library or StyleLibrary([arguments.packs] if arguments.packs else None)
    runtime = pick_runtime(arguments.device, arguments.dtype)
    style = library.between(source, name, runtime) if source else library.load(name, runtime)
    detector = None
    if arguments.yunet or arguments.allow_download:
        detector = choose_detector(
            style.base.detector,
            yunet=arguments.yunet,
            device=str(runtime.device),
            allow_download=arguments.allow_download,
        )
    return Stylizer(style, detector)


def run_batch(
    jobs: Sequence[Job], work: Callable[[Job], int], report: Callable[[str], None]
) -> tuple[int, int]:
    """Do all jobs; a broken photo is reported and never stops the others.

    Returns (photos that failed, faces found in all).
    """
    num_failed = num_faces = 0
    for job in jobs:
        try:
            found = work(job)
        except StylizeError as error:
            report(f"failed: {job.source}: {error}")
            num_failed += 1
            continue
        if not found:
            report(f"warning: no face found in {job.source}: written unchanged")
        num_faces += found
    return num_failed, num_faces


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        jobs = plan(arguments.input, arguments.output)
        stylizer = load_stylizer(arguments, arguments.style, source=arguments.source_style)
        options = StylizeOptions.from_arguments(arguments, stylizer.card.options())
        stylizer.card.path_of(options.attribute)
        reference = read_reference(arguments.reference, stylizer, options)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE

    def work(job: Job) -> int:
        return stylize_file(job, stylizer, options, reference)

    return _run(jobs, work, stylizer, arguments.skip_existing)


def _run(
    jobs: list[Job], work: Callable[[Job], int], stylizer: Stylizer, skip_existing: bool
) -> int:
    from tqdm import tqdm

    is_done = [skip_existing and j.target.exists() and j.sidecar.exists() for j in jobs]
    todo = [job for job, done in zip(jobs, is_done, strict=True) if not done]
    print(f"{stylizer.card.name} on {stylizer.runtime.reason}", file=sys.stderr)
    try:
        with tqdm(todo, unit="photo", disable=not todo) as bar:
            failed, faces = run_batch(bar, work, bar.write)
    except KeyboardInterrupt:
        print("interrupted; finished results are kept", file=sys.stderr)
        return INTERRUPTED
    written = len(todo) - failed
    print(f"{written} written, {len(jobs) - len(todo)} skipped, {failed} failed, {faces} faces")
    if failed:
        return SOME_FAILED
    return NO_FACE if todo and not faces else SUCCESS


def _results(
    job: Job,
    photo: Photo,
    faces: Sequence[Face],
    stylizer: Stylizer,
    options: StylizeOptions,
    look: Reference | None,
):
    """Yield (path, rgb, alpha, source) to write: the photo, or one crop per chosen face."""
    chosen = options.select(len(faces))
    if options.whole_photo or not chosen:
        rgb = stylizer(photo.rgb, options, faces=faces, look=look)
        made = COMPOSITE if chosen else None
        yield job.target, rgb, _fitted_alpha(photo, *rgb.shape[:2]), made
        return
    for number, index in enumerate(chosen, start=1):
        portrait = stylizer.encode(photo.rgb, [faces[index]])[0]
        drawn = stylizer.render(portrait, options, look=look)
        crop = stylizer.crop(portrait, drawn, options)
        name = job.target.name if number == 1 else f"{job.target.stem}-face{number}.png"
        yield job.target.with_name(name), crop, None, GENERATED


def _fitted_alpha(photo: Photo, height: int, width: int) -> np.ndarray | None:
    from engine.image import resize

    if photo.alpha is None or photo.alpha.shape == (height, width):
        return photo.alpha
    grey = photo.alpha[:, :, None].repeat(3, axis=2)
    return resize(grey, height, width)[:, :, 0]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageError(
            f"cannot make folder {folder}: {error.strerror}; choose another"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
