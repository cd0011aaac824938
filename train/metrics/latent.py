"""Where an encoder's codes lie against those the generator was trained with (AgileGAN, Fig. 2)."""

import torch
from torch import Tensor

from engine.errors import OptionError
from train.metrics.matrices import check_features

PERPLEXITY = 30.0


def tsne(codes: Tensor, prior: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Lay codes and samples of the prior out in one plane by t-SNE (van der Maaten & Hinton 2008).

    AgileGAN, Section 4.2: 2,000 samples of N(0, I) in Z+, mapped to W+, beside the test photos'
    codes in W+.

    Args:
        codes, prior: [N, L, 512] and [M, L, 512], or already flat.
        seed: of the optimisation; equal inputs and seeds give equal pictures on one machine.

    Returns:
        (of the codes [N, 2], of the prior [M, 2]), float32; only neighbourhoods mean something.

    Raises:
        OptionError: shapes that do not fit, or fewer than four codes.
    """
    from sklearn.manifold import TSNE  # a second to import, and only figures need it

    codes, prior = check_features(codes.flatten(1), prior.flatten(1))
    together = torch.cat([codes, prior]).float().numpy()
    if len(together) < 4:
        raise OptionError(f"t-SNE of {len(together)} codes; at least 4 are accepted: use more")
    perplexity = min(PERPLEXITY, (len(together) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(together)
    plane = torch.from_numpy(layout)
    return plane[: len(codes)], plane[len(codes) :]


def overlap(codes: Tensor, prior: Tensor, generator: torch.Generator, k: int = 10) -> float:
    """How evenly codes and prior are mixed: 0 apart .. 1 as one distribution, a number for Fig. 2.

    The share of samples of the prior among the k nearest neighbours of a code, over the share that
    would be expected if both were one distribution; the larger set is thinned out to the size of
    the smaller one. In a plane of `tsne` it says what the eye sees there.

    Args:
        codes, prior: [N, F] and [M, F].
        generator: which rows of the larger set stay.

    Raises:
        OptionError: shapes that do not fit, or k outside of what min(N, M) rows have.
    """
    codes, prior = check_features(codes, prior)
    count = min(len(codes), len(prior))
    if not 1 <= k < 2 * count:
        raise OptionError(
            f"k is {k} with {count} codes a side; accepted are 1 .. {2 * count - 1}: use more codes"
        )
    kept = [m[torch.randperm(len(m), generator=generator)[:count]] for m in (codes, prior)]
    distances = torch.cdist(kept[0], torch.cat(kept))  # [n, 2 n]
    distances[:, :count].fill_diagonal_(float("inf"))
    neighbours = distances.topk(k, largest=False).indices
    share = (neighbours >= count).double().mean().item()
    return min(1.0, share / (count / (2 * count - 1)))
