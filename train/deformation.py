"""Random smooth deformations of pictures: an affine map and a thin plate spline.

Siarohin et al. 2019 (arXiv 2003.00196), section 3.1 and appendix, train keypoints to follow them.
A deformation T maps positions (x, y) of the deformed picture Y to those of the picture X it was
made of, Y(p) = X(T(p)), both in [-1, 1] with the centres of the corner pixels at -1 and 1:

    T(p) = A p + b + sum_i w_i U(|p - c_i|),    U(r) = r^2 log r

for control points c_i on a grid. Both coordinates bend by weights w_i of their own here.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from motion.fomm.blocks import position_grid
from train.distributed import WHOLE, Share

_EPSILON = 1e-9  # of squared distances: the logarithm at a control point stays finite


@dataclass(frozen=True)
class Deformation:
    """N deformations: `affine` [N, 2, 3], `centers` [P, 2], `weights` [N, P, 2]."""

    affine: Tensor
    centers: Tensor
    weights: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        """Map points [N, M, 2] of the deformed pictures to the originals."""
        square = self._offsets(points).square().sum(-1) + _EPSILON  # [N, M, P]
        bent = (0.5 * square * square.log()) @ self.weights
        straight = points @ self.affine[:, :, :2].mT + self.affine[:, None, :, 2]
        return straight + bent

    def jacobian(self, points: Tensor) -> Tensor:
        """Return the derivative of T at points [N, M, 2], as [N, M, 2, 2]: row dT_x, row dT_y."""
        offsets = self._offsets(points)
        square = offsets.square().sum(-1) + _EPSILON
        slopes = offsets * (square.log() + 1)[..., None]  # dU / dp, [N, M, P, 2]
        bent = torch.einsum("npi,nmpj->nmij", self.weights, slopes)
        return self.affine[:, None, :, :2] + bent

    def warp(self, pictures: Tensor) -> Tensor:
        """Deform pictures [N, C, H, W]; they are mirrored beyond their edges."""
        height, width = pictures.shape[2:]
        points = position_grid(height, width, self.weights).flatten(0, 1)
        at = self(points.expand(len(pictures), -1, -1)).unflatten(1, (height, width))
        at = at.to(pictures.dtype)
        return F.grid_sample(pictures, at, padding_mode="reflection", align_corners=True)

    def _offsets(self, points: Tensor) -> Tensor:
        return points[:, :, None] - self.centers


def draw_deformations(
    count: int,
    sigma_affine: float,
    sigma_bend: float,
    side: int,
    *,
    device: torch.device,
    share: Share = WHOLE,
) -> Deformation:
    """Draw `count` deformations: what is added to the identity and to no bend is normal.

    Args:
        sigma_affine: standard deviation of the six numbers of A and b.
        sigma_bend: that of the weights of the spline.
        side: control points per side of the grid.
        share: the rows of a batch that these are.
    """
    noise = share.randn((count, 2, 3), device) * sigma_affine
    weights = share.randn((count, side**2, 2), device) * sigma_bend
    centers = position_grid(side, side, weights).flatten(0, 1)
    return Deformation(noise + torch.eye(2, 3, device=device), centers, weights)
