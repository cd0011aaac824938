"""What files say about how they were made."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from demo.doctor.words import table
from demo.statement import read_statement
from engine.errors import ImageError


def verify(files: Sequence[str]) -> int:
    """Print what each file says; return 0 if all could be read, else 1."""
    failed = 0
    for file in files:
        try:
            rows = read_statement(Path(file))
        except ImageError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        print(f"{file}\n{table([('', *row) for row in rows])}\n")
    return 1 if failed else 0
