"""What the data doctor looks at, one thing after another; each check yields its findings.

Thresholds were set on six sets of drawings and paintings and on photos as they come.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from engine.detect import Detector
from train.data import SUFFIXES, rows_of
from train.duplicates import Duplicates
from train.features import FFHQ_POINTS
from train.findings import FINE, NOTE, STOP, WARNING, Finding

FEW, VERY_FEW = 50, 20  # exemplars; the papers have about 100 per style
UNEVEN = 3.0  # times as many pictures of one attribute as of another
NEAR_DUPLICATE = 20  # bits, see train.duplicates
# Mean distance of five landmarks from FFHQ's, in parts of the side: 0.02 in sets of drawings (97 %
# below 0.05), 0.06 in cartoon heads with other proportions, 0.17 in 20 photos as they come.
MISFRAMED = 0.1


@dataclass(frozen=True)
class Picture:
    """A picture that was read: uint8 [H, W, 3], and the side it had before it was prepared."""

    file: str
    rgb: np.ndarray
    native: int


def missing(folder: Path) -> Finding:
    """Why there are no pictures."""
    below = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES]
    if not folder.is_dir():
        return Finding("pictures", STOP, f"{folder} is not a folder", "check its name")
    where = f"none in it, {len(below)} in folders below" if below else "none in it"
    remedy = "make a set: python -m train.prepare FOLDER NEW_FOLDER, and give the new one"
    return Finding("pictures", STOP, f"no pictures: {where}", remedy)


def read_all(folder: Path, names: Sequence[str]) -> tuple[list[Picture], list[str]]:
    """The pictures that can be read, and the names of the others."""
    table = folder / "data.csv"
    rows = rows_of(table, "file") if table.is_file() else []
    native = {row["file"]: row.get("native_crop_px") or "" for row in rows}
    read, broken = [], []
    for name in names:
        try:
            with Image.open(folder / name) as picture:
                rgb = np.asarray(picture.convert("RGB"))
        except (OSError, ValueError, Image.DecompressionBombError):
            broken.append(name)
            continue
        side = native.get(name, "")
        read.append(Picture(name, rgb, int(side) if side.isdecimal() else min(rgb.shape[:2])))
    return read, broken


def unreadable(names: Sequence[str]) -> Iterator[Finding]:
    """Files that are pictures by their names only."""
    if names:
        text, remedy = f"{len(names)} pictures cannot be read", "remove them, or run train.prepare"
        yield Finding("pictures", STOP, text, remedy, tuple(names))


def count(number: int, looked_at: int, *, few_matter: bool) -> Iterator[Finding]:
    """How many pictures there are; few of them matter for a style."""
    text = f"{number} pictures"
    text += f", {looked_at} of them looked at" if looked_at < number else ""
    if few_matter and number < VERY_FEW:
        remedy = "find more: with so few the discriminator knows them by heart within minutes"
        yield Finding("count", WARNING, f"only {text}", remedy)
    elif few_matter and number < FEW:
        remedy = "it works, and 100 work better; --ada-p 0.2 helps"
        yield Finding("count", NOTE, text, remedy)
    else:
        yield Finding("count", FINE, text)


def shapes(read: Sequence[Picture]) -> Iterator[Finding]:
    """Pictures that are not square, which no recipe takes."""
    wrong = tuple(p.file for p in read if p.rgb.shape[0] != p.rgb.shape[1])
    if wrong:
        remedy = "python -m train.prepare cuts the faces out"
        yield Finding("shapes", STOP, f"{len(wrong)} pictures are not square", remedy, wrong)


def sizes(read: Sequence[Picture], resolution: int) -> Iterator[Finding]:
    """Pictures smaller than what is trained on, before they were prepared if that is known."""
    small = tuple(p.file for p in read if p.native < resolution)
    if not small:
        yield Finding("sizes", FINE, f"all have at least the {resolution} px trained on")
        return
    severity = WARNING if 2 * len(small) > len(read) else NOTE
    text = f"{len(small)} pictures are smaller than {resolution} px and will be enlarged"
    yield Finding("sizes", severity, text, "the style learns their blur: find larger ones", small)


def duplicates(read: Sequence[Picture]) -> Iterator[Finding]:
    """Copies byte for byte once decoded, and pictures that are nearly the same or mirrored."""
    seen, files, digests = Duplicates(len(read), NEAR_DUPLICATE), [], {}
    exact, near = [], []
    for picture in read:
        digest = hashlib.sha256(picture.rgb.tobytes()).digest()
        if digest in digests:
            exact.append(f"{picture.file} = {digests[digest]}")
            continue
        digests[digest] = picture.file
        place = seen.find(picture.rgb)
        if place is not None:
            near.append(f"{picture.file} ~ {files[place]}")
        seen.add(picture.rgb)
        files.append(picture.file)
    if exact:
        text, remedy = f"{len(exact)} pictures are there twice", "remove one of each"
        yield Finding("duplicates", WARNING, text, remedy, tuple(exact))
    if near:
        text, remedy = f"{len(near)} pictures resemble another closely", "look: copies count double"
        yield Finding("duplicates", NOTE, text, remedy, tuple(near))
    if not exact and not near:
        yield Finding("duplicates", FINE, "no picture is there twice")


def attributes(
    known: dict[str, str], names: Sequence[str], wanted: Sequence[str]
) -> Iterator[Finding]:
    """Whether each path has pictures, and about as many as the others."""
    counts = Counter(known.get(name, "") for name in names)
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()) if name)
    if not wanted:
        if told:
            paths = ",".join(sorted(name for name in counts if name))
            remedy = f"--attributes {paths} gives each an own path (train.transfer)"
            yield Finding("attributes", NOTE, f"the set knows {told}", remedy)
        return
    missing = [name for name in wanted if not counts[name]]
    if missing:
        text = f"no picture has the attribute {', '.join(missing)}; the set has {told or 'none'}"
        remedy = "name others, or label them: train.prepare --attributes TABLE.csv"
        yield Finding("attributes", STOP, text, remedy)
        return
    least, most = (pick(counts[name] for name in wanted) for pick in (min, max))
    if least < VERY_FEW:
        text, remedy = f"few pictures of an attribute: {told}", "find more, or train one path"
        yield Finding("attributes", WARNING, text, remedy)
    elif most > UNEVEN * least:
        text, remedy = f"attributes are uneven: {told}", "the rare one will be worse: find more"
        yield Finding("attributes", WARNING, text, remedy)
    else:
        yield Finding("attributes", FINE, f"each attribute has its pictures: {told}")


def faces(read: Sequence[Picture], detector: Detector) -> Iterator[Finding]:
    """Whether faces are found, and where FFHQ's framing puts them."""
    without, elsewhere = [], []
    for picture in read:
        found = detector(picture.rgb)
        if not found:
            without.append(picture.file)
        elif _misplaced(found[0].landmarks, picture.rgb) > MISFRAMED:
            elsewhere.append(picture.file)
    count = len(read)
    if without:
        severity = WARNING if 2 * len(without) > count else NOTE
        text = f"no face found in {len(without)} of {count} pictures looked at"
        remedy = "look at them: strong drawings are missed, other things should not be there"
        yield Finding("faces", severity, text, remedy, tuple(without))
    if elsewhere:
        severity = STOP if 2 * len(elsewhere) > count else WARNING
        text = f"{len(elsewhere)} of {count} faces are not where the base expects them"
        remedy = "python -m train.prepare cuts them out as it does"
        yield Finding("framing", severity, text, remedy, tuple(elsewhere))
    if count and not without and not elsewhere:
        yield Finding("faces", FINE, f"a face in its place in all {count} pictures looked at")


def _misplaced(landmarks: np.ndarray, rgb: np.ndarray) -> float:
    points = (landmarks[:5] + 0.5) / rgb.shape[1::-1] if len(landmarks) == 5 else None
    return 0.0 if points is None else float(np.hypot(*(points - FFHQ_POINTS).T).mean())


def spaced(items: Sequence[Any], most: int) -> list[Any]:
    """At most that many items, evenly spaced."""
    if len(items) <= most:
        return list(items)
    return [items[i * len(items) // most] for i in range(most)]
