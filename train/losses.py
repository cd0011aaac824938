"""Losses of the recipes: pure functions that return unweighted terms."""

import math

import torch
import torch.nn.functional as F

from engine.models.perceptual import PerceptualDistance
from train.distributed import WHOLE, Share


def logistic_d(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Discriminator's logistic loss (Goodfellow et al. 2014) on scores [N, 1]."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def logistic_g(fake: torch.Tensor) -> torch.Tensor:
    """Generator's non-saturating logistic loss on scores [N, 1]."""
    return F.softplus(-fake).mean()


def hinge_d(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """Discriminator's hinge loss on scores [N, 1] (AgileGAN, Section 3.3)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def hinge_g(fake: torch.Tensor) -> torch.Tensor:
    """Generator's hinge loss on scores [N, 1]."""
    return -fake.mean()


def r1_penalty(score: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Squared gradient norm of the real scores (Mescheder et al. 2018), mean over the batch.

    `image` must require a gradient and be what `score` was computed from.
    """
    (gradient,) = torch.autograd.grad(score.sum(), image, create_graph=True)
    return gradient.float().square().sum((1, 2, 3)).mean()


def path_length_penalty(
    image: torch.Tensor,
    ws: torch.Tensor,
    mean: float,
    decay: float = 0.01,
    share: Share = WHOLE,
) -> tuple[torch.Tensor, float]:
    """StyleGAN2's path length regularisation (Karras et al. 2020, Section 3.2).

    Args:
        image: [N, 3, R, R], computed from `ws` [N, L, 512], which requires a gradient.
        mean: running mean of the path length before this step.
        decay: how fast the running mean follows.
        share: which part of a batch the pictures are.

    Returns:
        (the penalty, the new running mean).
    """
    noise = share.randn(image.shape, image.device) / math.sqrt(image.shape[2] * image.shape[3])
    (gradient,) = torch.autograd.grad((image * noise).sum(), ws, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    new_mean = mean + decay * (float(lengths.detach().mean()) - mean)
    return (lengths - mean).square().mean(), new_mean


def kl_divergence(mu: torch.Tensor, logvar: torch.Tensor) -> torch.Tensor:
    """KL(N(mu, exp logvar) || N(0, I)), summed over each 512-d code, mean over codes and batch.

    AgileGAN, Equation 3; mu and logvar are [N, L, 512].
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(-1).mean()


def enlarged_face(images: torch.Tensor) -> torch.Tensor:
    """Eyes to mouth of FFHQ-aligned pictures [N, 3, R, R], enlarged twice: [N, 3, R, R].

    FFHQ's alignment puts the eyes at 0.47 and the mouth at 0.66 of the height.
    """
    size = images.shape[-1]
    top, left = round(0.34 * size), round(0.25 * size)
    face = images[..., top : top + size // 2, left : left + size // 2]
    return F.interpolate(face, scale_factor=2, mode="bilinear", align_corners=False)


def drawing_losses(
    drawn: torch.Tensor, wanted: torch.Tensor, distance: PerceptualDistance | None
) -> dict[str, torch.Tensor]:
    """How far drawings [N, 3, R, R] are from those wanted; without a network no perceptual term."""
    drawn = drawn.float()
    terms = {"l1": (drawn - wanted).abs().mean()}
    if distance is not None:
        terms["perceptual"] = distance(drawn, wanted).mean()
    return terms
