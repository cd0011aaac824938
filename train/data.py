"""Training pictures, resident in memory as uint8, and the order they are drawn in."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from engine.errors import DataError

LEAST_COLOR = 2.0  # of 255, between the means of the channels
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


@dataclass(frozen=True)
class ImageSet:
    """Aligned square pictures of one size, with an attribute name each (or none).

    images: uint8 [N, 3, S, S]; attributes: N names, "" where unknown; files: N names.
    """

    images: torch.Tensor
    attributes: tuple[str, ...]
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def is_gray(self) -> bool:
        """Whether no picture has more colour than JPEG leaves in black and white."""
        channels = self.images.float().mean(dim=(2, 3))  # [N, 3]
        return bool((channels.amax(1) - channels.amin(1)).max() < LEAST_COLOR)

    def of(self, attribute: str) -> "ImageSet":
        """The pictures of one attribute.

        Raises:
            DataError: there is none.
        """
        rows = [i for i, name in enumerate(self.attributes) if name == attribute]
        if not rows:
            raise DataError(
                f"no picture has the attribute {attribute!r}; the set has "
                f"{sorted(set(self.attributes))}: check the attribute column of its CSV file"
            )
        files = tuple(self.files[i] for i in rows)
        return ImageSet(self.images[rows], (attribute,) * len(rows), files)

    def split_off(self, count: int, seed: int) -> tuple["ImageSet", "ImageSet"]:
        """`count` pictures drawn at random, and the others.

        Raises:
            DataError: fewer than two would be left.
        """
        if count > len(self) - 2:
            raise DataError(
                f"{count} of {len(self)} pictures cannot be held out: two must be left to train on"
            )
        order = torch.randperm(len(self), generator=seeded(seed, "held out"))
        parts = (sorted(order[:count].tolist()), sorted(order[count:].tolist()))
        held, rest = (
            ImageSet(
                self.images[rows],
                tuple(self.attributes[i] for i in rows),
                tuple(self.files[i] for i in rows),
            )
            for rows in parts
        )
        return held, rest

    def to(self, device: torch.device) -> "ImageSet":
        """The same set on another device."""
        return ImageSet(self.images.to(device), self.attributes, self.files)


def load_images(folder: str | Path, size: int) -> ImageSet:
    """Read every picture of `folder`, area-resized to `size`, in order of their names.

    Attributes come from the `attribute` column of `data.csv` inside the folder or of
    `FOLDER.csv` beside it, whose `file` column names the picture.

    Raises:
        DataError: the folder is missing or empty, or a picture is broken or not square.
    """
    if not str(folder):
        raise DataError("no folder of pictures given: name one with --data")
    folder = Path(folder)
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"no pictures in {folder}; expected aligned square {', '.join(sorted(SUFFIXES))} "
            "files: make them with python -m train.prepare"
        )
    known = attributes_of(folder)
    images = np.stack([_read(file, size) for file in files])
    return ImageSet(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        tuple(known.get(file.name, "") for file in files),
        tuple(file.name for file in files),
    )


def as_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, 3, S, S] -> float32 in [-1, 1], on the same device."""
    return images.float() / 127.5 - 1


def batch_at(
    count: int, cur_nimg: int, batch: int, seed: int, mirror: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which pictures come at a point of the training: a function of its arguments alone.

    Every epoch is a fresh permutation of the (mirrored) set, so a resumed run sees the same
    pictures as one that was never stopped.

    Returns:
        (indices int64 [batch], flips bool [batch]).
    """
    positions = torch.arange(cur_nimg, cur_nimg + batch)
    total = count * (2 if mirror else 1)
    drawn = torch.empty(batch, dtype=torch.int64)
    for epoch in (positions // total).unique().tolist():
        order = torch.randperm(total, generator=seeded(seed, "epoch", epoch))
        inside = positions // total == epoch
        drawn[inside] = order[positions[inside] % total]
    return drawn % count, drawn >= count


def draw(data: ImageSet, cur_nimg: int, batch: int, seed: int, mirror: bool = True) -> torch.Tensor:
    """The batch at a point of the training, float [batch, 3, S, S] in [-1, 1]."""
    device = data.images.device
    index, flip = (sent(t, device) for t in batch_at(len(data), cur_nimg, batch, seed, mirror))
    x = as_float(data.images[index])
    return torch.where(flip[:, None, None, None], x.flip(3), x)


def sent(drawn: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor of the CPU on another device, without waiting for what that is doing."""
    return drawn.to(device, non_blocking=True)


def seeded(*parts: int | str) -> torch.Generator:
    """A CPU random generator that depends on `parts` alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "little"))


def rows_of(table: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file that must have these columns.

    Raises:
        DataError: a column is missing.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a BOM
        reader = csv.DictReader(file)
        missing: Sequence[str] = [c for c in columns if c not in (reader.fieldnames or ())]
        if missing:
            raise DataError(f"{table} has no column {missing}; it has {reader.fieldnames}")
        return list(reader)


def attributes_of(folder: Path) -> dict[str, str]:
    """File name -> attribute, "" if unknown; raises DataError as `known_of`."""
    return {file: row.get("attribute") or "" for file, row in known_of(folder).items()}


def known_of(folder: Path) -> dict[str, dict[str, str]]:
    """File name -> what is known of it, from data.csv inside a folder or FOLDER.csv beside it.

    Raises:
        DataError: the table has no column `file`.
    """
    for table in (folder / "data.csv", folder.with_suffix(".csv")):
        if table.is_file():
            return {Path(row["file"]).name: row for row in rows_of(table, "file")}
    return {}


def _read(file: Path, size: int) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            picture = picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(
            f"{file} cannot be read ({error}): remove it, or run train.prepare"
        ) from error
    if picture.width != picture.height:
        raise DataError(
            f"{file} is {picture.width}x{picture.height}; aligned pictures are square: "
            "run python -m train.prepare on the folder"
        )
    if picture.width != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)
