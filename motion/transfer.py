"""From the keypoints of a driving face to those of the driven picture.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.3 and appendix B. Absolute transfer takes the
driving keypoints as they are, and with them the driving person's face; relative transfer moves the
source's keypoints as the driving ones moved since their best frame, and keeps the source's face.
"""

from __future__ import annotations

import torch
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from motion.fomm import Keypoints
from motion.fomm.dense_motion import inverse


def relative(
    kp_source: Keypoints,
    kp_start: Keypoints,
    kp_driving: Keypoints,
    *,
    scale: float | None = None,
    gain: float = 1.0,
) -> Keypoints:
    """Move the source's keypoints as those of the driving face moved since its starting frame.

    value = kp_s + scale * gain * (kp_d - kp_d0),  jacobian = (J_d J_d0^-1) J_s (equation 11).

    Args:
        kp_source, kp_start: [1, K, ...], of the source and of the starting frame.
        kp_driving: [N, K, ...], of the frames.
        scale: what movements are multiplied by; None adapts them to the size of the source's face.
        gain: 1 moves as the driving face does, 0 not at all, more exaggerates. Turns and stretches
            follow: the change of the jacobian is multiplied too.
    """
    scale = movement_scale(kp_source, kp_start) if scale is None else scale
    value = kp_source.value + (kp_driving.value - kp_start.value) * (scale * gain)
    change = kp_driving.jacobian @ inverse(kp_start.jacobian)
    unchanged = torch.eye(2, dtype=change.dtype, device=change.device)
    change = unchanged + (change - unchanged) * gain
    return Keypoints(value, change @ kp_source.jacobian)


def movement_scale(kp_source: Keypoints, kp_start: Keypoints) -> float:
    """Size of the source's face by that of the driving one: roots of their convex hulls' areas."""
    source, start = hull_area(kp_source.value[0]), hull_area(kp_start.value[0])
    return (source / start) ** 0.5 if start > 0 else 1.0


def hull_area(points: Tensor) -> float:
    """Area of the convex hull of points [K, 2]; 0 where they lie on one line."""
    try:
        return float(ConvexHull(points.detach().cpu().double().numpy()).volume)  # 2-D: the area
    except QhullError:
        return 0.0
