"""Drawings twice as large with lines as sharp as they were: a bicubic enlargement, corrected.

Sub-pixel convolution (Shi et al. 2016, arXiv 1609.05158): all is computed on a grid of half the
size of the input, whose pixels are folded two by two into channels, and the last convolution
answers sixteen corrections per cell. 90,000 weights take 256 to 512 px in 0.07 s of a processor.
`train.upscale` teaches it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import CheckpointError
from engine.models.loading import load_exactly

FOLD = 2  # pixels of a side that the first convolution sees as channels
TIMES = 2  # how much larger the picture becomes
_SLOPE = 0.1


class Upscaler(nn.Module):
    """Pictures to the same pictures at twice the size.

    Args:
        channels: of the features.
        num_layers: convolutions between the first and the last one.
    """

    def __init__(self, channels: int = 48, num_layers: int = 3) -> None:
        super().__init__()
        self.head = nn.Conv2d(3 * FOLD**2, channels, 3, padding=1)
        self.body = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1) for _ in range(num_layers)
        )
        self.tail = nn.Conv2d(channels, 3 * (TIMES * FOLD) ** 2, 3, padding=1)
        nn.init.zeros_(self.tail.weight)  # untrained it is bicubic
        nn.init.zeros_(self.tail.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1], H and W even -> [N, 3, 2 H, 2 W], not clamped."""
        folded = F.pixel_unshuffle(x, FOLD).contiguous(memory_format=torch.channels_last)
        first = y = self.head(folded)
        for layer in self.body:
            y = F.leaky_relu(layer(y), _SLOPE)
        enlarged = F.interpolate(x, scale_factor=TIMES, mode="bicubic", align_corners=False)
        return enlarged + F.pixel_shuffle(self.tail(y + first), TIMES * FOLD)


def upscaler_from_state(state: Mapping[str, Tensor]) -> Upscaler:
    """Build the network `state` belongs to and load it; its sizes are read off the weights.

    Raises:
        CheckpointError: the tensors do not describe one.
    """
    head = state["head.weight"].shape if "head.weight" in state else ()
    if len(head) != 4:
        raise CheckpointError(
            f"no upscaler in these {len(state)} tensors; expected head, body and tail, as "
            "python -m train.upscale writes them"
        )
    num_layers = sum(name.startswith("body.") and name.endswith(".weight") for name in state)
    network = Upscaler(head[0], num_layers)
    load_exactly(network, state, "an upscaler")
    return network
