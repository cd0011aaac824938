"""Animation above the network's own size: the picture itself is moved, the network fills the rest.

The first order motion model draws 256 px. Its flow is smooth, so it can be enlarged and applied to
the picture at full size, where every line stays sharp; what the picture does not show, such as an
opened mouth or the wall behind a head that turned, is taken from what the network drew.

The occlusion a network predicts is not 1 even where nothing is hidden: it also says what it would
rather redraw. What counts here is therefore how much it falls below that of the resting picture, so
that a picture that does not move comes out as it went in.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from motion.fomm import Flow
from motion.fomm.blocks import position_grid
from motion.fomm.dense_motion import sample


@dataclass(frozen=True)
class Movement:
    """Where the pixels of one driven picture come from, at the size of the flow.

    Attributes:
        displacement: float32 [h, w, 2], (x, y) towards the source, in pixels of this grid.
        visible: float32 [h, w] in 0..1, 1 where the source shows what is needed.
    """

    displacement: np.ndarray
    visible: np.ndarray


def movement(flow: Flow, rest: Flow, *, align_corners: bool = True) -> Movement:
    """Compare a flow [1, h, w, 2] with that of the picture at rest, as the generator samples it."""
    height, width = flow.deformation.shape[1:3]
    grid = position_grid(height, width, flow.deformation)
    extent = torch.tensor([width, height]).to(grid)
    half = (extent - 1) / 2 if align_corners else extent / 2
    middle = (extent - 1) / 2
    displacement = flow.deformation[0] * half - grid * middle
    if not align_corners:
        displacement = displacement - (rest.deformation[0] * half - grid * middle)
    before = sample(rest.occlusion, flow.deformation, align_corners)
    visible = (flow.occlusion / before.clamp_min(1e-3)).clamp(0, 1)[0, 0]
    return Movement(_numbers(displacement), _numbers(visible))


def redraw(picture: np.ndarray, drawn: np.ndarray, moved: Movement) -> np.ndarray:
    """Move a picture uint8 [R, R, 3], and lay what the network drew where it shows nothing.

    Args:
        picture: the source at full size.
        drawn: uint8 [S, S, 3], what the network made of it.
        moved: of the same frame.

    Returns:
        uint8 [R, R, 3].
    """
    size = picture.shape[0]
    scale = size / moved.displacement.shape[0]
    shift = cv2.resize(moved.displacement, (size, size), interpolation=cv2.INTER_CUBIC) * scale
    at = np.arange(size, dtype=np.float32)
    x, y = shift[..., 0] + at, shift[..., 1] + at[:, None]
    sharp = cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.resize(drawn, (size, size), interpolation=cv2.INTER_CUBIC)
    weight = cv2.resize(moved.visible, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    return np.rint(soft + weight * (sharp.astype(np.float32) - soft)).astype(np.uint8)


def _numbers(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()
