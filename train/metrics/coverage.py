"""Density and coverage: whether results look like the exemplars, and like how many of them."""

import torch
from torch import Tensor

from engine.errors import OptionError
from train.metrics.matrices import check_features


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    """Density and coverage (Naeem et al. 2020, arXiv 2002.09797, Equations 3 and 5).

    Around every real sample lies a ball that reaches to its k-th nearest real neighbour. Density is
    how many balls a fake is in, over k: 0 .. N / k, about 1 for equal distributions. Coverage is
    the share of balls with a fake in them: 0 .. 1, and 1 - 1 / 2^k or so for equal distributions of
    equal size. Fewer fakes than reals cover less: compare equal counts.

    Args:
        real: features of the exemplars [N, F], N > k.
        fake: features of the results [M, F].

    Raises:
        OptionError: shapes that do not fit, or k outside of 1 .. N - 1.
    """
    if not 1 <= k < len(real):
        raise OptionError(
            f"k is {k} with {len(real)} exemplars; accepted are 1 .. {len(real) - 1}: change k"
        )
    real, fake = check_features(real, fake, least=1)
    among = torch.cdist(real, real)
    among.fill_diagonal_(float("inf"))
    radius = among.kthvalue(k, dim=1).values[:, None]  # [N, 1]
    inside = torch.cdist(real, fake) < radius  # [N, M]
    density = inside.sum().item() / (k * len(fake))
    return density, inside.any(dim=1).double().mean().item()
