"""Style packs on disk: a folder with `style.json` (the card), `*.safetensors` and `preview.jpg`.

Reading executes nothing and trusts nothing: names are plain file names, and every file is compared
with its sha256 in the card before a tensor of it is used.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as bytes_from_tensors

from engine.errors import OptionError, PackError
from engine.options import StylizeOptions

FORMAT_VERSION = 1
CARD_FILE, PREVIEW_FILE, GENERATOR_FILE = "style.json", "preview.jpg", "generator.safetensors"
EMBEDDED_PACKS = Path(__file__).parent / "packs"
KINDS = ("base", "blended", "swapped")
ENCODER_SPACES = ("z+",)
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(safetensors|jpg)")
_SHA256 = re.compile(r"[0-9a-f]{64}")

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Card:
    """What `style.json` says about a pack.

    Attributes:
        name: plain lower-case name, that of the folder; `title` is for people.
        kind: "base" (encoder and source generator that styles share), "blended" or "swapped".
        resolution, channels, num_ws: layout of the generator; channels per resolution.
        base: for a style, {"name": ..., "sha256": of the base's generator.safetensors}. A style
            hangs on that network alone: the encoder or the detector may be retrained under it.
        swap_resolution: for "swapped", where the content's features are handed over, in pixels.
        defaults: fields of StylizeOptions that this style changes; `attribute` is the path taken
            when the user names none.
        attributes: names of the attribute paths, in the order of their weights.
        training: record of the training: counts and licence of the data, images seen, metrics.
        files: file name -> sha256.
    """

    name: str
    kind: str
    resolution: int
    num_ws: int
    channels: Mapping[int, int]
    title: str = ""
    method: str = ""
    base: Mapping[str, str] | None = None
    encoder_space: str = "z+"
    swap_resolution: int | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    attributes: tuple[str, ...] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        try:
            channels = {int(size): int(count) for size, count in self.channels.items()}
            object.__setattr__(self, "channels", channels)
            object.__setattr__(self, "attributes", tuple(self.attributes))
            self._check_names()
            self._check_kind()
            self.options()
        except (TypeError, ValueError, AttributeError, OptionError) as error:
            raise PackError(f"the card of {self.name!r} is not valid: {error}") from error

    def _check_names(self) -> None:
        if not _PLAIN_NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}; small letters, digits, _ and - are accepted")
        for name, digest in self.files.items():
            if not _PLAIN_FILE.fullmatch(name):
                raise ValueError(f"file {name!r} is no plain *.safetensors or *.jpg name")
            if not _SHA256.fullmatch(digest):
                raise ValueError(f"sha256 of {name} is {digest!r}; 64 hex digits are accepted")
        if self.base and not _PLAIN_NAME.fullmatch(self.base["name"]):
            raise ValueError(f"base is {self.base['name']!r}; a plain pack name is accepted")

    def _check_kind(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; accepted are {', '.join(KINDS)}")
        if self.encoder_space not in ENCODER_SPACES:
            accepted = ", ".join(ENCODER_SPACES)
            raise ValueError(f"encoder_space is {self.encoder_space!r}; accepted: {accepted}")
        if (self.kind == "base") != (self.base is None):
            raise ValueError("a style names its base pack, a base pack has none")
        if self.kind == "swapped" and self.swap_resolution not in self.channels:
            raise ValueError(
                f"swap_resolution is {self.swap_resolution}; one of channels is needed"
            )
        if self.default_attribute is not None and self.default_attribute not in self.attributes:
            raise ValueError(f"default attribute {self.default_attribute!r} is none of attributes")

    @property
    def default_attribute(self) -> str | None:
        """The attribute path taken when the user names none; None for a style without paths."""
        first = self.attributes[0] if self.attributes else None
        return self.defaults.get("attribute") or first

    def options(self) -> StylizeOptions:
        """Return the default options of this style."""
        return StylizeOptions.from_dict(self.defaults)

    def path_of(self, attribute: str | None) -> int:
        """Return the index of an attribute path; None is the default one. Raises OptionError."""
        name = self.default_attribute if attribute is None else attribute
        if name is None:
            return 0
        if name not in self.attributes:
            accepted = ", ".join(self.attributes) or "none"
            raise OptionError(
                f"attribute is {name!r}; style {self.name} has {accepted}: change --attribute"
            )
        return self.attributes.index(name)

    @property
    def sha256(self) -> str:
        """One hash for the whole pack: that of its sorted file hashes."""
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def to_json(self) -> str:
        """Return the text of `style.json`."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


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
        content = _checked_bytes(self.folder, self.card, file)
        try:
            return tensors_from_bytes(content)
        except SafetensorError as error:
            raise PackError(f"{self.folder / file} is no safetensors file: {error}") from error

    @property
    def preview(self) -> Path | None:
        """Path of the preview picture, if the pack has one."""
        return self.folder / PREVIEW_FILE if self.has(PREVIEW_FILE) else None


def search_folders() -> list[Path]:
    """Return where packs are looked for: `$STYLIZE_HOME/packs`, then those of the project."""
    return [_home() / "packs", EMBEDDED_PACKS]


def read_card(folder: Path) -> Card:
    """Read `style.json` of a pack without touching its weights; raises PackError."""
    path = Path(folder) / CARD_FILE
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PackError(f"{path} is missing; a style pack is a folder with that file") from error
    except (OSError, ValueError, RecursionError) as error:
        raise PackError(f"{path} cannot be read as JSON: {error}; copy the pack again") from error
    return _card_from_values(values, path)


def load_pack(folder: str | Path) -> Pack:
    """Read a pack and compare every file with its sha256; raises PackError."""
    folder = Path(folder)
    card = read_card(folder)
    for file in card.files:
        _checked_bytes(folder, card, file)
    return Pack(folder, card)


def save_pack(
    folder: str | Path,
    card: Card,
    states: Mapping[str, Mapping[str, torch.Tensor]],
    preview: np.ndarray | None = None,
) -> Pack:
    """Write a pack: tensors as float16, the preview (uint8 RGB [H, W, 3]), then the card.

    `card.files` is filled in here; files of an older pack in the same folder that are not in
    `states` are taken over. Every file appears whole or not at all, the card last.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    contents = {file: bytes_from_tensors(_halved(state)) for file, state in states.items()}
    if preview is not None:
        contents[PREVIEW_FILE] = _jpeg(preview)
    is_update = (folder / CARD_FILE).exists()
    files = dict(read_card(folder).files) if is_update else {}
    files |= {file: hashlib.sha256(content).hexdigest() for file, content in contents.items()}
    card = replace(card, files=files)
    for file, content in contents.items():
        _write_whole(folder / file, content)
    _write_whole(folder / CARD_FILE, card.to_json().encode())
    return load_pack(folder)


def _home() -> Path:
    if os.environ.get("STYLIZE_HOME"):
        return Path(os.environ["STYLIZE_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "stylize"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "stylize"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "stylize"


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


def _checked_bytes(folder: Path, card: Card, file: str) -> bytes:
    path = folder / file
    if file not in card.files:
        raise PackError(f"{file} is not in the card of pack {card.name}; it has {list(card.files)}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PackError(
            f"{path} cannot be read ({error.strerror}); copy pack {card.name} again"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.files[file]:
        raise PackError(
            f"{path} was altered or is incomplete: sha256 {found[:12]}..., the card says "
            f"{card.files[file][:12]}...; copy pack {card.name} again"
        )
    return content


def _halved(state: Mapping[str, torch.Tensor]) -> State:
    """Floats as float16 where their values survive it; each tensor in memory of its own."""
    layout = torch.contiguous_format
    return {k: _halve(v.detach().cpu()).clone(memory_format=layout) for k, v in state.items()}


def _halve(value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return value
    half = value.half()
    return half if half.isfinite().all() else value.float()


def _jpeg(rgb: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _write_whole(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PackError(f"{path} cannot be written: {error.strerror}; free some space") from error
