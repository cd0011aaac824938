"""All styles of some folders, by name; each is loaded on first use and then shared."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from engine.base import Base, read_base
from engine.card import CARD_FILE, Card
from engine.errors import PackError
from engine.pack import Pack, load_pack, read_card, search_folders
from engine.runtime import Runtime, pick_runtime
from engine.style import Style


class StyleLibrary:
    """All packs of some folders; each is loaded on first use and then shared.

    Args:
        search: folders that hold packs, the first one wins; None: `search_folders()`.
    """

    def __init__(self, search: Sequence[str | Path] | None = None) -> None:
        self.search = [Path(folder) for folder in (search_folders() if search is None else search)]
        self._loaded: dict[tuple[Path, torch.device, torch.dtype], Base | Style] = {}
        self._lock = threading.RLock()

    def packs(self) -> dict[Path, Card | PackError]:
        """Return every pack folder with its card, or with what is wrong with the card."""
        found: dict[Path, Card | PackError] = {}
        for folder in self.search:
            for path in sorted(folder.glob(f"*/{CARD_FILE}")):
                try:
                    found[path.parent] = read_card(path.parent)
                except PackError as error:
                    found[path.parent] = error
        return found

    def names(self) -> list[str]:
        """Return the names of all styles with a readable card, in the order to show them.

        Base packs are none. Of packs of one name the first one counts.
        """
        cards = [card for card in self.packs().values() if isinstance(card, Card)]
        order = {card.name: card.order for card in reversed(cards) if card.kind != "base"}
        return sorted(order, key=lambda name: (order[name], name))

    def card(self, name: str) -> Card:
        """Return the card of a style; raises PackError."""
        return read_card(self.find(name))

    def preview(self, name: str) -> Path | None:
        """Return the path of the preview picture of a style, None without one."""
        return Pack(folder := self.find(name), read_card(folder)).preview

    def find(self, name: str) -> Path:
        """Return the folder of a pack. A name with a path separator in it is a path of the user."""
        if {"/", os.sep} & set(name) or name in (".", ".."):
            return Path(name)
        for folder in self.search:
            if (folder / name / CARD_FILE).is_file():
                return folder / name
        raise PackError(
            f"no style {name!r}; there are {', '.join(self.names()) or 'none'} in "
            f"{', '.join(map(str, self.search))}: choose one of them, or name a folder as ./{name}"
        )

    def load(self, name: str, runtime: Runtime | None = None) -> Style:
        """Load a style, or return the one loaded before; raises PackError."""
        folder, runtime = self.find(name), runtime or pick_runtime()
        with self._lock:
            return self._shared(folder, runtime, self._read_style)

    def between(self, source: str, target: str, runtime: Runtime | None = None) -> Style:
        """Return the style `target` that takes its content from the generator of `source`.

        UI2I's translation between two domains fine-tuned from one base (Section III-C). Raises
        PackError where the two have different bases.
        """
        first, second = self.load(source, runtime), self.load(target, runtime)
        if first.base is not second.base:
            raise PackError(
                f"styles {source} and {target} have different bases, {first.base.pack.card.name} "
                f"and {second.base.pack.card.name}; only styles of one base translate"
            )
        return Style(second.pack, second.base, source=first)

    def base_card(self, name: str) -> Card:
        """Return the card of the base of a style; raises PackError where it is missing."""
        folder = self.find(name)
        return read_card(self._base_folder(folder, read_card(folder)))

    def _base_folder(self, style: Path, card: Card) -> Path:
        beside = style.parent / card.base["name"]
        return beside if (beside / CARD_FILE).is_file() else self.find(card.base["name"])

    def _shared(self, folder: Path, runtime: Runtime, read: Callable[[Pack, Runtime], Any]) -> Any:
        key = (folder.resolve(), runtime.device, runtime.dtype)
        if key not in self._loaded:
            self._loaded[key] = read(load_pack(folder), runtime)
        return self._loaded[key]

    def _read_style(self, pack: Pack, runtime: Runtime) -> Style:
        if pack.card.kind == "base":
            raise PackError(f"{pack.card.name} is a base pack, no style; styles: {self.names()}")
        wanted = pack.card.base.get("sha256", "")
        folder = self._base_folder(pack.folder, pack.card)
        base = self._shared(folder, runtime, read_base)
        if base.sha256 != wanted:
            raise PackError(
                f"style {pack.card.name} was trained on another base than {folder}: generator "
                f"{wanted[:12]}..., found {base.sha256[:12]}...; copy the base it belongs to"
            )
        return Style(pack, base)
