"""Foreign weights into style packs: read the files, say what is in them, write the packs."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from demo.doctor.motion import import_motion
from demo.doctor.words import explain_licence
from engine.base import read_base
from engine.card import ENCODER_SPACES
from engine.catalogue import PublicFile, public_files
from engine.checkpoints import KINDS, Checkpoint, read
from engine.errors import CheckpointError, OptionError, StylizeError
from engine.importing import NewPack, Wishes, plain_name, plan, save
from engine.library import StyleLibrary
from engine.pack import EMBEDDED_PACKS, Pack, load_pack, search_folders
from engine.runtime import data_home, pick_runtime


def import_files(arguments: argparse.Namespace) -> int:
    """Turn the files of a command line into packs; return the exit code. Raises StylizeError."""
    folder = Path(arguments.out) if arguments.out else data_home() / "packs"
    library = StyleLibrary([folder, *search_folders()])
    checkpoints = [_read(path, arguments) for path in arguments.files]
    name = arguments.name or plain_name(arguments.files[0])
    licence = arguments.licence or _licence(checkpoints)
    if motion := [c for c in checkpoints if c.kind == "fomm"]:
        if len(checkpoints) > 1:
            raise OptionError(f"{motion[0].path} moves pictures: import it by itself")
        return import_motion(motion[0], name, licence, folder)
    wishes = Wishes(
        name=name,
        base=load_pack(library.find(arguments.base)) if arguments.base else None,
        attributes=tuple(name.strip() for name in arguments.attributes.split(",") if name.strip()),
        swap_resolution=arguments.swap_resolution,
        framing=arguments.framing,
        licence=licence,
    )
    packs = plan(checkpoints, wishes)
    _leave_embedded_alone(packs)
    is_new = [new.folder is None for new in packs]
    saved = save(packs, folder)
    del checkpoints, packs, wishes  # gigabytes, and the networks are built once more now
    try:
        _try_out(saved, library)
    except StylizeError:
        for pack in (pack for pack, new in zip(saved, is_new, strict=True) if new):
            shutil.rmtree(pack.folder)
        raise
    for pack in saved:
        print(f"\n{pack.card.name}: {pack.card.kind} pack in {pack.folder}")
    print(f"Licence: {explain_licence(saved[-1].card.licence)}")
    print(f"Next: {_what_next(saved[-1], library, is_elsewhere=bool(arguments.out))}")
    return 0


def _read(path: str, arguments: argparse.Namespace) -> Checkpoint:
    """Read one file; where its names fit several kinds, --kind or the name of the file tells."""
    known, is_only = _public(path), len(arguments.files) == 1
    if arguments.kind and is_only:
        checkpoint = read(path, arguments.kind)
    else:
        fallback = arguments.kind or (known.kind if known else None)
        try:
            checkpoint = read(path)
        except CheckpointError:
            if not fallback:
                raise
            checkpoint = read(path, fallback)
            print(f"{path}: taken as {fallback}, as --kind or its name says")
    parts = ", ".join(part.replace("_", " ") for part in checkpoint.parts)
    print(f"{path}: {KINDS[checkpoint.kind]}, with {parts}")
    for note in checkpoint.notes:
        print(f"  note: {note}")
    return checkpoint


def _leave_embedded_alone(packs: Sequence[NewPack]) -> None:
    for new in packs:
        if new.folder and new.folder.resolve().is_relative_to(EMBEDDED_PACKS.resolve()):
            raise OptionError(
                f"base {new.card.name} is part of the project and stays as it is; copy "
                f"{new.folder} to {data_home() / 'packs'} under another name first"
            )


def _public(path: str) -> PublicFile | None:
    """The entry of the catalogue with that file name."""
    return next((e for e in public_files().values() if e.file == Path(path).name), None)


def _licence(checkpoints: Sequence[Checkpoint]) -> str:
    """What the publishers of files with known names say; "" if nothing is known."""
    known = [(_public(c.path), c.kind) for c in checkpoints]
    found = [entry.licence for entry, kind in known if entry and entry.kind == kind]
    return "; ".join(dict.fromkeys(found))


def _try_out(packs: Sequence[Pack], library: StyleLibrary) -> None:
    """Build all networks of new packs, as for a photo."""
    runtime = pick_runtime("cpu", "float32")
    for pack in packs:
        if pack.card.kind == "base":
            read_base(pack, runtime)
        else:
            library.load(str(pack.folder.resolve()), runtime)


def _what_next(pack: Pack, library: StyleLibrary, *, is_elsewhere: bool) -> str:
    name = str(pack.folder.resolve()) if is_elsewhere else pack.card.name
    if pack.card.kind == "base":
        base, photos = name, any(pack.has(pack.card.encoder_file(s)) for s in ENCODER_SPACES)
        if photos:
            return f"a style tuned from it, python -m demo.doctor import STYLE.pt --base {name}"
    else:
        found = library.load(str(pack.folder.resolve()), pick_runtime("cpu", "float32")).base
        base, photos = found.pack.card.name, bool(found.encoders)
        if photos:
            return f"python -m demo.photo me.jpg out.png --style {name}"
    return f"photos need an encoder, python -m demo.doctor import ENCODER.pt --base {base}"
