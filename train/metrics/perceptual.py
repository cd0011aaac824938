"""Perceptual distances over whole sets: semantic likeness, diversity, and between two models.

`distance` is any callable ([N, 3, H, W], [N, 3, H, W]) -> [N] on pictures in [-1, 1]: LPIPS of the
papers (`engine.inversion.lpips_distance`, VGG-16 or AlexNet, where their weights are), or
`engine.models.perceptual.PerceptualDistance` on SqueezeNet, whose numbers are on another scale.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.errors import OptionError

Distance = Callable[[Tensor, Tensor], Tensor]
BATCH = 16


def perceptual_distances(a: Tensor, b: Tensor, distance: Distance) -> Tensor:
    """Distance of picture i to picture i: [N], on the CPU.

    The mean is UI2I-StyleGAN2's LPIPS_s of results and inputs (Huang et al. 2021, Section IV-D:
    semantic similarity, lower is closer) and Lu & Zhou's perceptual distance (2025, Table 1; there
    of AlexNet's LPIPS).
    """
    with torch.inference_mode():
        parts = [distance(*pair) for pair in zip(a.split(BATCH), b.split(BATCH), strict=True)]
    return torch.cat(parts).float().cpu()


def diversity(
    pictures: Tensor, distance: Distance, generator: torch.Generator, pairs: int = 200
) -> float:
    """LPIPS_d of UI2I-StyleGAN2 (Section IV-D): mean distance of two results drawn at random.

    0 where all results are the same; higher is more diverse.

    Args:
        pictures: [N, 3, H, W]; variations of one photo measure how multimodal a style is.
        generator: where the pairs are drawn from.
        pairs: how many; all of them where there are no more.

    Raises:
        OptionError: fewer than two pictures.
    """
    _check_count(pictures)
    every = torch.combinations(torch.arange(len(pictures)))  # [N (N - 1) / 2, 2]
    first, second = every[torch.randperm(len(every), generator=generator)[:pairs]].T
    return perceptual_distances(pictures[first], pictures[second], distance).mean().item()


def diversity_of_rows(rows: Tensor) -> float:
    """LPIPS_d over all pairs, where a squared distance of rows is the perceptual distance.

    The mean of |a - b|^2 over pairs is twice the variance of the rows, summed over their elements.

    Args:
        rows: [N, F], for example of `train.features.Eyes.perceptual`.

    Raises:
        OptionError: fewer than two rows.
    """
    _check_count(rows)
    return 2 * rows.var(dim=0).sum(dtype=torch.float64).item()  # rows are long: no copy in double


def model_distance(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    z: Tensor,
    distance: Distance,
) -> float:
    """UI2I-StyleGAN2's distance of two generators (Huang et al. 2021, Equation 1).

        d(G_i, G_j) = integral of dist(G_i(z), G_j(z)) dz,  z ~ N(0, I)

    here the mean over the given codes (2,000 in the paper); 0 for equal generators.

    Args:
        first, second: [n, z_dim] -> pictures [n, 3, R, R] in [-1, 1].
        z: codes drawn from N(0, I), [N, z_dim].
    """
    with torch.inference_mode():
        parts = [
            perceptual_distances(first(codes).clamp(-1, 1), second(codes).clamp(-1, 1), distance)
            for codes in z.split(BATCH)
        ]
    return torch.cat(parts).mean().item()


def _check_count(pictures: Tensor) -> None:
    if len(pictures) < 2:
        raise OptionError(
            f"diversity of {len(pictures)} pictures; at least 2 are accepted: draw more"
        )
