"""How far pictures are from each other, without a network."""

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST_SCALE = 16


def picture_distance(a: Tensor, b: Tensor) -> Tensor:
    """Compare pictures [N, 3, H, W] in [-1, 1]: L1 of pixels and gradients over scales, [N].

    A stand-in for a perceptual network, which the embedded packs do not carry.
    """
    total = torch.zeros(len(a), device=a.device)
    while min(a.shape[2:]) >= SMALLEST_SCALE:
        difference = a.float() - b.float()
        rows, columns = difference.diff(dim=2), difference.diff(dim=3)
        total += sum(x.abs().mean(dim=(1, 2, 3)) for x in (difference, rows, columns))
        a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
    return total
