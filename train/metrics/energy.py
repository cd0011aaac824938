"""How far two sets of features are from each other, without a kernel or a scale to choose.

Szekely & Rizzo 2013 ("Energy statistics", J. Stat. Planning and Inference 143), Section 2:

    E = 2 E|x - y| - E|x - x'| - E|y - y'|        0 only for equal distributions

A sample's distance to itself is left out, so that small sets are not far from each other by chance.
"""

import torch
from torch import Tensor

from train.metrics.matrices import check_features


def energy_distance(x: Tensor, y: Tensor) -> float:
    """E of [N, F] and [M, F], in the features' units; about 0, perhaps below, for equal ones.

    Raises:
        OptionError: shapes that do not fit, or fewer than two rows.
    """
    x, y = check_features(x, y)
    return 2 * torch.cdist(x, y).mean().item() - _within(x) - _within(y)


def energy_coefficient(x: Tensor, y: Tensor) -> float:
    """E over 2 E|x - y|: from 0 (equal distributions) to 1 (two different points), no units.

    Raises:
        OptionError: shapes that do not fit, or fewer than two rows.
    """
    x, y = check_features(x, y)
    between = 2 * torch.cdist(x, y).mean().item()
    return energy_distance(x, y) / max(between, 1e-12)


def _within(x: Tensor) -> float:
    return torch.cdist(x, x).sum().item() / (len(x) * (len(x) - 1))
