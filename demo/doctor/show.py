"""A style pack explained: what it is, what it was trained on, and what one may do with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

from demo.doctor.words import explain_licence, record_rows, size_in_words, table
from engine.card import Card
from engine.errors import PackError
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.pack import load_pack, read_card

KINDS = {
    "base": "base pack: the generator of photos that styles share, with its encoders",
    "blended": "style: the codes of the photo are drawn by the style's generator",
    "swapped": "style: features of the photo take the place of the style's own",
}
SPACES = {
    "z+": "Z+ (one z per layer)",
    "z": "Z (one z for all layers)",
    "w+": "W+ (one w per layer)",
    "w": "W (one w for all layers)",
}
Rows = Iterator[tuple[str, str]]


def show(name: str, packs: str | None = None) -> int:
    """Print everything about a pack; return 0 if all its files are as the card says, else 1.

    Raises PackError where there is no such pack, or its card cannot be read.
    """
    library = StyleLibrary([packs] if packs else None)
    folder = library.find(name)
    card = read_card(folder)
    files, is_whole = _files(folder, card)
    print(f"{card.name}: {card.title or card.name}")
    _section("", _about(card, folder, library))
    _section("Files", files)
    print(f"\nLicence\n  {explain_licence(card.licence)}")
    _section("Training", record_rows(card.training))
    _section("Settings it changes", _defaults(card))
    print(f"\nHow to use it\n  {_usage(card, packs)}")
    return 0 if is_whole else 1


def _section(title: str, rows: Rows) -> None:
    if lines := list(rows):
        print(f"\n{title}" if title else "")
        print(table([("", *row) for row in lines]))


def _about(card: Card, folder: Path, library: StyleLibrary) -> Rows:
    yield "kind", KINDS[card.kind]
    yield "method", card.method or "not stated"
    yield "picture", f"{card.resolution} x {card.resolution} px, {card.num_ws} layers of codes"
    yield "faces", "in FFHQ's framing" if card.framing == "ffhq" else "the central square"
    if card.kind == "base":
        present = [space for space in SPACES if card.encoder_file(space) in card.files]
        yield "encoders", ", ".join(SPACES[space] for space in present) or "none"
    else:
        yield "codes", SPACES[card.encoder_space]
        yield "base", _base(card, folder, library)
    if card.attributes:
        names = ", ".join(card.attributes)
        yield "attributes", f"{names}; {card.default_attribute} if you name none"
    if card.swap_resolution:
        yield "swapped at", f"{card.swap_resolution} px"
    if card.conv_clamp:
        yield "clamped at", f"{card.conv_clamp:g}"
    yield "folder", str(folder)
    yield "pack hash", card.sha256


def _base(card: Card, folder: Path, library: StyleLibrary) -> str:
    name, wanted = card.base["name"], card.base.get("sha256", "")
    beside = folder.parent / name
    try:
        place = beside if (beside / "style.json").is_file() else library.find(name)
        found = read_card(place).files.get("generator.safetensors", "")
    except PackError:
        return f"{name}, which is MISSING here: copy it beside this pack"
    fits = "fits" if found == wanted else "is ANOTHER ONE than this style was trained on"
    return f"{name} at {place}, {fits}"


def _files(folder: Path, card: Card) -> tuple[Rows, bool]:
    """Rows of (file, size and hash), and whether every file is as the card says."""
    try:
        load_pack(folder)
        complaint = ""
    except PackError as error:
        complaint = str(error)
    rows = []
    for file, digest in card.files.items():
        path = folder / file
        size = size_in_words(path.stat().st_size) if path.is_file() else "missing"
        rows.append((file, f"{size:>11}  sha256 {digest[:12]}..."))
    rows.append(("all hashes are right" if not complaint else f"BROKEN: {complaint}", ""))
    return iter(rows), not complaint


def _defaults(card: Card) -> Rows:
    plain, own = StylizeOptions(), card.options()
    for option in fields(StylizeOptions):
        before, after = getattr(plain, option.name), getattr(own, option.name)
        if before != after:
            flag = option.name.replace("_", "-")
            yield f"--{flag}", f"{after} instead of {before}"


def _usage(card: Card, packs: str | None) -> str:
    where = f" --packs {packs}" if packs else ""
    if card.kind == "base":
        return f"not by itself: its styles use it; train one with train.transfer --base {card.name}"
    path = f" --attribute {card.attributes[0]}" if card.attributes else ""
    return f"python -m demo.photo me.jpg out.png --style {card.name}{path}{where}"
