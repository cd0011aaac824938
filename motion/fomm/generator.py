"""The generator that moves a picture's features and imagines what was hidden.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.2, equation 5. What depends on the source alone
is computed once per source (`look`) and drawn from for every frame (`draw`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from motion.fomm.blocks import Down, Residual, Unit, Up
from motion.fomm.dense_motion import DenseMotion, Flow, sample
from motion.fomm.keypoints import Keypoints

WIDTHS = (64, 128, 256)  # of the public networks for faces
NUM_RESIDUALS = 6


@dataclass(frozen=True)
class Looked:
    """A source as the generator has seen it: `features` [N, C, h, w], `small` [N, 3, h', w']."""

    picture: Tensor
    features: Tensor
    small: Tensor

    def expand(self, count: int) -> Looked:
        """The same source for `count` frames; shares memory."""
        tensors = (self.picture, self.features, self.small)
        return Looked(*(tensor.expand(count, -1, -1, -1) for tensor in tensors))


@dataclass(frozen=True)
class Prediction:
    """A driven picture [N, 3, H, W] in [0, 1], and the flow it was drawn with."""

    image: Tensor
    flow: Flow


class Generator(nn.Module):
    """Source and two sets of keypoints -> the source, driven.

    Args:
        dense_motion: what says where pixels come from.
        widths: channels at full size, 1/2, 1/4, ...; features are moved at the last.
        num_residuals: blocks that repair the moved features.
    """

    def __init__(
        self,
        dense_motion: DenseMotion,
        widths: Sequence[int] = WIDTHS,
        num_residuals: int = NUM_RESIDUALS,
    ) -> None:
        super().__init__()
        pairs = list(zip(widths, widths[1:], strict=False))
        self.dense_motion = dense_motion
        self.first = Unit(3, widths[0], size=7)
        self.down = nn.ModuleList(Down(i, o) for i, o in pairs)
        self.residuals = nn.Sequential(*(Residual(widths[-1]) for _ in range(num_residuals)))
        self.up = nn.Sequential(*(Up(o, i) for i, o in pairs[::-1]))
        self.final = nn.Conv2d(widths[0], 3, 7, padding=3)

    def forward(self, source: Tensor, kp_source: Keypoints, kp_driving: Keypoints) -> Prediction:
        """Drive pictures [N, 3, H, W] in [0, 1] from where their keypoints are to the driving's."""
        return self.draw(self.look(source), kp_source, kp_driving)

    def look(self, source: Tensor) -> Looked:
        """See the source [N, 3, H, W] in [0, 1] once, for any number of frames."""
        features = self.first(source)
        for block in self.down:
            features = block(features)
        return Looked(source, features, self.dense_motion.reduction(source))

    def draw(self, looked: Looked, kp_source: Keypoints, kp_driving: Keypoints) -> Prediction:
        """Draw a source that was looked at, driven to `kp_driving`."""
        flow = self.dense_motion(looked.small, kp_source, kp_driving)
        at = flow.at(*looked.features.shape[2:])
        moved = sample(looked.features, at.deformation, self.dense_motion.align_corners)
        features = self.up(self.residuals(moved * at.occlusion))
        return Prediction(self.final(features).sigmoid(), flow)

    def deform(self, picture: Tensor, flow: Flow) -> Tensor:
        """Move a picture [N, 3, H, W] of any size as `flow` says; nothing is imagined."""
        at = flow.at(*picture.shape[2:])
        return sample(picture, at.deformation, self.dense_motion.align_corners)
