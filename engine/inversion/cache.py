"""Inversions kept in a folder, so that a reference picture is searched for once.

The folder belongs to the caller, one per visitor, so that nobody sees what another one gave.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from engine.errors import CheckpointError
from engine.inversion.settings import InversionSettings
from engine.inversion.storage import Inversion, load_inversion, save_inversion

SUFFIX = ".safetensors"


def cache_key(
    image: bytes, generator_sha256: str, settings: InversionSettings, distance: str = ""
) -> str:
    """Name one inversion: a hash of everything its result depends on.

    Args:
        image: the bytes of the picture, of its file or of its pixels.
        generator_sha256: hash of the generator's weights, as a pack's card holds it.
        settings: of the inversion.
        distance: name of the distance, and of the start if it is not the space's origin.
    """
    parts = (image, generator_sha256.encode(), settings.to_json().encode(), distance.encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


class InversionCache:
    """A folder of inversions by key, the ones used longest ago removed when it grows too large.

    What is in the folder is not trusted: a file that is damaged, or saved under another key, counts
    as absent and is removed. Nothing here fails for want of a cache.

    Args:
        folder: made when first needed.
        max_bytes: size of all files together.
    """

    def __init__(self, folder: str | Path, max_bytes: int = 256 * 2**20) -> None:
        self.folder, self.max_bytes = Path(folder), max_bytes

    def get(self, key: str) -> Inversion | None:
        """Return the inversion of a `cache_key`, None if there is none."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            found = load_inversion(path, note=key)
        except CheckpointError:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return None
        with suppress(OSError):
            os.utime(path)  # used now: the last to be removed
        return found

    def put(self, key: str, found: Inversion) -> bool:
        """Keep an inversion; False if there is no room for it on the disk or in the cache."""
        path = self._path(key)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_inversion(path, found, note=key)
        except (OSError, CheckpointError):
            return False
        self._shrink()
        return path.is_file()

    def _path(self, key: str) -> Path:
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"{key!r} is no key of cache_key")
        return self.folder / f"{key}{SUFFIX}"

    def _shrink(self) -> None:
        """Remove files, the oldest first, until the rest fits."""
        kept = 0
        files = []
        for path in self.folder.glob(f"*{SUFFIX}*"):  # also what a crash left half-written
            with suppress(OSError):  # gone by now: another process shrinks too
                status = path.stat()
                files.append((status.st_mtime_ns, status.st_size, path))
        for _, size, path in sorted(files, reverse=True):
            kept += size
            if kept > self.max_bytes:
                with suppress(OSError):
                    path.unlink(missing_ok=True)
