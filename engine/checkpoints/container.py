"""One door for every public checkpoint file: recognised by its content, read as plain data.

Nothing in a file is executed: pickles go through a machine that only builds values (`pickles.py`),
safetensors and numpy files hold no code. Sizes that a file declares are compared with its own
before memory is taken.
"""

from __future__ import annotations

import mmap
import struct
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from engine.checkpoints.arrays import NPY_MAGIC, read_npy, read_npz
from engine.checkpoints.names import NAMES
from engine.checkpoints.pickles import Machine
from engine.checkpoints.tensors import check_finite
from engine.checkpoints.torch_files import LEGACY_MAGIC, read_legacy, read_zip
from engine.checkpoints.values import Record, shortened
from engine.checkpoints.zips import open_zip
from engine.errors import CheckpointError

__all__ = ["Contents", "Record", "check_finite", "read_container"]

_AGAIN = "get the file again and compare its size with the one its publisher names"
_ACCEPTED = "what torch.save writes, safetensors, NVIDIA's .pkl, and numpy's .npy and .npz"
# The format's own limit.
_MAX_SAFETENSORS_HEADER = 100_000_000
_PICKLE_STARTS = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"(", b"}", b"]", b"c")
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc": "7z", b"Rar!": "rar"}
_PAGE_STARTS = (
    b"<!doctype",
    b"<html",
    b"<head",
    b"<body",
    b"<?xml",
    b"<error",
    b"<!--",
    b"<script",
)
# What a broken file makes the parsers of Python, numpy and torch raise.
_DAMAGE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, EOFError, MemoryError),
    *(struct.error, zipfile.BadZipFile, RuntimeError, SafetensorError),
    *(SyntaxError, tokenize.TokenError, zlib.error),
)


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        format: "torch", "safetensors", "pickle" or "numpy".
        data: made of dict, list, tuple, str, bool, int, float, None, Record and torch.Tensor on the
            CPU, nothing else. Tensors may lie on top of the file: leave it in place while they
            live. A safetensors file gives {"tensors": {name: Tensor}, "metadata": {str: str}}.
    """

    format: str
    data: Any


def read_container(path: str | Path) -> Contents:
    """Read any public checkpoint file, executing nothing, in memory bounded by the file's size.

    Raises:
        CheckpointError: no file of weights, a damaged one, or one that needs code to be run.
    """
    path = Path(path)
    try:
        return _read(path, _map(path))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    except _DAMAGE as error:
        reason = f"{type(error).__name__}: {error}"[:200]
        raise CheckpointError(
            f"{path} is damaged or incomplete ({reason}); nothing was executed: {_AGAIN}"
        ) from error


def _map(path: Path) -> mmap.mmap:
    """Map a file into memory, privately: what is written to a tensor never reaches the file."""
    if path.is_dir():
        raise CheckpointError("it is a folder; a file is accepted")
    if not path.exists():
        raise CheckpointError("there is no such file; check the name")
    if not path.is_file() or not path.stat().st_size:
        raise CheckpointError(f"it is empty or no file: {_AGAIN}")
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _read(path: Path, content: mmap.mmap) -> Contents:
    start = content[:4096]
    _check_no_text(content)
    if start.startswith(b"PK"):
        return _read_archive(path, content)
    if start.startswith(NPY_MAGIC):
        return Contents("numpy", read_npy(content, partial(_read_objects, len(content))))
    if path.suffix == ".safetensors" or (start[8:9] == b"{" and start[5:8] == b"\0\0\0"):
        return Contents("safetensors", _read_safetensors(path, content))
    if start.startswith(_PICKLE_STARTS):
        return _read_pickle(content)
    if start[257:262] == b"ustar":
        raise CheckpointError(
            "it is a tar archive. Unpack it if it was packed by hand; if torch of 2016 wrote it, "
            "load it there and save it again: that format cannot be read without running it"
        )
    for magic, name in _PACKED.items():
        if start.startswith(magic):
            raise CheckpointError(f"it is packed by {name}: unpack it first")
    raise CheckpointError(
        f"it is no file of weights: it starts with {start[:8]!r}; read is {_ACCEPTED}"
    )


def _check_no_text(content: mmap.mmap) -> None:
    """Recognise what servers send instead of a file."""
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(_PAGE_STARTS):
        page = content[:100_000].lower()
        is_drive = b"google drive" in page or b"quota" in page
        which = "Google Drive's quota or virus notice" if is_drive else "an error or login page"
        raise CheckpointError(
            f"this is a web page, not weights: probably {which}, saved under the file's name; open "
            "the address in a browser and download again"
        )
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(
            "this is a Git LFS pointer, not weights: run `git lfs pull` where it was cloned, or "
            "download the file itself"
        )


def _read_archive(path: Path, content: mmap.mmap) -> Contents:
    with open_zip(path, content) as archive:
        names = archive.namelist()
        if any(name.split("/")[-1] == "data.pkl" for name in names):
            return Contents("torch", read_zip(archive, content, Machine(NAMES, len(content))))
        if any(name.endswith(".npy") for name in names):
            return Contents("numpy", read_npz(archive, partial(_read_objects, len(content))))
        listed = ", ".join(map(shortened, names[:3]))
        raise CheckpointError(f"it is a zip archive of other things ({listed}): unpack it first")


def _read_safetensors(path: Path, content: mmap.mmap) -> dict[str, Any]:
    length = int.from_bytes(content[:8], "little")
    if length > min(_MAX_SAFETENSORS_HEADER, len(content) - 8):
        raise CheckpointError(
            f"its safetensors header claims {length:,} bytes, the file has {len(content):,} and "
            f"the format allows {_MAX_SAFETENSORS_HEADER:,}: it is incomplete or damaged; {_AGAIN}"
        )
    with safe_open(str(path), framework="pt", device="cpu") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return {"tensors": tensors, "metadata": dict(file.metadata() or {})}


def _read_pickle(content: mmap.mmap) -> Contents:
    """Read a plain pickle, or torch's old format, whose first pickle is a magic number."""
    machine = Machine(NAMES, len(content))
    value = machine.load(content)
    if value == LEGACY_MAGIC:
        content.seek(0)
        return Contents("torch", read_legacy(content, machine))
    return Contents("pickle", machine.settle(value))


def _read_objects(size: int, stream: BinaryIO) -> Any:
    """Read the pickle in a .npy file of objects, such as a dict of codes; `size` in bytes."""
    machine = Machine(NAMES, size)
    return machine.settle(machine.load(stream))
