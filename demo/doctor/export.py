"""A pack as ONNX files, for programs and browsers without PyTorch."""

from __future__ import annotations

import argparse
from pathlib import Path

from engine.base import read_base
from engine.exporting import VARIANTS, Outcome, export_pack
from engine.library import StyleLibrary
from engine.pack import load_pack, read_card
from engine.runtime import pick_runtime

HEADING = f"{'part':<20} {'variant':<13} {'size':>9} {'one picture':>12} {'against PyTorch':>16}"


def export(arguments: argparse.Namespace) -> int:
    """Export a pack and print a table of what was written; return the exit code.

    Raises StylizeError where a package is missing, or the pack cannot be read or written.
    """
    library = StyleLibrary([arguments.packs] if arguments.packs else None)
    runtime = pick_runtime("cpu", "float32")
    found = library.find(arguments.pack)
    is_base = read_card(found).kind == "base"
    pack = read_base(load_pack(found), runtime) if is_base else library.load(str(found), runtime)
    folder = Path(arguments.to)
    print(f"exporting {arguments.pack} to {folder}, half a minute per part", flush=True)
    for number, outcome in enumerate(export_pack(pack, folder, arguments.variants or VARIANTS[:3])):
        print(*([HEADING] if number == 0 else []), _row(outcome), sep="\n", flush=True)
    print(f"\n{folder / 'export.json'} says what goes in and comes out, and under which licence")
    return 0


def _row(outcome: Outcome) -> str:
    size, time = f"{outcome.megabytes:.2f} MB", f"{outcome.milliseconds:.1f} ms"
    row = f"{outcome.part:<20} {outcome.variant:<13} {size:>9} {time:>12} {outcome.psnr:>13.1f} dB"
    return row if outcome.file else f"{row}  NOT WRITTEN: {outcome.why_not}"
