"""Where public weights are, as data: `catalogue.json`, one entry per file.

Every line repeats what the publisher wrote; none of these files was opened here. Nothing is
fetched by looking: `engine.download` fetches, `engine.checkpoints` reads.
"""

from __future__ import annotations

import difflib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from engine.errors import DownloadError

CATALOGUE_FILE = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class PublicFile:
    """One public file of weights.

    Attributes:
        name: what it is called here; `title` is for people, `gives` says what it is good for.
        file: name of the file on disk, unlike that of every other entry.
        locations: where it can be fetched, best first: an https address, "drive:ID" of Google
            Drive, or "hub:OWNER/REPOSITORY/PATH" of the Hugging Face hub. Empty: only by hand.
        page: the page where a browser finds it.
        licence: what its publisher says, and what it was made from.
        non_commercial: whether that forbids commercial use.
        kind: how `engine.checkpoints.read` calls it; "" for what is no style model.
        size: in bytes, where published; else about_mb may tell roughly, from the networks inside.
        sha256: hex digits, all or the first ones, where published; `md5` likewise.
    """

    name: str
    title: str
    file: str
    locations: tuple[str, ...]
    licence: str
    non_commercial: bool
    kind: str
    gives: str
    page: str
    size: int | None = None
    about_mb: int | None = None
    sha256: str = ""
    md5: str = ""

    @property
    def has_hash(self) -> bool:
        """Whether its publisher wrote down a hash of it."""
        return bool(self.sha256 or self.md5)


@cache
def public_files() -> dict[str, PublicFile]:
    """Return all entries by name, in the order of the file."""
    rows = json.loads(CATALOGUE_FILE.read_text(encoding="utf-8"))
    entries = (PublicFile(**{**row, "locations": tuple(row["locations"])}) for row in rows)
    return {entry.name: entry for entry in entries}


def find(name: str) -> PublicFile:
    """Return the entry `name`, which may also be the name of its file; raises DownloadError."""
    entries = public_files()
    for entry in entries.values():
        if name in (entry.name, entry.file):
            return entry
    near = difflib.get_close_matches(name, entries, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else "python -m demo.doctor list names all"
    raise DownloadError(f"no public file {name!r} is known: {hint}")
