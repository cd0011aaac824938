"""Pictures uploaded for a training, as files or zips: copied into a folder, whatever is sent.

A zip is never unpacked as it asks for: only what is named like a picture is copied, under its bare
name, into a numbered folder of ours. Bytes are counted as they come, not as the zip says.
"""

from __future__ import annotations

import lzma
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from engine.errors import DataError

PICTURES = tuple(".jpg .jpeg .png .webp .heic .heif .avif .bmp .tif .tiff .gif".split())
TABLE = ".csv"
MOST_PICTURES = 1000
MOST_BYTES, MOST_FILE_BYTES = 2**30, 100 * 2**20  # unpacked: of all, of one file
# What a zip keeps at its end: 22 bytes that tell how long the list of its files is, and, where it
# has more than 4 GB or 65535 files, 20 more before them. Python reads the whole list into memory.
END, END_BYTES, END64, END64_BYTES = b"PK\x05\x06", 22, b"PK\x06\x07", 20
MOST_LIST_BYTES, MOST_COMMENT = 2**20, 65535


@dataclass(frozen=True)
class Gathered:
    """What came: how many pictures, how many other files, and the table of attributes, if any."""

    pictures: int
    others: int
    table: Path | None


@dataclass(frozen=True)
class Incoming:
    """One file on its way: its bare name, the upload it came in, and what it is read from."""

    name: str
    upload: str
    stream: IO[bytes]


def gather(uploads: Sequence[dict[str, Any]], folder: Path) -> Gathered:
    """Copy the pictures of uploaded files and zips into numbered folders below `folder`.

    Args:
        uploads: unprocessed values of `gr.File`, each with "path" and perhaps "orig_name".

    Raises:
        DataError: a zip that is broken, locked or too large, or more than is accepted; what was
            copied until then stays in `folder`, for the caller to remove.
    """
    pictures = others = copied = 0
    table: Path | None = None
    for incoming in _all_files(uploads):
        suffix = Path(incoming.name).suffix.lower()
        if suffix not in (*PICTURES, TABLE):
            others += 1
            continue
        if suffix in PICTURES and pictures == MOST_PICTURES:
            raise DataError(
                f"more than {MOST_PICTURES} pictures were sent; up to {MOST_PICTURES} are "
                "accepted: choose the best ones, 100 are plenty"
            )
        target = folder / (f"{pictures:04d}" if suffix in PICTURES else "table") / incoming.name
        target.parent.mkdir(parents=True, exist_ok=True)
        copied += _copy(incoming, target, MOST_BYTES - copied)
        if suffix == TABLE:
            table = target
        else:
            pictures += 1
    return Gathered(pictures, others, table)


def _all_files(uploads: Sequence[dict[str, Any]]) -> Iterator[Incoming]:
    """Every file that was sent, with those of zips in the place of the zips."""
    for upload in uploads:
        path = Path(upload["path"])
        name = _bare_name(upload.get("orig_name") or path.name)
        if Path(name).suffix.lower() == ".zip":
            yield from _files_of_zip(path, name)
        else:
            with path.open("rb") as stream:
                yield Incoming(name, name, stream)


def _files_of_zip(path: Path, name: str) -> Iterator[Incoming]:
    with _told_plainly(name):
        _check_list(path, name)
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                bare = _bare_name(entry.filename)
                if entry.is_dir() or bare.startswith("."):  # macOS adds ._name.jpg to each
                    continue
                with archive.open(entry) as stream:
                    yield Incoming(bare, name, stream)


@contextmanager
def _told_plainly(name: str) -> Iterator[None]:
    """What Python says of a file it cannot read, in words for whoever sent it."""
    damaged = (zipfile.BadZipFile, EOFError, ValueError, zlib.error, lzma.LZMAError)
    try:
        yield
    except RuntimeError as error:  # a password is asked for, or a method is not known
        raise DataError(f"{name} is locked or packed unusually: make a plain zip of it") from error
    except damaged as error:
        raise DataError(f"{name} is damaged: make the zip again") from error
    except OSError as error:
        raise DataError(f"{name} cannot be copied: {error.strerror or error}") from error


def _check_list(path: Path, name: str) -> None:
    """Refuse a list of files that would fill the memory before the first of them is read."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - END_BYTES - END64_BYTES - MOST_COMMENT))
        tail = file.read()
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + END_BYTES:
        raise DataError(f"{name} is no zip, or its end is missing: make it again")
    length = int.from_bytes(tail[at + 12 : at + 16], "little")
    if END64 in tail[max(0, at - END64_BYTES) : at] or length > MOST_LIST_BYTES:
        raise DataError(
            f"{name} lists too many files; up to {MOST_PICTURES} pictures are accepted: "
            "zip the pictures alone"
        )


def _copy(incoming: Incoming, target: Path, left: int) -> int:
    """Copy one file and return its size; `left` bytes are accepted, and MOST_FILE_BYTES."""
    most = min(left, MOST_FILE_BYTES)
    with _told_plainly(incoming.upload), target.open("wb") as file:
        while chunk := incoming.stream.read(min(2**20, most + 1)):
            file.write(chunk)
            if file.tell() > most:
                raise DataError(
                    f"{incoming.name} unpacks to too much; accepted are {MOST_FILE_BYTES >> 20} MB "
                    f"for a picture and {MOST_BYTES >> 20} MB for all: send smaller ones"
                )
        return file.tell()


def _bare_name(name: str) -> str:
    """The last part of a name, of harmless characters, short enough for every file system."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r"[^\w. ()+-]", "_", last).strip()
    return clean[-60:] or "unnamed"


def discard(folder: Path | None) -> None:
    """Delete a folder of uploads; nothing happens where there is none."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
