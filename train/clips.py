"""Frames of clips, and the pairs of a source and a driving frame drawn from them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from engine.errors import DataError
from train.data import SUFFIXES

_READERS = ThreadPoolExecutor(8)
MOST_RESIDENT = 4 << 30  # bytes: 20,000 frames of 256 pixels


@dataclass(frozen=True)
class ClipSet:
    """Clips of at least two frames, as files; they are read when drawn, so that any number fits.

    files: the frames of every clip in order; names: one per clip; size: side in pixels; pixels:
    all of them where they lie ready, uint8 [frames, 3, S, S], see `resident`.
    """

    files: tuple[tuple[Path, ...], ...]
    names: tuple[str, ...]
    size: int
    pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, files: Sequence[Path]) -> Tensor:
        """Read frames as uint8 [N, 3, S, S]; raises DataError for a broken one."""
        frames = list(_READERS.map(lambda file: _read(file, self.size), files))
        return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)

    def pairs(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw pairs, each of two frames of one clip, mirrored or not: uint8 [count, 2, 3, S, S].

        Every clip is as likely, whatever its length; source and driving may come in any order.
        """
        chosen: list[tuple[int, int]] = []
        for clip in torch.randint(len(self), (count,), generator=generator).tolist():
            order = torch.randperm(len(self.files[clip]), generator=generator)
            chosen += [(clip, frame) for frame in order[:2].tolist()]
        pairs = self._frames(chosen).unflatten(0, (count, 2))
        mirrored = (torch.rand(count, generator=generator) < 0.5).to(pairs.device)
        return torch.where(mirrored[:, None, None, None, None], pairs.flip(4), pairs)

    def resident(self, device: torch.device, most_bytes: int = MOST_RESIDENT) -> "ClipSet":
        """Return the set with its frames read once and kept on a device, where they fit.

        Drawing then costs nothing next to a step: a GPU would wait for the files otherwise. What is
        drawn is the same.
        """
        count = sum(map(len, self.files))
        if count * 3 * self.size**2 > most_bytes:
            return self
        pixels = torch.empty(count, 3, self.size, self.size, dtype=torch.uint8, device=device)
        first = 0
        for files in self.files:
            pixels[first : first + len(files)] = self.read(files).to(device)
            first += len(files)
        return replace(self, pixels=pixels)

    def _frames(self, chosen: Sequence[tuple[int, int]]) -> Tensor:
        """Frames by number of their clip and of their own in it, uint8 [N, 3, S, S]."""
        if self.pixels is None:
            return self.read([self.files[clip][frame] for clip, frame in chosen])
        first = np.cumsum([0, *map(len, self.files)])
        index = torch.tensor([first[clip] + frame for clip, frame in chosen])
        return self.pixels[index.to(self.pixels.device)]

    def split_off(self, count: int) -> tuple["ClipSet", "ClipSet"]:
        """The last `count` clips by name, and the others; raises DataError if none is left."""
        if count >= len(self):
            raise DataError(
                f"{count} of {len(self)} clips cannot be held out: one must be left to train on"
            )
        at = len(self) - count
        return (
            ClipSet(self.files[at:], self.names[at:], self.size),
            ClipSet(self.files[:at], self.names[:at], self.size),
        )


def load_clips(folder: str | Path, size: int) -> ClipSet:
    """List the clips of a folder made by train.cut_clips: one folder of frames for each.

    Raises:
        DataError: no folder is given, or none in it has two frames.
    """
    if not str(folder):
        raise DataError("no folder of clips given: name one with --data")
    found = {}
    for clip in sorted(path for path in Path(folder).glob("*") if path.is_dir()):
        frames = sorted(path for path in clip.iterdir() if path.suffix.lower() in SUFFIXES)
        if len(frames) > 1 and clip.suffix != ".part":
            found[clip.name] = tuple(frames)
    if not found:
        raise DataError(
            f"no folder in {folder} has two frames; expected a folder of pictures per clip: make "
            "them with python -m train.cut_clips"
        )
    return ClipSet(tuple(found.values()), tuple(found), size)


def _read(file: Path, size: int) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            picture = picture.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{file} cannot be read ({error}): remove it") from error
    if picture.width != picture.height:
        raise DataError(
            f"{file} is {picture.width}x{picture.height}; frames are square: make them with "
            "python -m train.cut_clips"
        )
    if picture.width != size:
        picture = picture.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(picture)
