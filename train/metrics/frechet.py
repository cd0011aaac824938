"""The Frechet distance between two sets of features: FID where the features are Inception's."""

import torch
from torch import Tensor

from train.metrics.matrices import check_features


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Distance of the Gaussians fitted to two sets (FID: Heusel et al. 2017, Equation 6).

        |mu_x - mu_y|^2 + tr(S_x + S_y - 2 (S_x S_y)^(1/2)),    0 .. infinity, 0 for equal sets

    With S = A'A of the centred rows A, the trace of the root is the sum of the singular values of
    A_x A_y', which needs no root of a matrix and stays exact with fewer samples than features.
    Biased upwards by few samples: compare results of equal counts only, and prefer KID below 2,000.

    Args:
        x, y: features [N, F] and [M, F], at least two rows each.

    Raises:
        OptionError: shapes that do not fit, too few rows, or values that are not finite.
    """
    x, y = check_features(x, y)
    a, b = (_half_covariance(rows) for rows in (x, y))
    root = torch.linalg.svdvals(a @ b.T).sum()
    shift = (x.mean(dim=0) - y.mean(dim=0)).square().sum()
    distance = shift + a.square().sum() + b.square().sum() - 2 * root
    return max(0.0, distance.item())  # equal sets end within rounding of zero


def _half_covariance(x: Tensor) -> Tensor:
    """A of S = A'A, with no more rows than columns: [min(N, F), F]."""
    centred = (x - x.mean(dim=0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(centred, mode="r").R if len(x) > x.shape[1] else centred
