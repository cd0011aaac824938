"""From a photo and its faces to `Portrait`s: framed, encoded, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from engine.align import AlignedFace, align, face_quad, quad_to_matrix
from engine.base import Base
from engine.detect import Face
from engine.errors import ImageError
from engine.image import resize, to_tensor
from engine.runtime import memory_guard


@dataclass(frozen=True)
class Portrait:
    """One face of one photo, encoded. Immutable; tensors are float32 on the CPU.

    Attributes:
        face: the aligned crop, and the matrix it was cut out with.
        landmarks: float32 [K, 2] as (x, y) pixels of the photo; K = 0 for pictures without faces.
        ws: [1, L, w_dim], the codes of the picture, after the mapping network if there was one.
        mu, logvar: [1, L, z_dim], the posterior in Z+; None where the encoder has none.
        space, base_sha256: the encoder's space and the source generator the codes belong to; styles
            of one base and one space share portraits.
        attributes: how likely each attribute is; {} where nothing tells.
        edit: [1, L, w_dim], added to the codes by editing; None: nothing.
        detail: [1, C, R / 8, R / 8], what the photo shows beyond its codes; None: not known.
    """

    face: AlignedFace
    landmarks: np.ndarray
    ws: Tensor
    mu: Tensor | None
    logvar: Tensor | None
    space: str
    base_sha256: str
    attributes: Mapping[str, float] = field(default_factory=dict)
    edit: Tensor | None = None
    detail: Tensor | None = None

    def edited(self, change: Tensor) -> Portrait:
        """Return the portrait with `change` [1, L, w_dim] added to all of its codes."""
        return replace(self, edit=change if self.edit is None else self.edit + change)

    def detail_at(self, share: float) -> Tensor | None:
        """Return a share 0..1 of the detail (none fits the average face); None: nothing to add."""
        return share * self.detail if self.detail is not None and share else None


def encode_face(rgb: np.ndarray, face: Face, base: Base, space: str) -> Portrait:
    """Frame one face of uint8 RGB [H, W, 3] as the base draws it, and encode it.

    Raises:
        PackError: the base has no encoder into `space`.
        ImageError: the face lies outside of the photo.
    """
    size, resolution = base.encoder_into(space).input_size, base.generator.resolution
    aligned = frame(rgb, face, base, max(size, resolution))
    seen, drawn = (to_tensor(resize(aligned.crop, side, side)) for side in (size, resolution))
    with memory_guard(base.runtime), torch.inference_mode():
        codes = base.encode(seen, space)
        attributes = base.attributes(codes)
        detail = base.detail(drawn, codes.ws)
    values = (codes.ws, codes.mu, codes.logvar, space, base.sha256, attributes)
    return Portrait(aligned, face.landmarks, *values, detail=detail)


def frame(rgb: np.ndarray, face: Face, base: Base, size: int) -> AlignedFace:
    """Cut out what the base's generator draws, [size, size, 3]: FFHQ's square, or the centre."""
    if base.pack.card.framing == "ffhq":
        return align(rgb, face.landmarks, size)
    x0, y0, x1, y1 = (int(edge) for edge in face.box)
    corners = np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0]], np.float64) - 0.5
    return AlignedFace(resize(rgb[y0:y1, x0:x1], size, size), quad_to_matrix(corners, size))


def central_square(rgb: np.ndarray) -> Face:
    """Return the largest centred square of a picture as the one "face" of bases without faces."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    x, y = (width - side) // 2, (height - side) // 2
    box = np.array([x, y, x + side, y + side], np.float32)
    return Face(np.zeros((0, 2), np.float32), box, 1.0)


def is_usable(face: Face, rgb: np.ndarray) -> bool:
    """Tell whether a found face can be cut out: its points span a square centred in the photo."""
    try:
        x, y = face_quad(face.landmarks).mean(axis=0)
    except ImageError:
        return False
    return 0 <= x < rgb.shape[1] and 0 <= y < rgb.shape[0]
