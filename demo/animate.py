"""Drive a portrait by a video: stylize it first, or drive a photo or a painting as it is.

    python -m demo.animate me.jpg driving.mp4 out.mp4 --style cartoon
    python -m demo.animate painting.png driving.mp4 out.mp4 --regions pose --gain 0.8
    python -m demo.animate me.jpg driving.mp4 out.mp4 --save-template nod.safetensors
    python -m demo.animate me.jpg nod.safetensors out.mp4

The sound of the driving clip is kept. A template holds its motion and no picture of anybody. A JSON
file beside the animation records how it was made.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.photo import add_setup_arguments, load_stylizer
from demo.record import describe_machine, describe_style, write_json
from demo.statement import mark_film
from engine.errors import OptionError, StylizeError
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE, GENERATED
from motion.animate_options import AnimateOptions

if TYPE_CHECKING:  # torch takes seconds to import, --help must not
    import numpy as np

    from engine.detect import Detector, Face
    from engine.pipeline import Stylizer
    from motion.animator import Animator
    from motion.framing import Square
    from motion.media import Clip, Frame
    from motion.recording import Motion

    Look = tuple[Stylizer, StylizeOptions]  # with which a photo was drawn

SUCCESS, FAILED, INTERRUPTED = 0, 1, 130
TEMPLATE = ".safetensors"
CLIPS = (".mp4", ".mov", ".mkv", ".webm")
LOOK = ("strength", "attribute")  # what of a style may be changed here
LARGEST = 1024  # pixels of the driven square, unless --output-size says more
EXIT_CODES = """\
exit codes:
  0    the animation was written
  1    it was not: wrong arguments, no motion weights, a broken file, no such style
  130  interrupted with Ctrl-C; nothing half-written is left
"""


@dataclass(frozen=True)
class Sitter:
    """The picture that is driven, uint8 RGB [H, W, 3], and where its face is."""

    picture: np.ndarray
    square: Square
    face: Face | None

    @property
    def landmarks(self) -> np.ndarray | None:
        """Of the face as (x, y) in [-1, 1] of the square, [5, 2]; None without a face."""
        points = None if self.face is None else self.face.landmarks
        return self.square.normalised(points) if points is not None and len(points) == 5 else None


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.animate`."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.animate",
        description="Move a portrait as somebody in a video moves.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photo", metavar="PHOTO", help="a photo, a drawing or a painting of a face")
    parser.add_argument(
        "driving", metavar="DRIVING", help="a video of a face, or a template (.safetensors)"
    )
    parser.add_argument("output", metavar="OUT", help="the animation: .mp4, .mov, .mkv or .webm")
    parser.add_argument("--style", metavar="NAME", help="stylize the photo first; left out: as is")
    parser.add_argument("--motion", metavar="PACK", help="motion pack, folder or *-cpk.pth.tar")
    parser.add_argument("--save-template", metavar="FILE", help="keep the motion as a template")
    parser.add_argument(
        "--in-photo", action="store_true", help="paste the moving face back into the photo"
    )
    add_setup_arguments(parser)
    AnimateOptions.add_arguments(parser)
    style = parser.add_argument_group("look (with --style)")
    style.add_argument("--strength", type=float, metavar="0.0-1.0", help="of the style")
    style.add_argument("--attribute", metavar="WHICH", help="attribute path of the style")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        return run(arguments)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\ninterrupted; nothing was written", file=sys.stderr)
        return INTERRUPTED


def run(arguments: argparse.Namespace) -> int:
    """Animate what a parsed command line says; returns the exit code, raises StylizeError."""
    options = AnimateOptions.from_arguments(arguments)
    _check_output(arguments)
    from tqdm import tqdm

    from engine.runtime import pick_runtime
    from motion.animator import Animator
    from motion.media import probe
    from motion.recording import load_motion, save_motion

    animator = Animator.load(arguments.motion, pick_runtime(arguments.device, arguments.dtype))
    print(f"motion at {animator.size} px on {animator.runtime.reason}", file=sys.stderr)
    sitter, detector, look = prepare(arguments)
    driving, sound = Path(arguments.driving), None
    if driving.suffix == TEMPLATE:
        motion = load_motion(driving)
    else:
        clip = probe(driving)
        motion, sound = record(clip, animator, detector), driving if clip.sounds else None
    if arguments.save_template:
        save_motion(motion, arguments.save_template)
    frames = drive(sitter, motion, animator, options, in_photo=arguments.in_photo)
    output = Path(arguments.output)
    for _ in tqdm(written(frames, output, motion, sound), total=len(motion), unit="frame"):
        pass  # it shows frames per second and the time left
    mark_film(output, COMPOSITE if arguments.in_photo else GENERATED, arguments.photo)
    write_json(output.with_suffix(".json"), describe(arguments, animator, options, look))
    print(f"{output}: {len(motion)} frames, {motion.rate:.4g} a second")
    return SUCCESS


def prepare(arguments: argparse.Namespace) -> tuple[Sitter, Detector, Look | None]:
    """Read the photo, find its face, stylize it if a style is named; raises StylizeError."""
    from engine.detect import choose_detector
    from engine.image import read_photo

    rgb = read_photo(arguments.photo).rgb
    if arguments.style:
        stylizer = load_stylizer(arguments, arguments.style)
        given = {name: getattr(arguments, name) for name in LOOK}
        given = {name: value for name, value in given.items() if value is not None}
        options = StylizeOptions.from_dict(given, stylizer.card.options())
        faces, detector = stylizer.detect(rgb), stylizer.detect
        picture, chosen = stylizer(rgb, options, faces=faces[:1]), (stylizer, options)
    else:
        detector = choose_detector(yunet=arguments.yunet, allow_download=arguments.allow_download)
        faces, picture, chosen = detector(rgb), rgb, None
    sitter = seated(picture, faces, rgb)
    if sitter.face is None:
        print("warning: no face found in the picture: its middle is driven", file=sys.stderr)
    return sitter, detector, chosen


def record(clip: Clip, animator: Animator, detector: Detector) -> Motion:
    """Read a clip twice: where is the face throughout, and how does it move? StylizeError."""
    from tqdm import tqdm

    from motion.framing import clip_square
    from motion.media import read_frames

    for note in clip.notes:
        print(f"note: {clip.path.name}: {note}", file=sys.stderr)
    settings = {"unit": "frame", "total": clip.frames or None, "desc": "finding the face"}
    with read_frames(clip.path) as frames, tqdm(frames, **settings) as bar:
        square, count = clip_square(bar, detector)
    settings |= {"total": count, "desc": "reading the motion"}
    with read_frames(clip.path) as frames, tqdm(frames, **settings) as bar:
        return animator.record(bar, square)


def drive(
    sitter: Sitter,
    motion: Motion,
    animator: Animator,
    options: AnimateOptions,
    *,
    in_photo: bool = False,
) -> Iterator[Frame]:
    """Yield the driven square frame by frame, or the whole picture with it; StylizeError."""
    from dataclasses import replace

    from engine.align import paste
    from engine.finish import labelled

    largest = max(LARGEST, options.output_size)
    size = min(max(sitter.square.side, animator.size), largest)
    crop = sitter.square.cut(sitter.picture, size)
    for frame in animator(crop, motion, options, sitter.landmarks):
        if in_photo:
            to_crop = sitter.square.photo_to_crop(len(frame.rgb))
            frame = replace(frame, rgb=paste(sitter.picture, frame.rgb, to_crop))
        yield replace(frame, rgb=labelled(frame.rgb)) if options.ai_label else frame


def written(
    frames: Iterator[Frame], output: Path, motion: Motion, sound: Path | None
) -> Iterator[Frame]:
    """Write all frames, and give each on; the file is there when they are over. MediaError.

    `sound` is the clip whose sound is kept, None where there is none.
    """
    from motion.media import Writer, join

    first = next(frames)
    height, width = first.rgb.shape[:2]
    silent = output.with_name(f".{output.stem}-silent{output.suffix}") if sound else output
    try:
        with Writer(silent, width, height) as writer:
            for frame in chain([first], frames):
                writer.write(frame)
                yield frame
            writer.close(motion.end)
        if sound:
            join([silent], sound, output)
    finally:
        if sound:
            silent.unlink(missing_ok=True)


def describe(
    arguments: argparse.Namespace, animator: Animator, options: AnimateOptions, look: Look | None
) -> dict[str, Any]:
    """Return everything needed to make an animation again, as JSON values."""
    names = {name: Path(getattr(arguments, name)).name for name in ("photo", "driving")}
    motion = {"networks": animator.detector_id, "size": animator.size}
    style = describe_style(*look) if look else {}
    drawn = {"motion": motion, "animation": options.to_dict(), "in_photo": arguments.in_photo}
    return names | drawn | style | describe_machine(animator)


def seated(picture: np.ndarray, faces: Sequence[Face], rgb: np.ndarray) -> Sitter:
    """Frame the largest face of a photo as the model wants it; the middle where there is none.

    `picture` is the photo uint8 [H, W, 3] as it is driven, `rgb` as it came.
    """
    from motion.framing import central_square, face_square

    # A base without faces draws the central square.
    if picture.shape != rgb.shape or not faces:
        return Sitter(picture, central_square(picture), None)
    return Sitter(picture, face_square(faces[0].box, rgb), faces[0])


def _check_output(arguments: argparse.Namespace) -> None:
    """Raise OptionError for what would fail after minutes of work."""
    if Path(arguments.output).suffix.lower() not in CLIPS:
        raise OptionError(
            f"OUT is {arguments.output}; a file that ends in {', '.join(CLIPS)} is accepted"
        )
    if not Path(arguments.output).resolve().parent.is_dir():
        raise OptionError(f"OUT is {arguments.output}; there is no such folder: make it first")
    template = arguments.save_template
    if template and Path(template).suffix != TEMPLATE:
        raise OptionError(f"--save-template is {template}; a file ending in {TEMPLATE} is accepted")


if __name__ == "__main__":
    sys.exit(main())
