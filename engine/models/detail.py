"""What the codes of a face leave out: a correction of the generator's features, read off the photo.

The codes of StyleGAN2 describe a typical face well and this person's mouth, glasses or hat badly.
UI2I-StyleGAN2 (Huang et al. 2021, section III-A) hands the feature maps of a content picture over
to the style's generator; here the feature map of a quarter of the resolution is corrected by what
the photo shows beyond the picture that the generator has drawn of its codes so far. Generators
tuned from one base read the same features, so a correction learned with the base (train.detail)
serves all of its styles. A quarter is where a pupil or a tooth still has a cell of its own and
three quarters of a style's work, its lines and textures, lie yet ahead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CheckpointError, ImageError
from engine.models.loading import load_exactly
from engine.models.stylegan2 import SynthesisNetwork

SHRINKING = 4  # pixels of the picture per cell of the features; they are folded into channels
_MULTIPLE = 2 * SHRINKING  # the network looks at half of the cells, too
_SLOPE = 0.2


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), 3x3, without normalisation: colours have to pass unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv1.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] -> the same shape."""
        return x + self.conv1(_activate(self.conv0(_activate(x))))


class DetailEncoder(nn.Module):
    """Photo and small picture of its codes -> correction of the features of that size.

    A small U: what lies around a cell is read at an eighth of the size and handed back.

    Args:
        out_channels: channels C of the generator's features there.
        widths: channels at a quarter and at an eighth of the size.
        num_blocks: residual blocks at a quarter, at an eighth and at a quarter again.
    """

    def __init__(
        self,
        out_channels: int,
        widths: tuple[int, int] = (96, 128),
        num_blocks: tuple[int, int, int] = (1, 2, 1),
    ) -> None:
        super().__init__()
        self.fold = nn.Conv2d(3 * SHRINKING**2 + 3, widths[0], 3, padding=1)
        self.quarter = _blocks(widths[0], num_blocks[0])
        self.down = nn.Conv2d(widths[0], widths[1], 3, stride=2, padding=1)
        self.eighth = _blocks(widths[1], num_blocks[1])
        self.up = nn.Conv2d(widths[1], widths[0], 1)
        self.fine = _blocks(widths[0], num_blocks[2])
        self.out = nn.Conv2d(widths[0], out_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # untrained it changes nothing
        nn.init.zeros_(self.out.bias)

    def forward(self, photo: Tensor, drawn: Tensor) -> Tensor:
        """Return what to add to the generator's features, float [N, C, R / 4, R / 4].

        Args:
            photo: [N, 3, R, R] in [-1, 1], R the generator's size.
            drawn: [N, 3, R / 4, R / 4], what the generator draws of its codes (`small_picture`).

        Raises:
            ImageError: the two do not fit each other, or R is no multiple of 8.
        """
        n, channels, height, width = photo.shape
        small = (n, 3, height // SHRINKING, width // SHRINKING)
        if channels != 3 or height % _MULTIPLE or width % _MULTIPLE or drawn.shape != small:
            raise ImageError(
                f"detail is read off a photo [N, 3, R, R], R a multiple of {_MULTIPLE}, and a "
                f"picture [N, 3, R / {SHRINKING}, R / {SHRINKING}], got {list(photo.shape)} and "
                f"{list(drawn.shape)}: resize the crop to the generator's size"
            )
        x = torch.cat([F.pixel_unshuffle(photo, SHRINKING), drawn], dim=1)
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.quarter(self.fold(x))
        around = self.up(_activate(self.eighth(self.down(_activate(x)))))
        x = self.fine(x + F.interpolate(around, scale_factor=2.0))
        return self.out(_activate(x))


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(channels) for _ in range(count)))


def small_picture(synthesis: SynthesisNetwork, ws: Tensor) -> Tensor:
    """Draw codes ws [N, L, w_dim] as far as the detail is added: [N, 3, R / 4, R / 4]."""
    return synthesis(ws, until=synthesis.resolution // SHRINKING)


def as_addition(detail: Tensor | None) -> dict[int, Tensor] | None:
    """Return a correction [N, C, r, r] as what a synthesis network takes for `add`."""
    return None if detail is None else {detail.shape[-1]: detail}


def detail_from_state(state: Mapping[str, Tensor]) -> DetailEncoder:
    """Build the network `state` belongs to and load it; its sizes are read off the weights.

    Raises:
        CheckpointError: the tensors do not describe one.
    """
    shapes = [state[name].shape if name in state else () for name in ("down.weight", "out.weight")]
    if any(len(shape) != 4 for shape in shapes):
        raise CheckpointError(
            f"no detail encoder in these {len(state)} tensors; expected fold, quarter, down, "
            "eighth, up, fine and out, as python -m train.detail writes them"
        )
    (wide, narrow), out = shapes[0][:2], shapes[1][0]
    blocks = tuple(_num_blocks(state, part) for part in ("quarter", "eighth", "fine"))
    network = DetailEncoder(out, (narrow, wide), blocks)
    load_exactly(network, state, "a detail encoder")
    return network


def _num_blocks(state: Mapping[str, Tensor], part: str) -> int:
    return len({m[1] for name in state if (m := re.match(rf"{part}\.(\d+)\.", name))})


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)
