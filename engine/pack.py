"""Style packs on disk: a folder with `style.json` (the card), `*.safetensors` and `preview.jpg`.

Reading executes nothing and trusts nothing: names are plain file names, and every file is compared
with its sha256 in the card before a tensor of it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.card import CARD_FILE, FORMAT_VERSION, PREVIEW_FILE, Card
from engine.eight_bits import from_eight_bits
from engine.errors import PackError
from engine.runtime import data_home

EMBEDDED_PACKS = Path(__file__).parent / "packs"

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Pack:
    """A pack whose files have been checked against its card."""

    folder: Path
    card: Card

    def has(self, file: str) -> bool:
        """Tell whether the card lists `file`."""
        return file in self.card.files

    def state(self, file: str) -> State:
        """Read the tensors of one file, as stored; raises PackError. The hash is checked again."""
        return read_tensors(self.folder, self.card.files, file)

    @property
    def preview(self) -> Path | None:
        """Path of the preview picture, if the pack has one."""
        return self.folder / PREVIEW_FILE if self.has(PREVIEW_FILE) else None


def search_folders() -> list[Path]:
    """Return where packs are looked for: `$STYLIZE_HOME/packs`, then those of the project."""
    return [data_home() / "packs", EMBEDDED_PACKS]


def read_card(folder: Path) -> Card:
    """Read `style.json` of a pack without touching its weights; raises PackError."""
    path = Path(folder) / CARD_FILE
    return _card_from_values(read_values(path, "style pack"), path)


def read_values(path: Path, kind: str) -> Any:
    """Read the JSON of a card; `kind` is what its folder would be. Raises PackError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PackError(f"{path} is missing; a {kind} is a folder with that file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise PackError(f"{path} cannot be read as JSON: {error}; copy the pack again") from error


def load_pack(folder: str | Path) -> Pack:
    """Read a pack and compare every file with its sha256; raises PackError."""
    folder = Path(folder)
    card = read_card(folder)
    for file in card.files:
        _check_file(folder, card.files, file)
    return Pack(folder, card)


def save_pack(
    folder: str | Path,
    card: Card,
    states: Mapping[str, Mapping[str, torch.Tensor]],
    preview: np.ndarray | None = None,
    *,
    half: bool = True,
) -> Pack:
    """Write a pack: tensors, the preview (uint8 RGB [H, W, 3]), then the card.

    `half` stores floats as float16; weights of others are kept as they are with False.

    `card.files` is filled in here; files of an older pack in the same folder that are not in
    `states` are taken over. Every file appears whole or not at all, the card last.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    is_update = (folder / CARD_FILE).exists()
    files = dict(read_card(folder).files) if is_update else {}
    with whole_files(folder) as parts:
        for file, state in states.items():  # one at a time: the largest have more than a gigabyte
            save_tensors(state, parts(file), half=half)
        if preview is not None:
            Image.fromarray(preview).save(parts(PREVIEW_FILE), "JPEG", quality=90)
        written = [*states, *([PREVIEW_FILE] if preview is not None else [])]
        files |= {file: sha256_of(parts(file)) for file in written}
        card = replace(card, files=files)
        parts(CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    return load_pack(folder)


@contextmanager
def whole_files(folder: Path) -> Iterator[Callable[[str], Path]]:
    """Give the place to write each file to; they take their names once all are complete."""
    names: list[str] = []

    def part(file: str) -> Path:
        if file not in names:
            names.append(file)
        return folder / f"{file}.part"

    try:
        yield part
        for name in names:
            os.replace(part(name), folder / name)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PackError(f"{folder} cannot be written: {reason}; free some space") from error
    finally:
        for name in names:
            part(name).unlink(missing_ok=True)


def _card_from_values(values: Any, path: Path) -> Card:
    if not isinstance(values, dict):
        raise PackError(f"{path} holds {type(values).__name__}; a JSON object is accepted")
    version = values.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise PackError(
            f"{path} has format version {version!r}; this program reads up to {FORMAT_VERSION}: "
            "update the program"
        )
    known = {f.name for f in fields(Card)}
    unknown = sorted(set(values) - known)
    missing = sorted({"name", "kind", "resolution", "num_ws", "channels"} - set(values))
    if unknown or missing:
        raise PackError(f"{path}: unknown entries {unknown}, missing entries {missing}")
    return Card(**values)


def read_tensors(folder: Path, files: Mapping[str, str], file: str) -> State:
    """Read the tensors of one file of a pack whose card has `files`: names -> sha256.

    Weights kept in 8 bits come as float32. Raises PackError where the file is missing, altered, or
    holds no tensors.
    """
    path = _check_file(folder, files, file)
    try:
        return from_eight_bits(load_file(path))
    except SafetensorError as error:
        raise PackError(f"{path} is no safetensors file: {error}") from error


def _check_file(folder: Path, files: Mapping[str, str], file: str) -> Path:
    """Return the path of a file whose hash is that in the card; raises PackError."""
    path = folder / file
    if file not in files:
        raise PackError(f"{file} is not in the card of pack {folder.name}; it has {list(files)}")
    try:
        found = sha256_of(path)
    except OSError as error:
        raise PackError(
            f"{path} cannot be read ({error.strerror}); copy pack {folder.name} again"
        ) from error
    if found != files[file]:
        raise PackError(
            f"{path} was altered or is incomplete: sha256 {found[:12]}..., the card says "
            f"{files[file][:12]}...; copy pack {folder.name} again"
        )
    return path


def sha256_of(path: Path) -> str:
    """Return the hash of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_tensors(
    state: Mapping[str, torch.Tensor],
    path: Path,
    *,
    half: bool,
    metadata: dict[str, str] | None = None,
) -> None:
    """Save a safetensors file with the rights new files have here: the library's own is 0600.

    `half` stores floats as float16 where they survive that.
    """
    path.touch()
    rights = path.stat().st_mode
    save_file(_stored(state, half), path, metadata)
    path.chmod(rights)


def _stored(state: Mapping[str, torch.Tensor], half: bool) -> State:
    """Tensors as they are written, each in memory of its own; `half`: float16 if they survive."""
    convert, layout = _halve if half else torch.Tensor.detach, torch.contiguous_format
    return {k: convert(v.detach().cpu()).clone(memory_format=layout) for k, v in state.items()}


def _halve(value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value.float()
