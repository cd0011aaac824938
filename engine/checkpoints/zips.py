"""Zip archives, checked before anything in them is read or unpacked."""

from __future__ import annotations

import mmap
import struct
import zipfile
from pathlib import Path, PurePosixPath

from engine.checkpoints.values import shortened
from engine.errors import CheckpointError

ZIP_START = b"PK\x03\x04"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_MAX_DIRECTORY_BYTES = 16 << 20
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_LOCAL = struct.Struct("<4s5H3L2H")
_INCOMPLETE = "the zip archive breaks off: the download is incomplete, get the file again"


def open_zip(path: Path, content: mmap.mmap) -> zipfile.ZipFile:
    """Open an archive after comparing its declared sizes with the file; raises CheckpointError.

    Stored entries have to lie within the file; all together may unpack to twenty times the file
    and 64 MB.
    """
    _check_directory(content)
    archive = zipfile.ZipFile(path)
    unpacked = 0
    for entry in archive.infolist():
        name = shortened(entry.filename)
        if entry.flag_bits & 1 or entry.compress_type not in _METHODS:
            raise CheckpointError(f"its entry {name} is encrypted or packed in a rare way")
        if ".." in PurePosixPath(entry.filename).parts:
            raise CheckpointError(f"its entry {name} leads out of the archive; it is hostile")
        is_stored = entry.compress_type == zipfile.ZIP_STORED
        unpacked += entry.file_size
        if entry.compress_size > len(content) or (is_stored and entry.file_size > len(content)):
            raise CheckpointError(
                f"its entry {name} claims {entry.file_size:,} bytes, the file has "
                f"{len(content):,}: it is damaged or hostile; get the file again"
            )
    if unpacked > 20 * len(content) + (64 << 20):
        raise CheckpointError(
            f"it claims to unpack from {len(content):,} to {unpacked:,} bytes, which weights never "
            "do; it is damaged or hostile"
        )
    return archive


def stored_bytes(content: mmap.mmap, entry: zipfile.ZipInfo) -> memoryview:
    """Return the bytes of an uncompressed entry without a copy; raises CheckpointError."""
    if entry.compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(
            f"its entry {shortened(entry.filename)} is compressed, which torch.save never does; "
            "unpack the archive and pack it again without compression (zip -0)"
        )
    start = entry.header_offset
    signature, *_, name_length, extra_length = _LOCAL.unpack_from(content, start)
    start += _LOCAL.size + name_length + extra_length
    if signature != ZIP_START or start + entry.file_size > len(content):
        raise CheckpointError(f"its entry {shortened(entry.filename)} is not where it should be")
    return memoryview(content)[start : start + entry.file_size]


def _check_directory(content: mmap.mmap) -> None:
    """Refuse a table of contents so long that parsing it would take gigabytes."""
    position = content.rfind(b"PK\x05\x06", max(0, len(content) - _END.size - 65535))
    if position < 0:
        raise CheckpointError(_INCOMPLETE)
    *_, num_bytes, _, _ = _END.unpack_from(content, position)
    if num_bytes == 0xFFFFFFFF:
        signature, _, offset, _ = _LOCATOR.unpack_from(content, position - _LOCATOR.size)
        if signature != b"PK\x06\x07":
            raise CheckpointError(_INCOMPLETE)
        num_bytes = _END_64.unpack_from(content, offset)[8]
    if num_bytes > min(_MAX_DIRECTORY_BYTES, len(content)):
        raise CheckpointError(
            f"its table of contents claims {num_bytes:,} bytes; that of weights has some thousand"
        )
