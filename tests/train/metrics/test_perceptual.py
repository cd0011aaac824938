"""Perceptual distances over sets, with a distance that can be computed by hand."""

import pytest
import torch

from engine.errors import OptionError
from engine.models.perceptual import PerceptualDistance, SqueezeNet, feature_distance
from train.metrics import (
    content_similarity,
    diversity,
    diversity_of_rows,
    model_distance,
    perceptual_distances,
)


def squared(a, b):
    return (a - b).square().sum(dim=(1, 2, 3))


def grey(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 1, 1)


def test_pairs_in_order_over_several_batches():
    a, b = grey(*torch.linspace(-1, 1, 40).tolist()), grey(*[0.0] * 40)
    torch.testing.assert_close(perceptual_distances(a, b, squared), squared(a, b))


def test_diversity_is_the_mean_over_pairs():
    generator = torch.Generator().manual_seed(0)
    pictures = grey(0.0, 0.5, 1.0)
    expected = 3 * (0.25 + 1.0 + 0.25) / 3
    assert diversity(pictures, squared, generator) == pytest.approx(expected)
    assert diversity_of_rows(pictures.flatten(1)) == pytest.approx(expected)
    assert diversity(grey(0.3, 0.3), squared, generator) == 0
    assert diversity(pictures, squared, generator, pairs=1) in [pytest.approx(v) for v in (0.75, 3)]
    for few in (diversity, lambda x, *_: diversity_of_rows(x.flatten(1))):
        with pytest.raises(OptionError, match="at least 2"):
            few(grey(0.0), squared, generator)


def test_model_distance():
    z = torch.linspace(-1, 1, 40)[:, None]

    def first(codes):
        return grey(*codes[:, 0].tolist())

    def second(codes):
        return first(codes) * 0.5

    assert model_distance(first, first, z, squared) == 0
    expected = 3 * (z * 0.5).square().mean().item()
    assert model_distance(first, second, z, squared) == pytest.approx(expected)
    assert model_distance(second, first, z, squared) == pytest.approx(expected)


def test_content_similarity_is_the_mean_cosine():
    torch.manual_seed(0)
    distance = PerceptualDistance(SqueezeNet(), drop_first=2)
    a, b = (torch.rand(2, 3, 64, 64) * 2 - 1 for _ in "ab")
    found = content_similarity(distance(a, b))
    layers = zip(*(distance.net.features(x, distance.layers) for x in (a, b)), strict=True)
    cosines = [torch.cosine_similarity(x, y, dim=1).mean((1, 2)) for x, y in layers]
    torch.testing.assert_close(found, torch.stack(cosines).mean(0), atol=1e-4, rtol=0)
    assert (
        content_similarity(feature_distance(distance.features(a), distance.features(a))).min() == 1
    )
