"""The style that a training makes: its name, its zip, and its tile among those of the others."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from engine.errors import OptionError

MOST_LETTERS = 40

Tile = tuple[Path | np.ndarray, str]


def free_name(text: str | None, search: Sequence[Path]) -> tuple[str, str]:
    """Return the name of a pack and its title; raises OptionError for none, or one in use."""
    title = " ".join((text or "").split())[:MOST_LETTERS]
    if not title:
        raise OptionError("the style has no name: give it one, it is what the tabs show")
    name = plain_name(title)
    if any((folder / name).exists() for folder in search):
        raise OptionError(f"a style called {name} is here already: choose another name")
    return name, title


def plain_name(title: str) -> str:
    """Return the name of a pack for a title in any script: small letters, digits and dashes."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", letters).strip("-")
    return name or f"style-{hashlib.sha256(title.encode()).hexdigest()[:6]}"


def packed(pack: Path, shelf: Path) -> Path:
    """Return a zip of a pack's folder in `shelf`, written unless it is there."""
    shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = shelf / f"{pack.name}.zip"
    if not file.exists():
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for part in sorted(pack.iterdir()):
                archive.write(part, f"{pack.name}/{part.name}")
    return file


def loaded(tiles: Sequence[Tile]) -> list[tuple[np.ndarray, str]]:
    """Return tiles with their pictures read, uint8 [H, W, 3]: the page gives no file of a pack."""
    return [(_read(tile) if isinstance(tile, Path) else tile, title) for tile, title in tiles]


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
