"""Keypoints found without labels, each with the motion around it to first order.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.1. A keypoint is the centre of mass of a heat
map; its jacobian, read off four more maps under the same mass, says how the face near it is turned
and stretched against an abstract reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from motion.fomm.blocks import Hourglass, Reduction, position_grid

TEMPERATURE = 0.1  # of the softmax over positions: sharp, yet with a gradient
NUM_KEYPOINTS = 10
WIDTHS = (32, 64, 128, 256, 512, 1024)  # of the public networks for faces


@dataclass(frozen=True)
class Keypoints:
    """Keypoints of N pictures: `value` [N, K, 2] as (x, y) in [-1, 1], `jacobian` [N, K, 2, 2]."""

    value: Tensor
    jacobian: Tensor

    def __getitem__(self, index: slice) -> Keypoints:
        """The keypoints of some of the pictures."""
        return Keypoints(self.value[index], self.jacobian[index])

    def __len__(self) -> int:
        """The number of pictures N."""
        return len(self.value)

    @staticmethod
    def cat(parts: Sequence[Keypoints]) -> Keypoints:
        """The keypoints of several batches as one."""
        return Keypoints(
            torch.cat([part.value for part in parts]), torch.cat([part.jacobian for part in parts])
        )


class KeypointDetector(nn.Module):
    """Picture -> keypoints with jacobians.

    Args:
        num_keypoints: K.
        widths: of the hourglass, see `Hourglass`; five halvings need at least 32 px after `step`.
        step: side of the picture by that of the heat maps.
    """

    def __init__(
        self, num_keypoints: int = NUM_KEYPOINTS, widths: Sequence[int] = WIDTHS, step: int = 4
    ) -> None:
        super().__init__()
        self.num_keypoints = num_keypoints
        self.reduction = Reduction(step)
        self.hourglass = Hourglass(3, widths)
        self.heat = nn.Conv2d(self.hourglass.outputs, num_keypoints, 7)
        self.jacobian = nn.Conv2d(self.hourglass.outputs, 4 * num_keypoints, 7)
        # Training starts from no turn and no stretch anywhere.
        nn.init.zeros_(self.jacobian.weight)
        self.jacobian.bias.data = torch.eye(2).flatten().repeat(num_keypoints)

    def forward(self, picture: Tensor) -> Keypoints:
        """Find the keypoints of [N, 3, H, W] in [0, 1]; their numbers are float32."""
        features = self.hourglass(self.reduction(picture))
        logits = self.heat(features).float()
        height, width = logits.shape[2:]
        maps = self.jacobian(features).float().unflatten(1, (-1, 4)).flatten(3)  # [N, K, 4, h * w]
        with torch.autocast(logits.device.type, enabled=False):  # positions need all their digits
            mass = (logits.flatten(2) / TEMPERATURE).softmax(dim=2)  # [N, K, h * w]
            value = mass @ position_grid(height, width, mass).flatten(0, 1)
            jacobian = (maps @ mass[..., None])[..., 0]
        return Keypoints(value, jacobian.unflatten(2, (2, 2)))
