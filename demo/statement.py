"""What a result says about how it was made: written into it, and read back in plain words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine import credentials, provenance
from engine.provenance import COMPOSITE, GENERATED, Mark

if TYPE_CHECKING:
    import numpy as np

    from engine.credentials import Credentials

SOURCES = {
    GENERATED: "drawn as a whole by a trained network",
    COMPOSITE: "a photo or clip with parts that a trained network drew",
    "digitalCapture": "taken with a camera",
    "humanEdits": "a photo that a person edited",
    "digitalCreation": "made by a person with a program",
    "algorithmicMedia": "made by a program without training",
}
SILENT = "the file does not say; that proves nothing, since statements are easily removed"


def write_picture(
    path: Path,
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    source: str | None = COMPOSITE,
    original: str | os.PathLike | None = None,
) -> None:
    """Write a result as PNG with its statement, signed where a key is configured.

    Every picture that leaves goes through here. `$STYLIZE_MARK=off` leaves out both.

    Args:
        path, rgb, alpha: as of `engine.image.write_png`.
        source: GENERATED for a crop, COMPOSITE for a photo with drawn faces in it, None for a
            photo in which nothing was drawn: it gets no statement.
        original: the file of the photo; its own credentials are kept in those of the result.

    Raises:
        ImageError: it cannot be written, or not signed with the key.
    """
    from engine.image import write_png

    is_marked = source is not None and provenance.is_wanted()
    write_png(path, rgb, alpha, xmp=provenance.xmp_packet(source) if is_marked else None)
    if is_marked and credentials.is_configured():
        credentials.sign(path, source, original)


def mark_film(
    path: Path, source: str = COMPOSITE, original: str | os.PathLike | None = None
) -> None:
    """Give a finished film its statement, signed where a key is configured; MP4 and MOV only.

    Arguments and errors as of `write_picture`.
    """
    is_marked = provenance.is_wanted() and provenance.mark_movie(path, source)
    if is_marked and credentials.is_configured():
        credentials.sign(path, source, original)


def read_statement(path: Path) -> list[tuple[str, str]]:
    """Read what a picture or clip says, as (question, answer in plain words); raises ImageError.

    The answers quote the file, which may hold anything: escape them.
    """
    mark = provenance.read_mark(path)
    return [
        ("Made", _made(mark.source)),
        ("Program", mark.tool or "not named"),
        *_signed(path, mark),
    ]


def _made(source: str | None) -> str:
    if source is None:
        return SILENT
    return f"{SOURCES[source]} ({source})" if source in SOURCES else source


def _signed(path: Path, mark: Mark) -> Iterator[tuple[str, str]]:
    found = credentials.read_credentials(path)
    if found is None:
        unread = "there are some, unread: pip install c2pa-python"
        yield "Content credentials", unread if mark.has_c2pa else "none"
        return
    yield "Content credentials", _verdict(found)
    yield "Signed by", f"{found.signer}, {_trust(found)}"
    if found.source != mark.source:
        yield "Signed statement", _made(found.source)
    if found.ingredients:
        yield "Made from", ", ".join(found.ingredients)


def _verdict(found: Credentials) -> str:
    if found.is_intact:
        return "intact: nothing changed since they were signed"
    return "BROKEN: the file was changed after it was signed"


def _trust(found: Credentials) -> str:
    if found.is_trusted:
        return "whom this machine trusts"
    return "whom this machine does not know: anyone can sign under any name"
