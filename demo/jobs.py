"""Which photos or clips a command line means, and where their results go."""

from __future__ import annotations

import glob
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.errors import OptionError

PICTURE_SUFFIXES = frozenset(".jpg .jpeg .png .webp .heic .heif .avif .bmp .tif .tiff .gif".split())
CLIP_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .ogv .gif .webp".split()
)


@dataclass(frozen=True)
class Medium:
    """What is read and written: `endings` are those a result may have, the first by default."""

    name: str
    suffixes: frozenset[str]
    endings: tuple[str, ...]


PHOTOS = Medium("photo", PICTURE_SUFFIXES, (".png",))
CLIPS = Medium("clip", CLIP_SUFFIXES, (".mp4", ".mov", ".mkv", ".webm"))


@dataclass(frozen=True)
class Job:
    """One photo or clip to read and the file to write."""

    source: Path
    target: Path

    @property
    def sidecar(self) -> Path:
        """The JSON file beside the result."""
        return self.target.with_suffix(".json")


def find_photos(pattern: str, medium: Medium = PHOTOS) -> tuple[Path, list[Path]]:
    """Return (root, photos or clips) of a file, a folder (not its sub-folders) or a glob, sorted.

    Raises OptionError if there is none.
    """
    path = Path(pattern)
    if path.is_file():
        return path.parent, [path]
    if path.is_dir():
        root, found = path, path.iterdir()
    else:
        fixed = [p for p in path.parts[: _first_magic(path)]]
        root, found = Path(*fixed), map(Path, glob.glob(pattern, recursive=True))
    photos = sorted(p for p in found if p.suffix.lower() in medium.suffixes and p.is_file())
    if not photos:
        accepted = " ".join(sorted(medium.suffixes))
        raise OptionError(
            f"no {medium.name} at {pattern}; a file, folder or glob of {accepted} is needed"
        )
    return root, photos


def plan(pattern: str, output: str, medium: Medium = PHOTOS) -> list[Job]:
    """Return what to read and where to write it; raises OptionError.

    Below a folder OUT the results keep the folders of a glob. Photos that differ only in their
    ending, a.jpg and a.png, become a_jpg.png and a_png.png.
    """
    root, photos = find_photos(pattern, medium)
    is_one_file = Path(pattern).is_file() and not Path(output).is_dir()
    if is_one_file and not output.endswith(("/", os.sep)):
        jobs = [Job(photos[0], Path(output))]
        if Path(output).suffix.lower() not in medium.endings:
            raise OptionError(f"OUT is {output}; end it in {' or '.join(medium.endings)}")
    else:
        names = Counter(photo.with_suffix("") for photo in photos)
        jobs = [
            Job(photo, Path(output) / _result_name(photo, names, medium).relative_to(root))
            for photo in photos
        ]
    sources = {photo.resolve() for photo in photos}
    for job in jobs:
        if job.target.resolve() in sources:
            raise OptionError(f"{job.target} is one of the {medium.name}s; choose another OUT")
    return jobs


def _first_magic(path: Path) -> int:
    magic = (i for i, part in enumerate(path.parts) if glob.has_magic(part))
    return next(magic, len(path.parts) - 1)


def _result_name(photo: Path, names: Counter, medium: Medium) -> Path:
    plain = photo.with_suffix("")
    if names[plain] > 1:
        plain = plain.with_name(f"{photo.stem}_{photo.suffix[1:]}")
    return plain.with_name(plain.name + medium.endings[0])
