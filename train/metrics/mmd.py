"""Maximum mean discrepancies between two sets of features: KID and CMMD.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) (Gretton et al. 2012, JMLR 13, Equations 3 and 5): no
Gaussian is fitted, and the unbiased estimate says the same on average however few samples it has.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import OptionError
from train.metrics.matrices import check_features

Kernel = Callable[[Tensor, Tensor], Tensor]
CMMD_SIGMA, CMMD_SCALE = 10.0, 1000.0


@dataclass(frozen=True)
class Estimate:
    """The mean over random subsets, and the standard deviation between them."""

    mean: float
    deviation: float


def squared_mmd(x: Tensor, y: Tensor, kernel: Kernel, *, unbiased: bool = True) -> float:
    """MMD^2 of [N, F] and [M, F]; unbiased, it may be slightly negative for equal distributions.

    Args:
        kernel: [N, F], [M, F] -> [N, M].
        unbiased: leave a sample's likeness to itself out; False: never negative, 0 for equal sets.

    Raises:
        OptionError: shapes that do not fit, or fewer than two rows.
    """
    x, y = check_features(x, y)
    within = [_mean_within(kernel(rows, rows), unbiased) for rows in (x, y)]
    return (sum(within) - 2 * kernel(x, y).mean()).item()


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(x . y / F + 1)^3 of rows [N, F] and [M, F]: [N, M] (Binkowski et al. 2018, Section 4)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def gaussian_kernel(x: Tensor, y: Tensor) -> Tensor:
    """exp(-|x - y|^2 / (2 sigma^2)) of rows with sigma 10: [N, M] (Jayasumana et al. 2024)."""
    return torch.exp(-torch.cdist(x, y).square() / (2 * CMMD_SIGMA**2))


def kernel_distance(
    x: Tensor, y: Tensor, generator: torch.Generator, *, subsets: int = 100, size: int = 1000
) -> Estimate:
    """KID (Binkowski et al. 2018, arXiv 1801.01401): polynomial MMD^2, unbiased, over subsets.

    About 0 .. a few, 0 on average for equal distributions; the subsets overlap, so that their
    deviation tells how far to trust one subset, and the mean is better than that.

    Args:
        x, y: features [N, F] and [M, F].
        generator: where the subsets are drawn from.
        subsets: how many.
        size: rows of each; at most half of the smaller set, so that subsets differ.

    Raises:
        OptionError: shapes that do not fit, fewer than four rows, or no subsets.
    """
    x, y = check_features(x, y, least=4)
    if subsets < 1 or size < 2:
        raise OptionError(
            f"{subsets} subsets of {size} rows; at least 1 of 2 are accepted: leave both out"
        )
    size = min(size, len(x) // 2, len(y) // 2)
    found = []
    for _ in range(subsets):
        rows = [m[torch.randperm(len(m), generator=generator)[:size].to(m.device)] for m in (x, y)]
        found.append(squared_mmd(*rows, polynomial_kernel))
    values = torch.tensor(found, dtype=torch.float64)
    return Estimate(values.mean().item(), values.std(correction=0).item())


def cmmd(x: Tensor, y: Tensor) -> float:
    """CMMD (Jayasumana et al. 2024, arXiv 2401.09603): 1000 MMD^2, Gaussian kernel of sigma 10.

    Rows are scaled to unit length, as CLIP's are; the estimate is the biased one of the published
    code: 0 .. 4000, 0 for equal sets. The name is right for features of CLIP only; with others it
    is the same arithmetic and other numbers. Lu & Zhou (2025, supplementary 6.5) use it.

    Args:
        x, y: features [N, F] and [M, F].

    Raises:
        OptionError: shapes that do not fit, or fewer than two rows.
    """
    x, y = (F.normalize(rows.double()) for rows in (x, y))
    return CMMD_SCALE * squared_mmd(x, y, gaussian_kernel, unbiased=False)


def _mean_within(likeness: Tensor, unbiased: bool) -> Tensor:
    if not unbiased:
        return likeness.mean()
    count = len(likeness)
    return (likeness.sum() - likeness.trace()) / (count * (count - 1))
