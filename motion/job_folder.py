"""What a job keeps on disk, so that a killed one goes on where it was.

    OUT.mp4.job/job.json                 what is made: input, packs and options; never changes
    OUT.mp4.job/segments/000000.mp4 ...  finished parts of about two seconds
    OUT.mp4.job/state.safetensors        after each segment: the next frame, what was learned
    OUT.mp4.job/lock                     held by the process that works on it, freed when that ends

A file is whole or not there, and a segment counts only once the state says so: one that was being
written when the power went is written again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from engine.errors import MediaError, OptionError

READ_BYTES = 1 << 20
LOCK = "lock"


@dataclass(frozen=True)
class State:
    """Where a job stands after its last whole segment.

    Attributes:
        segments: how many are finished.
        written: frames in the finished segments; the next one to read from the input.
        end: seconds of the clip at which the last of them ends.
        untouched: (first, last) numbers of the frames in them that had no face.
        stabilizer: that of `motion.temporal`, tensors and JSON values; {} at the beginning.
    """

    segments: int = 0
    written: int = 0
    end: float = 0.0
    untouched: tuple[tuple[int, int], ...] = ()
    stabilizer: Mapping[str, Any] = field(default_factory=dict)


class JobFolder:
    """The folder of one job. `suffix` is that of the result and of all segments, as in ".mp4"."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder, self.suffix = folder, suffix

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes out as long as this one is in here; whatever ends it frees the lock.

        Raises:
            OptionError: another process, or another thread, is making the same film.
            MediaError: the folder cannot be made.
        """
        lock = FileLock(self.folder / LOCK, timeout=0)
        with _explained(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire()
            except Timeout as error:
                raise OptionError(
                    f"{self.folder} is in use: the same film is being made by another process; "
                    "wait for it, or choose another place for this one"
                ) from error
        try:
            yield
        finally:
            self._remove_lock()  # while it is held: nobody else can have it
            lock.release()
            self._remove_lock()  # Windows keeps a file that is open

    def _remove_lock(self) -> None:
        """Leave no trace where nothing else is in the folder."""
        with suppress(OSError):
            if [path.name for path in self.folder.iterdir()] == [LOCK]:
                (self.folder / LOCK).unlink()
                self.folder.rmdir()

    def open(self, identity: Mapping[str, Any]) -> State:
        """Begin the job, or go on with it where it is the same.

        Raises:
            OptionError: the folder belongs to a job with another input, style or option.
            MediaError: the folder cannot be made or read.
        """
        path = self.folder / "job.json"
        with _explained(self.folder):
            self.segment(0).parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                _write_whole(path, lambda part: part.write_text(_json(identity), "utf-8"))
            for unfinished in self.segment(0).parent.glob(".*"):  # of a run that was killed
                unfinished.unlink()
        self._check(identity)
        return self._read_state()

    def segment(self, number: int) -> Path:
        """Path of one segment."""
        return self.folder / "segments" / f"{number:06d}{self.suffix}"

    def segments(self, count: int) -> list[Path]:
        """Paths of the first `count` segments."""
        return [self.segment(number) for number in range(count)]

    def save(self, state: State) -> None:
        """Write the state, whole or not at all; raises MediaError (disk full)."""
        is_tensor = {k: isinstance(v, torch.Tensor) for k, v in state.stabilizer.items()}
        tensors = {k: v.contiguous() for k, v in state.stabilizer.items() if is_tensor[k]}
        values = {k: v for k, v in state.stabilizer.items() if not is_tensor[k]}
        metadata = {"state": json.dumps({**vars(state), "stabilizer": values})}
        path = self.folder / "state.safetensors"
        with _explained(path):
            _write_whole(path, lambda part: save_file(tensors, part, metadata))

    def remove(self) -> None:
        """Delete all that is in the folder; it goes itself when it is not `locked` any more."""
        shutil.rmtree(self.folder / "segments", ignore_errors=True)
        for name in ("job.json", "state.safetensors"):
            (self.folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def _check(self, identity: Mapping[str, Any]) -> None:
        path = self.folder / "job.json"
        try:
            begun = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise MediaError(f"{path} cannot be read ({error}): delete {self.folder}") from error
        now = json.loads(_json(identity))
        changed = _differences(begun, now)
        if changed:
            raise OptionError(
                f"{self.folder} holds an unfinished job with {'; '.join(changed)}: repeat it with "
                "what it was begun with, or start over with --no-resume"
            )

    def _read_state(self) -> State:
        path = self.folder / "state.safetensors"
        if not path.exists():
            return State()
        try:
            with safe_open(path, framework="pt") as stored:
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}
                values = json.loads(stored.metadata()["state"])
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise MediaError(
                f"{path} is broken ({error}): start the job over with --no-resume"
            ) from error
        values["untouched"] = tuple((first, last) for first, last in values["untouched"])
        values["stabilizer"] |= tensors
        return State(**values)


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file in hex digits; raises MediaError."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(READ_BYTES):
                digest.update(block)
    except OSError as error:
        raise MediaError(f"cannot read {path}: {error.strerror}; choose another file") from error
    return digest.hexdigest()


def _differences(begun: Any, now: Any, name: str = "") -> list[str]:
    """List what differs between two JSON values as "NAME 0.8 (now 1.0)"."""
    if isinstance(begun, dict) and isinstance(now, dict):
        names = sorted(begun.keys() | now.keys())
        return [line for n in names for line in _differences(begun.get(n), now.get(n), n)]
    if begun == now:
        return []
    shown = [f"{value[:12]}..." if _is_hash(value) else value for value in (begun, now)]
    return [f"{name} {shown[0]} (now {shown[1]})"]


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def _write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(
            f"cannot write {path}: {reason}; make room and run again: finished parts are kept"
        ) from error
