"""Whether a file is what its publisher wrote, or what it was the first time."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from pathlib import Path

from engine.catalogue import PublicFile
from engine.download.connection import LocationError
from engine.errors import DownloadError

KNOWN_HASHES = "known_hashes.json"
_CHUNK = 1 << 20


def check_content(entry: PublicFile, path: Path) -> None:
    """Compare size, completeness and published hashes; raises LocationError."""
    size = path.stat().st_size
    if entry.size not in (None, size):
        raise LocationError(f"{path} has {size:,} bytes, the published file {entry.size:,}")
    with path.open("rb") as file:
        is_zip = file.read(2) == b"PK"
    if is_zip and not zipfile.is_zipfile(path):
        raise LocationError(f"{path} is incomplete: the end of the archive is missing")
    for algorithm, published in (("sha256", entry.sha256), ("md5", entry.md5)):
        if published and not (found := digest(path, algorithm)).startswith(published):
            raise LocationError(f"{path} has {algorithm} {found}, its publisher wrote {published}")


def remember_hash(path: Path, file: str, folder: Path) -> bool:
    """Compare a file with the first one seen under that name; True if this is the first one.

    Raises:
        LocationError: it is another file than the first one.
        DownloadError: the book of first hashes, `folder`/known_hashes.json, is damaged.
    """
    book, found = folder / KNOWN_HASHES, digest(path)
    known = _read(book)
    if file in known:
        if known[file] == found:
            return False
        raise LocationError(
            f"{path} has sha256 {found}, the first {file} seen here had {known[file]}: "
            f"its publisher or somebody else has changed it; to trust it, delete its line in {book}"
        )
    part = book.with_name(book.name + ".part")
    part.write_text(json.dumps({**known, file: found}, indent=1) + "\n", encoding="utf-8")
    os.replace(part, book)
    return True


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hash of a file in hex digits."""
    state = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    return state.hexdigest()


def _read(book: Path) -> dict[str, str]:
    try:
        known = json.loads(book.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DownloadError(f"{book} cannot be read: {error}; delete it") from error
    return known if isinstance(known, dict) else {}
