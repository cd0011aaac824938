"""What the codes of a face leave out: a correction of the generator's features, read off the photo.

The codes of StyleGAN2 describe a typical face well and this person's mouth, glasses or hat badly.
UI2I-StyleGAN2 (Huang et al. 2021, section III-A) hands the feature maps of a content picture over
to the style's generator; here the feature map of an eighth of the resolution is corrected by what
the photo shows beyond the picture of its codes. Generators tuned from one base read the same
features, so a correction learned with the base (train.detail) serves all of its styles.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CheckpointError, ImageError
from engine.models.loading import load_exactly

SHRINKING = 8  # pixels of the picture per cell of the features
_FOLD = 4  # pixels folded into channels before the first convolution: that is most of the speed
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
    """Photo and picture of its codes -> correction of the features at an eighth of their size.

    Args:
        out_channels: channels C of the generator's features there.
        widths: channels at a quarter and at an eighth of the size.
        num_blocks: residual blocks at these sizes.
    """

    def __init__(
        self,
        out_channels: int,
        widths: tuple[int, int] = (64, 128),
        num_blocks: tuple[int, int] = (1, 2),
    ) -> None:
        super().__init__()
        self.fold = nn.Conv2d(6 * _FOLD**2, widths[0], 3, padding=1)
        self.quarter = nn.Sequential(*(ResidualBlock(widths[0]) for _ in range(num_blocks[0])))
        self.down = nn.Conv2d(widths[0], widths[1], 3, stride=2, padding=1)
        self.eighth = nn.Sequential(*(ResidualBlock(widths[1]) for _ in range(num_blocks[1])))
        self.out = nn.Conv2d(widths[1], out_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)  # untrained it changes nothing
        nn.init.zeros_(self.out.bias)

    def forward(self, photo: Tensor, drawn: Tensor) -> Tensor:
        """Return what to add to the generator's features, float [N, C, R / 8, R / 8].

        Args:
            photo: [N, 3, R, R] in [-1, 1], R the generator's size.
            drawn: [N, 3, R, R], what the generator draws of the photo's codes.

        Raises:
            ImageError: the two differ in shape, or R is no multiple of 8.
        """
        if photo.shape != drawn.shape or photo.shape[1] != 3 or photo.shape[2] % SHRINKING:
            raise ImageError(
                f"detail is read off two pictures [N, 3, R, R] with R a multiple of {SHRINKING}, "
                f"got {list(photo.shape)} and {list(drawn.shape)}: resize the crop to the "
                "generator's size"
            )
        x = F.pixel_unshuffle(torch.cat([photo, drawn], dim=1), _FOLD).contiguous(
            memory_format=torch.channels_last
        )
        x = self.down(_activate(self.quarter(self.fold(x))))
        return self.out(_activate(self.eighth(x)))


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
            "eighth and out, as python -m train.detail writes them"
        )
    (wide, narrow), out = shapes[0][:2], shapes[1][0]
    blocks = tuple(_num_blocks(state, part) for part in ("quarter", "eighth"))
    network = DetailEncoder(out, (narrow, wide), blocks)
    load_exactly(network, state, "a detail encoder")
    return network


def _num_blocks(state: Mapping[str, Tensor], part: str) -> int:
    return len({m[1] for name in state if (m := re.match(rf"{part}\.(\d+)\.", name))})


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, _SLOPE)
