"""What an import is asked for, what it is going to write, and writing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from engine.card import GENERATOR_FILE, Card
from engine.errors import OptionError
from engine.pack import Pack, save_pack

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Wishes:
    """What the user says about an import.

    Attributes:
        name: of the new pack; a base that is made with a style is called NAME-base.
        base: the base that the files belong to, None for a new one.
        attributes: names of the attribute paths, in their order; () are those the file knows.
        swap_resolution: makes the style take its content as features at that size (UI2I).
        framing: what a new base draws, see `Card`.
        licence: of the weights, as their publisher wrote.
    """

    name: str
    base: Pack | None = None
    attributes: tuple[str, ...] = ()
    swap_resolution: int | None = None
    framing: str = "ffhq"
    licence: str = ""


@dataclass(frozen=True)
class NewPack:
    """A pack to write: `folder` is that of a pack that gets further files, None for a new one.

    The card of a style that is made together with its base names it without sha256: `save` knows.
    """

    card: Card
    files: Mapping[str, State]
    folder: Path | None = None


def save(packs: Sequence[NewPack], folder: Path) -> list[Pack]:
    """Write planned packs into `folder`, as float32; raises PackError, OptionError."""
    for new in packs:
        if new.folder is None and (folder / new.card.name).exists():
            raise OptionError(
                f"{folder / new.card.name} exists already; choose another --name, or delete it"
            )
    saved: dict[str, Pack] = {}
    for new in packs:
        card, base = new.card, saved.get((new.card.base or {}).get("name", ""))
        if base is not None:
            card = replace(card, base=reference(base))
        target = new.folder or folder / card.name
        saved[card.name] = save_pack(target, card, new.files, half=False)
    return list(saved.values())


def reference(base: Pack) -> dict[str, str]:
    """How the card of a style names its base."""
    return {"name": base.card.name, "sha256": base.card.files[GENERATOR_FILE]}
