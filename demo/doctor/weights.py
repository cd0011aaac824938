"""Public weights: the list of them, and one of them onto this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from demo.doctor.words import size_in_words, table
from engine.catalogue import PublicFile, find, public_files
from engine.download import fetch, is_present, weights_folder
from engine.errors import DownloadError

BY_HAND = "by hand"


def list_weights(folder: str | None = None) -> int:
    """Print the catalogue as a table; return the exit code."""
    place = _place(folder)
    rows = [("name", "size", "use", "here", "what it is")]
    for entry in public_files().values():
        here = "yes" if is_present(entry, place) else "no" if entry.locations else BY_HAND
        use = "not commercial" if entry.non_commercial else "see licence"
        rows.append((entry.name, _size(entry), use, here, entry.title))
    print(table(rows, right=("size",)))
    print(f"\n{BY_HAND}: offered to browsers only. Files are kept in {place}.")
    print(
        "Licence and source are shown before anything is fetched: python -m demo.doctor fetch NAME"
    )
    return 0


def fetch_weights(names: Sequence[str], folder: str | None = None, *, is_agreed: bool) -> int:
    """Show licence and source, ask, download; return the exit code. Raises DownloadError."""
    place = _place(folder)
    for entry in [find(name) for name in names]:
        print(_describe(entry, place))
        is_new = entry.locations and not is_present(entry, place)
        if is_new and not (is_agreed or _agrees(entry)):
            print("not fetched")
            return 1
        path = _with_progress(entry, place) if is_new else fetch(entry, place, on_note=print)
        print(f"{entry.name} is at {path}\n{_what_next(entry, path)}")
    return 0


def _place(folder: str | None) -> Path:
    return Path(folder) if folder else weights_folder()


def _size(entry: PublicFile) -> str:
    if entry.size is not None:
        return size_in_words(entry.size)
    return f"about {entry.about_mb:,} MB" if entry.about_mb else "unknown"


def _describe(entry: PublicFile, place: Path) -> str:
    warning = "no commercial use" if entry.non_commercial else "read the licence before you sell"
    published = f"sha256 {entry.sha256}" if entry.sha256 else f"md5 {entry.md5}"
    rows = [
        ("title", entry.title),
        ("gives", entry.gives),
        ("licence", f"{entry.licence}: {warning}"),
        ("size", _size(entry)),
        ("hash", published if entry.has_hash else "none published; the first one seen is kept"),
        ("page", entry.page),
        *(("source", location) for location in entry.locations),
        ("target", str(place / entry.file)),
    ]
    return f"{entry.name}\n{table([('', *row) for row in rows])}"


def _agrees(entry: PublicFile) -> bool:
    if not sys.stdin.isatty():
        raise DownloadError(
            f"{entry.name} needs your consent to its licence, and nobody is there to ask: "
            "run this in a terminal, or add --yes"
        )
    return input("Fetch it under this licence? [y/N] ").strip().lower() in ("y", "yes")


def _with_progress(entry: PublicFile, place: Path) -> Path:
    from tqdm import tqdm

    with tqdm(unit="B", unit_scale=True, unit_divisor=1024, desc=entry.file, leave=False) as bar:

        def advance(done: int, total: int | None) -> None:
            if bar.total != total:
                bar.total, bar.initial = total, bar.n
            bar.update(done - bar.n)

        return fetch(entry, place, on_progress=advance, on_note=bar.write)


def _what_next(entry: PublicFile, path: Path) -> str:
    if not entry.kind:
        return "It is no style model: the programs that use it find it by its path."
    return f"Next: python -m demo.doctor import {path} --kind {entry.kind}"
