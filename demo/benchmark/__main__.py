"""Measure what a user waits for: a photo stage by stage, more faces, films, the start of things.

    python -m demo.benchmark                     # a photo of 12 megapixels and one of 640 px
    python -m demo.benchmark film --style pencil
    python -m demo.benchmark film --drawn 1024   # weights drawn, as large as the public networks
    python -m demo.benchmark start --out docs/benchmarks/mine

Photos and clips are made of the example portraits; the networks are those of an embedded style.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from demo.benchmark.films import HEIGHT, RATE, film_stage_rows, length_rows
from demo.benchmark.photo import face_rows, stage_rows
from demo.benchmark.pictures import EXAMPLES
from demo.benchmark.startup import first_picture, help_rows
from demo.photo import add_setup_arguments, load_stylizer
from engine.benchmark.drawn import STYLE, write_drawn
from engine.benchmark.figures import save_curves
from engine.benchmark.machine import describe, notes, peak_memory
from engine.benchmark.report import Report, Table
from engine.errors import StylizeError
from engine.live import has_student
from engine.pipeline import Stylizer
from engine.runtime import pick_runtime
from motion.benchmark import QUICK

FACES = (1, 2, 4, 8)
LENGTHS = (1.0, 4.0, 15.0, 60.0)
CURVES = {"photo": "faces", "film": "clip seconds"}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = ("photo", "film", "start")
    parser.add_argument("what", nargs="?", choices=kinds, default="photo", help="default photo")
    parser.add_argument("--style", default="comic", metavar="NAME", help="style, or ./folder")
    parser.add_argument("--repeat", type=int, default=5, help="timed runs, default 5")
    lengths = {"type": float, "nargs": "+", "default": LENGTHS, "metavar": "SECONDS"}
    parser.add_argument("--lengths", help="of the clips, default 1 4 15 60", **lengths)
    drawn = {"type": int, "metavar": "PX", "help": "a style of drawn weights of this size instead"}
    parser.add_argument("--drawn", **drawn)
    parser.add_argument("--port", type=int, default=7899, help="of the page, default 7899")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write WHAT.md, .json, .png")
    add_setup_arguments(parser)
    return parser.parse_args(argv)


def measure(args: argparse.Namespace) -> list[Table]:
    """Return the tables of one kind of measurement; raises StylizeError."""
    if args.what == "start":
        rows = [first_picture(EXAMPLES[0], args.port)]
        about = "The page is started with `python app.py` and asked for a picture at once."
        return [
            Table("From start to the first picture", rows, about),
            Table("Help of the command line", help_rows(args.repeat)),
        ]
    with TemporaryDirectory() as folder:
        if args.drawn:
            args.packs, args.style = write_drawn(Path(folder), args.drawn), STYLE
        stylizer = load_stylizer(args, args.style)
        return measure_style(args, stylizer)


def measure_style(args: argparse.Namespace, stylizer: Stylizer) -> list[Table]:
    """Return the tables of photos or films in one style."""
    if args.what == "film":
        about = f"Clips of {RATE} frames a second; as a job makes them, its start and end included."
        height = args.drawn or HEIGHT
        tables = [Table(f"Stages of a film at {height} px", film_stage_rows(stylizer, height))]
        if has_student(stylizer.card):
            rows = length_rows(stylizer, args.lengths, QUICK, height)
            tables.append(Table("Longer clips, drawn by the small network", rows, about))
        return [
            *tables,
            Table("Longer clips", length_rows(stylizer, args.lengths, height=height), about),
        ]
    stages = Table(
        "Stages of a photo with one face",
        stage_rows(stylizer, args.repeat),
        f"Style {args.style}. The process had at most {peak_memory() or 0:.0f} MB until here.",
    )
    return [stages, Table("More faces", face_rows(stylizer, FACES, args.repeat))]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report, and write it with its figure if a folder is named."""
    args = parse(argv)
    try:
        machine, tables = describe(pick_runtime(args.device, args.dtype)), measure(args)
        given = sys.argv[1:] if argv is None else argv
        command = " ".join(["python -m demo.benchmark", *given])
        curve = CURVES.get(args.what)
        figures = {tables[-1].title: f"{args.what}.png"} if curve else {}
        title = f"What a user waits for: {args.what}"
        report = Report(title, command, machine, tables, notes(machine), figures)
        if args.out:
            report.write(args.out, args.what)
            for name, file in figures.items():
                save_curves(args.out / file, {name: tables[-1].rows}, [curve], "processor seconds")
    except StylizeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
