"""Small pictures to choose from, written into a visitor's own folder: they go when it goes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from demo import visit as visits
from demo.statement import write_picture
from demo.visit import THUMBNAIL_SIDE, Visit
from engine.image import resize
from engine.provenance import GENERATED


def write_tiles(
    folder: Path,
    pictures: Iterable[np.ndarray],
    made: str | None = None,
    original: str | os.PathLike | None = None,
) -> list[str]:
    """Write pictures uint8 [H, W, 3] into `folder` under new names, and return their paths.

    `made` and `original` are for results: see `write_picture`.
    """
    paths = []
    for rgb in pictures:
        paths.append(folder / f"{secrets.token_hex(8)}.png")
        write_picture(paths[-1], rgb, None, made, original)
    return [str(path) for path in paths]


def faces(visit: Visit) -> list[str]:
    """Return a square picture per face of a photo, in the order of its portraits."""
    small = (resize(p.face.crop, THUMBNAIL_SIDE, THUMBNAIL_SIDE) for p in visit.portraits)
    return write_tiles(visit.view.parent, small)


def drawings(visit: Visit, pictures: Iterable[np.ndarray]) -> list[str]:
    """Return drawings of a visit as files; the oldest ones are forgotten as for results."""
    folder = visits.new_file(visit.folder, "tiles").parent
    return write_tiles(folder, pictures, GENERATED, visit.source)
