"""What the lower layers of a generator make of photos, kept, so that only the upper ones run.

A style that keeps the shapes of its base (`train.texture`) trains no layer below a quarter of its
size. What those give never changes, so it is computed once per photo and kept in half precision;
and as the layers above look at their surroundings only, any square of a picture can be drawn alone.
A style with shapes of its own keeps less, and is drawn whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from engine.errors import OptionError
from engine.image import to_uint8
from engine.models.detail import SHRINKING, as_addition, small_picture
from engine.models.stylegan2 import SynthesisNetwork
from engine.ops.upfirdn2d import upsample2d
from train.data import ImageSet, as_float
from train.distributed import Share, rank
from train.encoder import encoder_input, ws_of
from train.packs import Source

MARGIN = 16  # pixels at the edges of a square that are thrown away: most of what lies outside
# changes no more than these, where a cell of what is kept is 8 pixels
LOWEST = 4  # pixels that a synthesis network begins with
BATCH = 8


@dataclass(frozen=True)
class Square:
    """Where a picture is drawn: `top`, `left` and `side` in cells; the whole has no margin."""

    top: int
    left: int
    side: int
    cells: int  # of the whole picture

    @property
    def margin(self) -> int:
        """Pixels that are cut off at every edge."""
        return 0 if self.side == self.cells else MARGIN

    def cut(self, x: Tensor) -> Tensor:
        """Cut the square out of maps or pictures [N, C, H, H], with its margin."""
        k = x.shape[-1] // self.cells
        rows = slice(self.top * k, (self.top + self.side) * k)
        return x[..., rows, self.left * k : (self.left + self.side) * k]

    def shown(self, pictures: Tensor) -> Tensor:
        """The same square of whole pictures, without the margin."""
        return self.inside(self.cut(pictures))

    def inside(self, drawn: Tensor) -> Tensor:
        """What has been drawn of the square, without the margin."""
        edge = self.margin
        return drawn[..., edge : drawn.shape[-2] - edge, edge : drawn.shape[-1] - edge]


def random_square(cells: int, share: float, generator: torch.Generator) -> Square:
    """A random square of about `share` of the side of pictures of cells x cells."""
    side = min(cells, max(1, round(share * cells)))
    top, left = torch.randint(cells - side + 1, (2,), generator=generator).tolist()
    return Square(top, left, side, cells)


@dataclass(frozen=True)
class Drafts:
    """Half-drawn pictures of photos, in half precision on the device.

    Attributes:
        ws: float32 [N, L, w_dim].
        x: [N, C, H, H], features; the last that the style does not change, H = R / 8 or less.
        rgb: [N, 3, H, H], the picture so far.
        detail: [N, C, R / 4, R / 4], what the photos show beyond their codes, or None.
        drawn: uint8 [N, 3, R, R], what the source draws.
    """

    ws: Tensor
    x: Tensor
    rgb: Tensor
    detail: Tensor | None
    drawn: Tensor

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, index: Tensor | slice) -> Drafts:
        detail = None if self.detail is None else self.detail[index]
        return Drafts(self.ws[index], self.x[index], self.rgb[index], detail, self.drawn[index])

    @property
    def resolution(self) -> int:
        """Side of the pictures."""
        return self.drawn.shape[-1]

    @property
    def cells(self) -> int:
        """Side of the features that are kept."""
        return self.x.shape[-1]


def whole(drafts: Drafts) -> Square:
    """The square that is all of the pictures."""
    return Square(0, 0, drafts.cells, drafts.cells)


@torch.no_grad()
def drafts_of(
    photos: ImageSet, source: Source, style: SynthesisNetwork, kept: int, likeness: float = 1.0
) -> Drafts:
    """Begin the pictures of photos [N, 3, R, R] with the layers that the style does not train.

    Args:
        photos: aligned.
        source: the base, which reads them.
        style: whose layers up to `kept` are those of the source.
        kept: H, the highest resolution that the style does not train.
        likeness: share of what only the photos show.

    Raises:
        OptionError: the source reads no photos, there is no layer of `kept` pixels, or paths of the
            style begin too low.
    """
    G, E = source.G, source.E
    if E is None:
        raise OptionError("the base reads no photos: train an encoder first, train.encoder")
    if kept < LOWEST:
        raise OptionError(
            f"a picture of {G.resolution} px begins with {LOWEST} px, of which nothing would be "
            f"left as it is: use a --freeze-share of at least {2 * LOWEST / G.resolution}"
        )
    if style.num_paths > 1 and style.path_from <= kept:
        raise OptionError(
            f"the paths of the style begin at {style.path_from} px, where they were trained whole; "
            f"those that begin above {kept} px can be gone on with"
        )
    space, parts = source.pack.card.encoder_space, []
    device = style.b4.const.device
    batches = photos.images.split(BATCH)
    for batch in tqdm(batches, desc="drafts", mininterval=5, disable=rank() != 0):
        photo = as_float(batch.to(device))
        ws = ws_of(G, E(encoder_input(photo, E.input_size)).float(), space)
        detail = None
        if source.detail is not None:
            detail = likeness * source.detail(photo, small_picture(G.synthesis, ws)).float()
        x, rgb = style.features(ws, until=kept), style(ws, until=kept)
        drawn = torch.from_numpy(to_uint8(G.synthesis(ws, add=as_addition(detail))))
        drawn = drawn.permute(0, 3, 1, 2).to(device)
        parts.append((ws, x.half(), rgb.half(), None if detail is None else detail.half(), drawn))
    ws, x, rgb, detail, drawn = zip(*parts, strict=True)
    known = None if detail[0] is None else torch.cat(detail)
    return Drafts(torch.cat(ws), torch.cat(x), torch.cat(rgb), known, torch.cat(drawn))


def finished(
    style: SynthesisNetwork,
    drafts: Drafts,
    path: int = 0,
    square: Square | None = None,
    share: Share | None = None,
) -> Tensor:
    """Draw the upper layers of a style, whole or a square of it: float32 [N, 3, P, P].

    Args:
        style: whose lower layers gave the drafts.
        drafts: half-drawn pictures.
        path: of the attribute.
        square: what is drawn; None: all of it.
        share: draws the noise; None: the stored maps, for a whole picture.
    """
    square = square or whole(drafts)
    x, rgb = square.cut(drafts.x.float()), square.cut(drafts.rgb.float())
    detail = None if drafts.detail is None else square.cut(drafts.detail.float())

    def noise(shape: tuple[int, ...], device: torch.device) -> Tensor:
        side = shape[-1] // square.cells * square.side
        return share.randn((shape[0], 1, side, side), device)

    for i, r in enumerate(style.resolutions):
        if r <= drafts.cells:
            continue
        block, codes = style.block(r, path), drafts.ws[:, 2 * i - 1 : 2 * i + 2]
        x = block.features(x, codes, noise if share else "const", None, style.dtype)
        if detail is not None and r == drafts.resolution // SHRINKING:
            x = x + detail.to(x.dtype)
        rgb = upsample2d(rgb) + block.torgb(x, codes[:, -1])
    return square.inside(rgb)
