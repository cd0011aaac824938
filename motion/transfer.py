"""From the keypoints of a driving face to those of the driven picture.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.3 and appendix B. Absolute transfer takes the
driving keypoints as they are, and with them the driving person's face; relative transfer moves the
source's keypoints as the driving ones moved since their best frame, and keeps the source's face.

Beyond the paper a movement is taken apart: what a similarity explains is the pose, what remains is
the expression, and of that each keypoint has its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from motion.fomm import Keypoints
from motion.fomm.dense_motion import inverse

NEAR_EYE, NEAR_MOUTH = 0.45, 0.75  # how far their keypoints lie, in distances of the eyes


@dataclass(frozen=True)
class Shares:
    """What of a movement is taken: `pose` 0..1, and of the expression `expression` [K] in 0..1."""

    pose: float
    expression: Tensor


def relative(
    kp_source: Keypoints,
    kp_start: Keypoints,
    kp_driving: Keypoints,
    *,
    scale: float | None = None,
    gain: float = 1.0,
    shares: Shares | None = None,
) -> Keypoints:
    """Move the source's keypoints as those of the driving face moved since its starting frame.

    value = kp_s + scale * gain * (kp_d - kp_d0),  jacobian = (J_d J_d0^-1) J_s (equation 11). With
    the source for the starting frame and scale 1 this is absolute transfer.

    Args:
        kp_source, kp_start: [1, K, ...], of the source and of the starting frame.
        kp_driving: [N, K, ...], of the frames.
        scale: what movements are multiplied by; None adapts them to the size of the source's face.
        gain: 1 moves as the driving face does, 0 not at all, more exaggerates: also how
            neighbourhoods turn and stretch.
        shares: what of the movement is taken; None: all.
    """
    scale = movement_scale(kp_source, kp_start) if scale is None else scale
    moved = kp_driving.value - kp_start.value
    with torch.autocast(moved.device.type, enabled=False):  # positions need all their digits
        change = kp_driving.jacobian @ inverse(kp_start.jacobian)
        if shares is not None:
            moved, change = _shared(moved, change, kp_start, shares)
        unchanged = torch.eye(2, dtype=change.dtype, device=change.device)
        change = unchanged + (change - unchanged) * gain
        return Keypoints(kp_source.value + moved * (scale * gain), change @ kp_source.jacobian)


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


def best_start(kp_source: Keypoints, kp_driving: Keypoints) -> int:
    """Index of the driving frame whose face looks most as the source's, place and size aside.

    Args:
        kp_source: [1, K, ...].
        kp_driving: [N, K, ...], N >= 1.
    """
    distance = (_normalised(kp_driving) - _normalised(kp_source)).square().sum(dim=(1, 2))
    return int(distance.argmin())


def expression_shares(kp_source: Keypoints, landmarks: Tensor, regions: Collection[str]) -> Tensor:
    """Return 1 for the keypoints that lie in one of `regions` of the source, else 0: [K].

    Args:
        kp_source: [1, K, ...].
        landmarks: [5, 2] of the source as (x, y) in [-1, 1]: eyes, nose, mouth corners.
        regions: "eyes" and "mouth"; others have no keypoints of their own.
    """
    apart = (landmarks[1] - landmarks[0]).norm()
    mouth = landmarks[3:].mean(dim=0)
    spots = {"eyes": (landmarks[:2], NEAR_EYE), "mouth": (mouth[None], NEAR_MOUTH)}
    points = kp_source.value[0]
    shares = points.new_zeros(len(points))
    for region in spots.keys() & set(regions):
        spot, reach = spots[region]
        near = torch.cdist(points, spot.to(points)).amin(dim=1) < reach * apart
        shares[near] = 1
    return shares


def _normalised(kp: Keypoints) -> Tensor:
    """Keypoints [N, K, 2] around their centre, in roots of their convex hull's area."""
    centred = kp.value - kp.value.mean(dim=1, keepdim=True)
    sizes = [max(hull_area(points), 1e-9) ** 0.5 for points in kp.value]
    return centred / centred.new_tensor(sizes)[:, None, None]


def _shared(
    moved: Tensor, change: Tensor, kp_start: Keypoints, shares: Shares
) -> tuple[Tensor, Tensor]:
    """Take the wanted shares of movements [N, K, 2] and of changes of jacobians [N, K, 2, 2]."""
    start = kp_start.value
    turn = _similarity(start, start + moved)  # [N, 2, 2]
    centred = start - start.mean(dim=1, keepdim=True)
    rigid = moved.mean(dim=1, keepdim=True) + centred @ (turn - torch.eye(2).to(turn)).mT
    unchanged, turn = torch.eye(2).to(turn).expand_as(change), turn[:, None].expand_as(change)
    own = shares.expression[:, None]
    pose = unchanged + shares.pose * (turn - unchanged)
    bent = unchanged + own[..., None] * (change @ inverse(turn) - unchanged)
    return shares.pose * rigid + own * (moved - rigid), bent @ pose


def _similarity(a: Tensor, b: Tensor) -> Tensor:
    """Rotation and scale [N, 2, 2] that bring points a [1, K, 2] closest to b [N, K, 2]."""
    a, b = (points - points.mean(dim=1, keepdim=True) for points in (a, b))
    size = a.square().sum(dim=(1, 2)).clamp_min(1e-9)
    cosine = (a * b).sum(dim=(1, 2)) / size
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(dim=1) / size
    return torch.stack([cosine, -sine, sine, cosine], dim=-1).unflatten(-1, (2, 2))
