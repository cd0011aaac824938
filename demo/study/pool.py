"""The pictures of a study: one folder per method with the same names, their photos and styles."""

from __future__ import annotations

import base64
import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from demo.jobs import find_photos
from engine.errors import OptionError
from engine.image import read_photo, resize
from engine.png import encode_png

STYLES_SHOWN = 3
Files = Mapping[str, Path]


@dataclass(frozen=True)
class Pool:
    """`methods` by name, each the files of the pictures `names`; photos and styles may be empty.

    `notes` are things the person who runs the study should know, in plain words.
    """

    names: tuple[str, ...]
    methods: Mapping[str, Files]
    photos: Files
    styles: Files
    notes: tuple[str, ...] = ()

    def fingerprint(self, *settings: object) -> str:
        """Return what tells this study from every other: a hash of pictures and settings."""
        digest = hashlib.sha256(repr(settings).encode())
        for method, files in sorted(self.methods.items()):
            for name in self.names:
                digest.update(f"\n{method}\0{name}\0".encode())
                digest.update(hashlib.sha256(files[name].read_bytes()).digest())
        return digest.hexdigest()[:16]

    def styles_for(self, name: str) -> list[Path]:
        """Return the style picture of the same name, else a few of all, the same every time."""
        if name in self.styles:
            return [self.styles[name]]
        files = sorted(self.styles.values())
        return random.Random(name).sample(files, min(STYLES_SHOWN, len(files)))


def open_pool(folders: Sequence[str], photos: str | None, styles: str | None) -> Pool:
    """Return the pool of the pictures that all folders have; raises OptionError.

    A folder is given as FOLDER or as METHOD=FOLDER; a.png and a.jpg are the same picture.
    """
    methods = dict(_method(folder) for folder in folders)
    if len(methods) < len(folders):
        raise OptionError(
            f"two of {', '.join(folders)} have the same name; a different name for each is "
            "accepted: write METHOD=FOLDER"
        )
    parts = {**methods, **({"the photos": _files(photos)} if photos else {})}
    names = set.intersection(*(set(files) for files in parts.values()))
    if not names:
        counts = ", ".join(f"{name} has {len(files)}" for name, files in parts.items())
        raise OptionError(
            f"no picture name is in all folders ({counts}); results of the same photos under the "
            "same names are accepted"
        )
    notes = [
        f"{name}: {len(files) - len(names)} pictures are left out, the others lack them"
        for name, files in parts.items()
        if len(files) > len(names)
    ]
    shown = _files(styles) if styles else {}
    return Pool(tuple(sorted(names)), methods, parts.get("the photos", {}), shown, tuple(notes))


def embed(path: Path, side: int) -> str:
    """Return a picture as a data URI: no name, no metadata, its longer side `side` px.

    Every method's result is brought to the same size, so that none is known by it.
    """
    photo = read_photo(path)
    height, width = (
        max(1, round(n * side / max(photo.rgb.shape[:2]))) for n in photo.rgb.shape[:2]
    )
    rgb = photo.rgb
    if photo.alpha is not None:
        share = photo.alpha[..., None] / 255.0
        rgb = np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8)
    data = encode_png(resize(rgb, height, width))
    return "data:image/png;base64," + base64.b64encode(data).decode("ascii")


def _method(folder: str) -> tuple[str, Files]:
    name, equals, path = folder.partition("=")
    if not equals or Path(folder).is_dir():
        name, path = Path(folder).resolve().name, folder
    return name, _files(path)


def _files(folder: str) -> Files:
    if not Path(folder).is_dir():
        raise OptionError(f"{folder} is no folder; a folder of pictures is accepted")
    files: dict[str, Path] = {}
    for path in find_photos(folder)[1]:
        if path.stem in files:
            raise OptionError(
                f"{folder} has {files[path.stem].name} and {path.name}; one picture per name is "
                "accepted: move one of them away"
            )
        files[path.stem] = path
    return files
