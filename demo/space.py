"""A folder that is a Hugging Face Space: the page with its packs, and the header a Space needs.

    python -m demo.space ~/spaces/stylize      # a git clone of the Space, or an empty folder

Push that folder. The project's own README has no header: it belongs to the Space alone.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import OptionError

ROOT = Path(__file__).parents[1]
HEADER = ROOT / "deploy" / "space"
COPIED = ("app.py", "requirements.txt", "LICENSE", "demo", "engine", "motion", "train")


def main(argv: Sequence[str] | None = None) -> None:
    """Lay out the folder; ends with a message where it holds something else."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to write, made if it is not there")
    arguments = parser.parse_args(argv)
    try:
        lay_out(arguments.out)
    except OptionError as error:
        sys.exit(f"demo.space: {error}")
    print(f"{arguments.out} is ready to be pushed")


def lay_out(out: Path) -> None:
    """Write a Space into the folder `out`, over an earlier one.

    Raises OptionError for a folder that holds something else.
    """
    if out.exists() and not out.is_dir():
        raise OptionError(f"OUT is {out}, a file; a folder is accepted: name another one")
    known = {*COPIED, "README.md", "packages.txt", ".git", ".gitattributes"}
    others = sorted({path.name for path in out.glob("*")} - known)
    if others:
        raise OptionError(
            f"{out} holds {', '.join(others[:3])}, which is not of a Space of ours: "
            "name an empty folder, or a clone of the Space"
        )
    out.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source, target = ROOT / name, out / name
        if source.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copyfile(source, target)
    for path in HEADER.iterdir():
        shutil.copyfile(path, out / path.name)


if __name__ == "__main__":
    main()
