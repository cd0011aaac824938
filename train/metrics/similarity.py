"""Style and content similarity on the features of a classification network.

None of the papers this project implements defines numbers of these names. Their definitions here:
content is what UI2I-StyleGAN2's LPIPS_s (2021, Section IV-D) looks at, on the layers that
AgileGAN's Equation 10 keeps; style is what Gatys et al. (2016, Equations 3 and 4) call style, the
Gram matrices that BlendGAN's style encoder reads (Liu et al. 2021), compared by their cosine.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from train.metrics.matrices import check_features


def content_similarity(distances: Tensor) -> Tensor:
    """Mean cosine of activations place by place: [N], 0 .. 1, 1 if equal.

    LPIPS without weights compares unit vectors, and |a - b|^2 = 2 - 2 cos(a, b); so this is
    1 - d / 2, here of a distance without the first layers, which would see colour and texture.

    Args:
        distances: [N], of `PerceptualDistance(net, drop_first=2)`.
    """
    return 1 - distances / 2


def gram_vector(activations: Sequence[Tensor]) -> Tensor:
    """Gram matrices of activations as one row of unit length per picture: [N, F].

    G_cd = mean over positions of x_c x_d (Gatys et al. 2016, Equation 3), its upper triangle with
    off-diagonal entries counted twice, every layer with the same weight.

    Args:
        activations: [N, C_l, H_l, W_l] each.
    """
    rows = []
    for x in activations:
        x = x.flatten(2)  # [N, C, H W]
        gram = x @ x.transpose(1, 2) / x.shape[2]  # [N, C, C]
        i, j = torch.triu_indices(gram.shape[1], gram.shape[2])
        weight = torch.where(i == j, 1.0, 2**0.5).to(gram)
        rows.append(F.normalize(gram[:, i, j] * weight))
    return torch.cat(rows, dim=1) / len(rows) ** 0.5


def style_similarity(results: Tensor, exemplars: Tensor, origin: Tensor) -> Tensor:
    """Cosine of results and exemplars as seen from pictures without style: [N], -1 .. 1.

    Gram matrices of any two pictures are alike (cosines above 0.9), so both are compared by how
    they differ from the mean origin: 1 moves exactly towards the mean exemplar, 0 elsewhere.

    Args:
        results: Gram vectors [N, F].
        exemplars: those of the style [M, F]; one row for a single reference.
        origin: those of photos, or better of what the base draws of them, which is as blurred as
            the results [K, F].

    Raises:
        OptionError: shapes that do not fit.
    """
    results, exemplars, origin = check_features(results, exemplars, origin, least=1)
    start = origin.mean(dim=0)
    return F.cosine_similarity(results - start, (exemplars.mean(dim=0) - start)[None], dim=1)
