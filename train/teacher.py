"""What a style draws of aligned photos, as its users would see it: the lessons of a student."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from tqdm import tqdm

from engine.card import PREVIEW_FILE, STUDENT_FILE
from engine.detect import Face
from engine.pack import save_tensors
from engine.pipeline import Stylizer
from engine.portraits import central_square
from train.data import ImageSet
from train.distributed import rank

MARGIN = 0.25  # of the side, reflected: alignment blurs what lies at the edge of a picture


def drawn_by(stylizer: Stylizer, photos: ImageSet, file: Path) -> Tensor:
    """Return what a style draws of aligned photos, uint8 [N, 3, R, R], kept in `file`.

    A file of another style, or of other photos, is replaced.
    """
    known = _identity(stylizer, photos)
    if file.exists():
        with safe_open(file, "pt") as stored:
            if (stored.metadata() or {}).get("of") == known:
                return stored.get_tensor("drawings")
    drawings = torch.from_numpy(np.stack(list(_drawings(stylizer, photos))))
    drawings = drawings.permute(0, 3, 1, 2).contiguous()
    if rank() == 0:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(file.name + ".part")
        save_tensors({"drawings": drawings}, part, half=False, metadata={"of": known})
        part.replace(file)
    return drawings


def teach(stylizer: Stylizer, photo: np.ndarray) -> np.ndarray:
    """Draw an aligned photo, uint8 [S, S, 3], with the options of the style: uint8 [R, R, 3].

    This is all a student ever sees of its teacher: whatever encodes and draws, it learns that.
    """
    if stylizer.style.base.pack.card.framing != "ffhq":
        face = central_square(photo)
    else:
        margin = round(MARGIN * len(photo))
        pads = ((margin, margin), (margin, margin), (0, 0))
        face, photo = face_filling(len(photo), margin), np.pad(photo, pads, mode="reflect")
    return stylizer.render(stylizer.encode(photo, [face])[0])


def face_filling(side: int, margin: int) -> Face:
    """The face whose FFHQ square is the middle `side` pixels of a picture with a margin.

    Its eyes are a quarter of the side apart, which makes the square twice as wide as that
    (`engine.align.face_quad`), and 1/40 of the side above the middle.
    """
    quarter = side / 4
    eyes = np.array([[-quarter / 2, -quarter / 10], [quarter / 2, -quarter / 10]])
    mouth = eyes + [0, quarter]
    nose = (eyes.mean(0) + mouth.mean(0))[None] / 2
    middle = margin + (side - 1) / 2
    points = np.concatenate([eyes, nose, mouth]) + middle
    box = np.array([margin, margin, margin + side, margin + side], np.float32)
    return Face(points.astype(np.float32), box, 1.0)


def _drawings(stylizer: Stylizer, photos: ImageSet) -> Iterator[np.ndarray]:
    for photo in tqdm(
        photos.images, desc="teacher", unit="img", mininterval=5, disable=rank() != 0
    ):
        yield teach(stylizer, photo.permute(1, 2, 0).numpy())


def _identity(stylizer: Stylizer, photos: ImageSet) -> str:
    """Hash of the style, its base, its options, and the photos."""
    card, base = stylizer.card, stylizer.style.base.pack.card
    files = {**card.files, STUDENT_FILE: "", PREVIEW_FILE: ""}  # they draw nothing here
    parts = [str(sorted(files.items())), base.sha256, str(card.defaults)]
    digest = hashlib.sha256("\n".join(parts).encode())
    digest.update(photos.images.numpy().tobytes())
    return digest.hexdigest()
