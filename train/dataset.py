"""What a prepared data set consists of: its samples, their attributes, its table and its report."""

import csv
import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from engine.errors import DataError, ImageError
from train.data import rows_of

COLUMNS = ("file", "source", "attribute", "native_crop_px")


@dataclass(frozen=True)
class Sample:
    """A picture on its way into the set: crop uint8 [S, S, 3] and its row of data.csv."""

    crop: np.ndarray
    native_crop_px: int
    num_faces: int = 1
    source: str = ""
    attribute: str = ""
    file: str = ""


@dataclass
class Report:
    """What happened to every picture, in plain words.

    Attributes:
        refused: (reason, source, explanation) of each picture left out.
        kept: the samples of the set, without their pixels.
        ignored: number of files that are no pictures by their name.
        unused_rows: number of rows of the attribute table that name no picture of the folder.
    """

    size: int
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    kept: list[Sample] = field(default_factory=list)
    ignored: int = 0
    unused_rows: int = 0

    def text(self) -> str:
        """The report; lists of files stop after the first few."""
        looked_at = len(self.kept) + len(self.refused)
        lines = [f"pictures: {looked_at} looked at, {len(self.kept)} kept"]
        for reason, count in Counter(reason for reason, _, _ in self.refused).most_common():
            names = some_of([source for r, source, _ in self.refused if r == reason])
            lines.append(f"  left out, {reason}: {count} ({names})")
        crowded = [s.source for s in self.kept if s.num_faces > 1]
        if crowded:
            lines.append(f"  several faces, largest taken: {len(crowded)} ({some_of(crowded)})")
        enlarged = sum(s.native_crop_px < self.size for s in self.kept)
        if enlarged:
            lines.append(f"  enlarged, under {self.size} px in the original: {enlarged}")
        counts = Counter(s.attribute or "(none)" for s in self.kept)
        lines += [f"  attribute {name}: {count}" for name, count in sorted(counts.items())]
        if self.unused_rows:
            lines.append(f"  rows of the table that name no picture here: {self.unused_rows}")
        if self.ignored:
            lines.append(f"  other files, not looked at: {self.ignored}")
        return "\n".join(lines)

    def details(self) -> str:
        """One line for each picture left out."""
        return "\n".join(f"{reason}: {source}: {why}" for reason, source, why in self.refused)


class Attributes:
    """Looks up the attribute of a picture in a table with the columns file and attribute.

    A row may name the picture from inside the folder, from beside it, or by its bare file name.
    """

    def __init__(self, table: Path, folder: Path) -> None:
        if not table.is_file():
            raise DataError(f"{table} is not a file: --attributes takes a CSV file")
        self._folder = folder.resolve().name
        rows = rows_of(table, "file", "attribute")
        self._known = {row["file"].replace("\\", "/"): row["attribute"] or "" for row in rows}
        names = Counter(Path(name).name for name in self._known)
        self._by_name = {Path(n).name: n for n in self._known if names[Path(n).name] == 1}

    def of(self, source: str) -> str:
        """The attribute of a picture, '' if the table does not say."""
        return self._known.get(self._row(source), "").strip()

    def unused(self, sources: Sequence[str]) -> int:
        """How many rows name none of these pictures."""
        return len(self._known.keys() - {self._row(source) for source in sources})

    def _row(self, source: str) -> str:
        for name in (source, f"{self._folder}/{source}"):
            if name in self._known:
                return name
        return self._by_name.get(Path(source).name, "")


def write_table(path: Path, samples: Sequence[Sample]) -> None:
    """Write data.csv: one row for each sample, in the order given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(sample, column) for column in COLUMNS] for sample in samples)
    write_whole(path, text.getvalue().encode())


def write_whole(path: Path, data: bytes) -> None:
    """Write a file completely or not at all.

    Raises:
        ImageError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ImageError(
            f"cannot write {path} ({len(data)} bytes): {error.strerror}; "
            "make room or choose another place, then start again"
        ) from error


def some_of(names: Sequence[str], count: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
