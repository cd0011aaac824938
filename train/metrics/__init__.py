"""Metrics: pure functions of feature matrices [N, F] or of pictures [N, 3, H, W] in [-1, 1].

A result is named after the metric, the extractor of its features and the counts it was computed
from (`result_name`), because numbers of other extractors or counts do not compare.
"""

from train.metrics.coverage import density_coverage
from train.metrics.energy import energy_coefficient, energy_distance
from train.metrics.frechet import frechet_distance
from train.metrics.latent import overlap, tsne
from train.metrics.likeness import identity_cosine, identity_distance, own_nearest
from train.metrics.mmd import Estimate, cmmd, kernel_distance, squared_mmd
from train.metrics.perceptual import (
    Distance,
    diversity,
    diversity_of_rows,
    model_distance,
    perceptual_distances,
)
from train.metrics.pictures import psnr, squared_error, ssim
from train.metrics.similarity import content_similarity, gram_vector, style_similarity

__all__ = [
    "Distance",
    "Estimate",
    "cmmd",
    "content_similarity",
    "density_coverage",
    "diversity",
    "diversity_of_rows",
    "energy_coefficient",
    "energy_distance",
    "frechet_distance",
    "gram_vector",
    "identity_cosine",
    "identity_distance",
    "kernel_distance",
    "model_distance",
    "overlap",
    "own_nearest",
    "perceptual_distances",
    "psnr",
    "result_name",
    "squared_error",
    "squared_mmd",
    "ssim",
    "style_similarity",
    "tsne",
]


def result_name(metric: str, extractor: str, *counts: int) -> str:
    """Return the name of a result: `result_name("kid", "squeezenet", 175, 240)`.

    That is "kid_squeezenet_175x240"; the extractor is "" for metrics of the pixels.
    """
    return "_".join(part for part in (metric, extractor, "x".join(map(str, counts))) if part)
