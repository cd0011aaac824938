"""Whether results still show whom they were made from: cosines of embeddings, and retrieval."""

from torch import Tensor
from torch.nn import functional as F

from train.metrics.matrices import check_rows


def identity_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosine of row i of [N, F] with row i of [N, F]: [N], -1 .. 1.

    On embeddings of faces: with MobileFaceNet 0.87 on average for one person neutral and smiling,
    0.04 for two people.

    Raises:
        OptionError: shapes that do not fit.
    """
    return F.cosine_similarity(*check_rows(x, y), dim=1)


def identity_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine, 0 .. 2: [N] (Lu & Zhou 2025, supplementary Table 6, there with ArcFace).

    Raises:
        OptionError: shapes that do not fit.
    """
    return 1 - identity_cosine(x, y)


def own_nearest(distances: Tensor) -> float:
    """Share of results that are nearer to their own photo than to any other, 0 .. 1.

    1 / N by chance. Ties count for another photo, so that results which are all the same get 0.
    Blurred results may all be nearest to the one blurred photo; given [N, N].T it asks the other
    way round, which result is nearest to a photo, and all results are equally blurred.

    Args:
        distances: [N, N], of result i to photo j.
    """
    others = distances.clone().fill_diagonal_(float("inf"))
    return (distances.diagonal() < others.min(dim=1).values).double().mean().item()
