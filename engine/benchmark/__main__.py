"""Measure the networks: against their floors, without each optimisation, and as work grows.

    python -m engine.benchmark                       # config-f at 1024 px against its floors
    python -m engine.benchmark profile               # where its time goes
    python -m engine.benchmark variants --resolution 512 --repeat 9
    python -m engine.benchmark growth --out docs/benchmarks/mine
    python -m engine.benchmark formats               # pictures in half precision beside float32

Weights are drawn: speed does not depend on their values.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.benchmark import formats, growth, networks, profile, variants
from engine.benchmark.figures import save_curves
from engine.benchmark.machine import describe, notes
from engine.benchmark.report import Report, Table
from engine.errors import StylizeError
from engine.models.stylegan2 import Generator
from engine.runtime import DTYPES, Runtime, pick_runtime

KINDS = ("floors", "profile", "variants", "growth", "formats")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SIZES = (256, 512, 1024)
PACK_CHANNELS = {4: 256, 8: 256, 16: 192, 32: 96, 64: 48, 128: 24}  # of the embedded packs
ABOUT = {
    "floors": "Seconds per picture. On a CPU ratios are of processor seconds, which other programs "
    "hardly disturb. The arithmetic floor is that of all 3x3 convolutions at the speed of a large "
    "matrix product, the memory floor that of every layer's input and output at a copy's speed.",
    "profile": "Views and shapes cost next to nothing and fill the end of the table. On a CPU "
    "seconds are of the processor.",
    "variants": "One optimisation switched off at a time, all in turn, per picture.",
    "formats": "16 codes of the embedded base; close are numbers within 2 grey levels of 255.",
    "batch": "A generator as wide as those of the embedded packs; seconds per picture.",
    "size": "config-f, one picture; memory is that of a new process, torch included.",
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=KINDS, default="floors", help="default floors")
    parser.add_argument("--resolution", type=int, default=1024, help="power of two, default 1024")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="default: what is fast here")
    parser.add_argument("--repeat", type=int, default=5, help="timed runs, default 5")
    parser.add_argument("--batch", type=int, default=1, help="pictures at once, default 1")
    parser.add_argument("--device", default=None, help="auto, cpu, ... (default auto)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write WHAT.md, .json, .png")
    return parser.parse_args(argv)


def measure(args: argparse.Namespace, runtime: Runtime) -> list[Table]:
    """Return the tables of one kind of measurement."""
    size = f"{args.resolution} px, batch {args.batch}"
    settings = (runtime, args.repeat, args.batch)
    if args.what == "floors":
        rows = networks.rows(args.resolution, *settings)
        return [Table(f"config-f against its floors: {size}", rows, ABOUT["floors"])]
    if args.what == "profile":
        rows = profile.rows(args.resolution, *settings)
        return [Table(f"Where the time goes: {size}", rows, ABOUT["profile"])]
    if args.what == "variants":
        rows = variants.rows(args.resolution, *settings)
        return [Table(f"Each optimisation switched off: {size}", rows, ABOUT["variants"])]
    if args.what == "formats":
        rows = formats.rows(runtime)
        return [Table("Number formats beside float32, 256 px", rows, ABOUT["formats"])]
    G = Generator(128, channels=PACK_CHANNELS).eval().requires_grad_(False).to(runtime.device)
    G.synthesis.dtype = runtime.dtype
    batches = growth.batch_rows(G, BATCHES, runtime, args.repeat)
    sizes = [size for size in SIZES if size <= args.resolution]
    return [
        Table("Pictures at once", batches, ABOUT["batch"]),
        Table("Size of the picture", growth.size_rows(sizes, runtime, args.repeat), ABOUT["size"]),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report, and write it with its figure if a folder is named."""
    args = parse(argv)
    try:
        runtime = pick_runtime(args.device, args.dtype)
        machine, tables = describe(runtime), measure(args, runtime)
        command = " ".join(
            ["python -m engine.benchmark", *(sys.argv[1:] if argv is None else argv)]
        )
        figures = {"Cost of a picture": f"{args.what}.png"} if args.what == "growth" else {}
        title = f"Networks: {args.what}"
        report = Report(title, command, machine, tables, notes(machine), figures)
        if args.out:
            report.write(args.out, args.what)
            for file in figures.values():
                panels = {table.title: table.rows for table in tables}
                save_curves(args.out / file, panels, ("batch", "px"), "processor seconds")
    except StylizeError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write(report.markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
