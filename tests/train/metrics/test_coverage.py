"""Density and coverage against scikit-learn's neighbours and by their expectation."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from engine.errors import OptionError
from train.metrics import density_coverage


def draw(count, seed, shift=0.0):
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize(("counts", "k"), [((40, 30), 5), ((12, 50), 1)])
def test_agree_with_scikit_learn(counts, k):
    real, fake = draw(counts[0], 0), draw(counts[1], 1, 0.5)
    radius = NearestNeighbors(n_neighbors=k + 1).fit(real).kneighbors(real)[0][:, -1]
    inside = np.linalg.norm(real.numpy()[:, None] - fake.numpy()[None], axis=2) < radius[:, None]
    density, coverage = density_coverage(real, fake, k)
    assert density == pytest.approx(inside.sum() / (k * counts[1]))
    assert coverage == pytest.approx(inside.any(1).mean())


def test_what_they_tell_apart():
    real = draw(400, 0)
    density, coverage = density_coverage(real, draw(400, 1))
    assert density == pytest.approx(1, abs=0.15) and coverage == pytest.approx(1 - 2**-5, abs=0.03)
    assert density_coverage(real, draw(400, 1, shift=50.0)) == (0, 0)
    one = real[:1].expand(400, -1) + 1e-4  # collapsed on one exemplar: dense, covers little
    density, coverage = density_coverage(real, one)
    assert density > 0.5 and coverage < 0.1


def test_errors_say_what_is_accepted():
    with pytest.raises(OptionError, match="k is 5 with 5 exemplars; accepted are 1 .. 4"):
        density_coverage(draw(5, 0), draw(5, 1))
