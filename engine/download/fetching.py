"""A public file into a folder: from disk, the hub's cache, or its locations one after another.

Nothing is used before it was compared with what its publisher wrote. Where nobody wrote a hash
down, the first one seen is kept in `known_hashes.json` beside the files, and has to stay the same.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from engine.catalogue import PublicFile
from engine.download.check import check_content, remember_hash
from engine.download.connection import LocationError
from engine.download.transfer import STALL_SECONDS, Transfer, writing
from engine.errors import DownloadError
from engine.runtime import data_home

DRIVE = "https://drive.usercontent.google.com/download"
HUB = "https://huggingface.co"
OFFLINE_SWITCHES = ("STYLIZE_OFFLINE", "HF_HUB_OFFLINE")

Note = Callable[[str], None]


def weights_folder() -> Path:
    """Return where public files are kept: `$STYLIZE_HOME/weights`."""
    return data_home() / "weights"


def is_offline() -> bool:
    """Tell whether a switch in the environment forbids the network, now."""
    return any(
        os.environ.get(s, "").lower() in ("1", "on", "yes", "true") for s in OFFLINE_SWITCHES
    )


def is_present(entry: PublicFile, folder: Path) -> bool:
    """Tell whether the file is there, of the published size; its hash is not computed."""
    path = folder / entry.file
    return path.is_file() and entry.size in (None, path.stat().st_size)


def fetch(
    entry: PublicFile,
    folder: Path | None = None,
    *,
    offline: bool = False,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
    on_note: Note = lambda text: None,
    should_stop: Callable[[], bool] = lambda: False,
    stall_seconds: float = STALL_SECONDS,
) -> Path:
    """Return the path of a public file, fetched if it is not in `folder` yet.

    A download that was stopped goes on where it stopped. A file with another hash than the
    published one is renamed to NAME.rejected and never used.

    Args:
        entry: from `engine.catalogue`.
        folder: None is `weights_folder()`.
        offline: use what is on this machine only; the switches of `is_offline` say so too.
        on_progress: called with (bytes so far, all bytes or None if unknown).
        on_note: called with a line of text for the user.
        should_stop: asked every few hundred kilobytes; True stops.
        stall_seconds: how long a server may send nothing.

    Raises:
        DownloadError: no location gave the file, the disk is full, or the network is switched off.
        Cancelled: `should_stop` said so.
    """
    folder = weights_folder() if folder is None else Path(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    target = folder / entry.file
    if target.exists() and _passes(entry, target, target, on_note):
        return target
    for cached in _in_hub_cache(entry):
        if _passes(entry, cached, target, on_note):
            on_note(f"taken from the Hugging Face cache: {cached}")
            return _link(cached, target)
    _check_reachable(entry, target, offline)
    part = folder / f"{entry.file}.part"
    transfer = Transfer(part, entry.size, stall_seconds, on_progress, should_stop)
    failures = []
    begun = [place for place in entry.locations if _address(place) == transfer.address]
    for location in dict.fromkeys((*begun, *entry.locations)):
        try:
            transfer.run(_address(location))
            _check(entry, part, target, on_note)
        except LocationError as error:
            failures.append(f"{location}: {error}")
            on_note(f"failed: {failures[-1]}")
            continue
        transfer.finish(target)
        return target
    raise DownloadError(
        f"{entry.name} could not be fetched:\n  "
        + "\n  ".join(failures)
        + f"\n{_by_hand(entry, target)}"
    )


def _check_reachable(entry: PublicFile, target: Path, offline: bool) -> None:
    if not entry.locations:
        raise DownloadError(f"{entry.name} is offered to browsers only; {_by_hand(entry, target)}")
    if offline or is_offline():
        switches = [name for name in OFFLINE_SWITCHES if os.environ.get(name)]
        raise DownloadError(
            f"{entry.name} is not at {target}, and the network is switched off "
            f"({', '.join(switches) or 'offline'}): switch it on, or copy the file there"
        )


def _by_hand(entry: PublicFile, target: Path) -> str:
    return f"open {entry.page} in a browser and save the file as {target}"


def _address(location: str) -> str:
    scheme, _, rest = location.partition(":")
    if scheme == "drive":
        return f"{DRIVE}?id={rest}&export=download"
    if scheme == "hub":
        owner, repository, path = rest.split("/", 2)
        endpoint = os.environ.get("HF_ENDPOINT") or HUB
        return f"{endpoint.rstrip('/')}/{owner}/{repository}/resolve/main/{quote(path)}"
    return location


def _in_hub_cache(entry: PublicFile) -> list[Path]:
    """Copies that `huggingface_hub` has fetched before."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    found: list[Path] = []
    for location in entry.locations:
        if location.startswith("hub:"):
            owner, repository, path = location.removeprefix("hub:").split("/", 2)
            snapshots = cache / f"models--{owner}--{repository}" / "snapshots"
            found += [p for s in sorted(snapshots.glob("*")) if (p := s / path).is_file()]
    return found


def _link(cached: Path, target: Path) -> Path:
    """Take a file over without a second copy where the disk allows it."""
    try:
        os.link(cached.resolve(), target)
    except OSError:  # another disk, or one without links
        part = target.with_name(target.name + ".part")
        shutil.copyfile(cached, part)
        part.replace(target)
    return target


def _passes(entry: PublicFile, path: Path, target: Path, on_note: Note) -> bool:
    try:
        _check(entry, path, target, on_note)
    except LocationError as error:
        on_note(str(error))
        return False
    return True


def _check(entry: PublicFile, path: Path, target: Path, on_note: Note) -> None:
    """Compare a file with what is known of it; a wrong one of ours is renamed to *.rejected."""
    try:
        check_content(entry, path)
        if not entry.has_hash and remember_hash(path, entry.file, target.parent):
            on_note(f"nobody published a hash of {entry.file}; from now on it has to stay the same")
    except LocationError as error:
        if path.parent != target.parent:
            raise
        rejected = target.with_name(target.name + ".rejected")
        path.replace(rejected)
        raise LocationError(f"{error}; it is not used, and kept as {rejected}") from error
