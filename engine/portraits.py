"""From a photo and its faces to `Portrait`s: framed, encoded, immutable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from engine.align import AlignedFace, align, face_quad, quad_to_matrix
from engine.base import Base, Codes
from engine.color import keep_skin, match_color
from engine.detect import Face
from engine.errors import ImageError
from engine.eyes import with_eyes
from engine.image import resize, to_tensor
from engine.options import StylizeOptions
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
        detail: [1, C, R / 4, R / 4], what the photo shows beyond its codes; None: not known.
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

    def shaped(self, drawn: np.ndarray, options: StylizeOptions) -> np.ndarray:
        """Return a drawing of it, uint8 [R, R, 3], with eyes as large as `options` say."""
        return with_eyes(drawn, self.landmarks, self.face.photo_to(len(drawn)), options)

    def recolored(self, drawn: np.ndarray, color: str) -> np.ndarray:
        """Give a drawing of it, uint8 [R, R, 3], colours ("keep") or skin tone ("skin") of it."""
        if color == "style" or (color == "skin" and not len(self.landmarks)):
            return drawn
        photo = resize(self.face.crop, len(drawn), len(drawn))
        if color == "skin":
            return keep_skin(drawn, photo)
        return match_color(drawn, drawn, photo, np.ones(photo.shape[:2]))


def encode_face(rgb: np.ndarray, face: Face, base: Base, space: str) -> Portrait:
    """Frame one face of uint8 RGB [H, W, 3] as the base draws it, and encode it.

    Raises:
        PackError: the base has no encoder into `space`.
        ImageError: the face lies outside of the photo.
    """
    return encode_faces([(rgb, face)], base, space)[0]


def encode_faces(
    seen: Sequence[tuple[np.ndarray, Face]], base: Base, space: str, *, with_detail: bool = True
) -> list[Portrait]:
    """Encode faces, each with the picture it was seen in, in one call of the network.

    Without detail their `detail` is None: `read_detail` adds it to codes that have been changed.
    Raises what `encode_face` raises.
    """
    size = crop_size(base, space, with_detail=with_detail)
    portraits = with_codes(framed_faces(seen, base, space, size), base)
    with memory_guard(base.runtime):
        detail = read_detail(portraits, base) if with_detail and portraits else None
    if detail is None:
        return portraits
    pairs = zip(portraits, detail.split(1), strict=True)
    return [replace(portrait, detail=own.clone()) for portrait, own in pairs]


def crop_size(base: Base, space: str, *, with_detail: bool = True) -> int:
    """Return how large crops are cut out: as the base draws, for who reads detail of them.

    Without detail, and where the base reads none, as large as the encoder takes them.
    """
    size = base.encoder_into(space).input_size
    is_shown = with_detail or base.detail_encoder is not None
    return max(size, base.generator.resolution) if is_shown else size


def framed_faces(
    seen: Sequence[tuple[np.ndarray, Face]], base: Base, space: str, size: int | None = None
) -> list[Portrait]:
    """Frame faces, each with the picture it was seen in, [size, size, 3], without encoding them.

    Their `ws` are [1, L, 0]. `size` None is what a student takes: that of the base. Raises
    ImageError where a face lies outside of its picture.
    """
    size = size or base.generator.resolution
    nothing = torch.zeros(1, base.generator.num_ws, 0)
    known = {"ws": nothing, "mu": None, "logvar": None, "space": space, "base_sha256": base.sha256}
    return [Portrait(frame(rgb, face, base, size), face.landmarks, **known) for rgb, face in seen]


def with_codes(portraits: Sequence[Portrait], base: Base) -> list[Portrait]:
    """Encode framed faces of one space in one call of the network; raises what `encode` does."""
    if not portraits:
        return []
    space, found = portraits[0].space, []
    size = base.encoder_into(space).input_size
    with memory_guard(base.runtime), torch.inference_mode():
        together = base.encode(_crops([portrait.face for portrait in portraits], size), space)
        for index, portrait in enumerate(portraits):
            values = (together.ws, together.mu, together.logvar)
            own = Codes(*(None if x is None else x[index : index + 1].clone() for x in values))
            found.append(replace(portrait, **vars(own), attributes=base.attributes(own)))
    return found


def read_detail(portraits: Sequence[Portrait], base: Base) -> Tensor | None:
    """Return what the crops of portraits show beyond their codes, [N, C, R / 4, R / 4] or None."""
    if base.detail_encoder is None:
        return None
    crops = _crops([portrait.face for portrait in portraits], base.generator.resolution)
    return base.detail(crops, torch.cat([portrait.ws for portrait in portraits]))


def _crops(aligned: Sequence[AlignedFace], size: int) -> Tensor:
    return to_tensor(np.stack([resize(one.crop, size, size) for one in aligned]))


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
