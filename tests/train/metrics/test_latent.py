"""Overlap of codes and prior where the answer is known, and t-SNE that keeps clusters apart."""

import pytest
import torch

from engine.errors import OptionError
from train.metrics import overlap, tsne


def draw(count, seed, shift=0.0):
    return torch.randn(count, 5, generator=torch.Generator().manual_seed(seed)) + shift


def seeded():
    return torch.Generator().manual_seed(0)


def test_overlap_of_one_and_of_two_distributions():
    assert overlap(draw(200, 0), draw(900, 1), seeded()) > 0.93
    assert overlap(draw(200, 0), draw(900, 1, 40.0), seeded()) == 0
    nearer = [overlap(draw(200, 0), draw(200, 1, s), seeded()) for s in (0.5, 1.0, 2.0)]
    assert nearer == sorted(nearer, reverse=True)
    narrow = overlap(draw(200, 0) * 0.1, draw(900, 1), seeded())  # inside, but far too dense
    assert narrow < 0.3


def test_a_code_is_no_neighbour_of_its_own():
    codes = torch.arange(8.0)[:, None]
    assert overlap(codes, codes + 0.1, seeded(), k=1) == 1  # the nearest is always of the prior


def test_tsne_is_repeatable_and_keeps_clusters_apart():
    codes, prior = draw(20, 0).reshape(20, 1, 5), draw(30, 1, 30.0).reshape(30, 1, 5)
    a, b = tsne(codes, prior, seed=3)
    assert a.shape == (20, 2) and b.shape == (30, 2)
    assert torch.equal(a, tsne(codes, prior, seed=3)[0])
    assert overlap(a, b, seeded(), k=5) == 0


def test_errors_say_what_is_accepted():
    with pytest.raises(OptionError, match="k is 10 with 4 codes a side; accepted are 1 .. 7"):
        overlap(draw(4, 0), draw(9, 1), seeded())
    with pytest.raises(OptionError, match="one F"):
        tsne(draw(4, 0), draw(4, 1)[:, :2])
