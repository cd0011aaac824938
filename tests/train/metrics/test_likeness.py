"""Identity, style and retrieval by known vectors."""

import pytest
import torch

from engine.errors import OptionError
from train.metrics import (
    gram_vector,
    identity_cosine,
    identity_distance,
    own_nearest,
    result_name,
    style_similarity,
)


def test_cosines():
    x, y = torch.tensor([[1.0, 0], [1, 1], [2, 0]]), torch.tensor([[3.0, 0], [1, -1], [-1, 0]])
    assert identity_cosine(x, y).tolist() == pytest.approx([1, 0, -1])
    assert identity_distance(x, y).tolist() == pytest.approx([0, 1, 2])
    with pytest.raises(OptionError, match="the same pictures in the same order"):
        identity_cosine(x, y[:2])


def test_own_nearest():
    distances = torch.tensor([[1.0, 2, 3], [1, 2, 3], [4, 5, 3]])
    assert own_nearest(distances) == pytest.approx(2 / 3)
    assert own_nearest(torch.zeros(3, 3)) == 0  # a collapsed style recognises nobody


def test_gram_vectors_have_the_products_of_gram_matrices():
    x, y = torch.rand(2, 5, 4, 4), torch.rand(2, 5, 3, 3)  # sizes may differ: places are averaged
    grams = [torch.einsum("nchw,ndhw->ncd", z, z).flatten(1) for z in (x, y)]
    a, b = gram_vector([x]), gram_vector([y])
    torch.testing.assert_close((a * b).sum(1), torch.cosine_similarity(*grams, dim=1))
    rolled = gram_vector([x.roll((1, 2), (2, 3))])
    torch.testing.assert_close(rolled, a)  # where a texture is does not matter
    torch.testing.assert_close(gram_vector([x, y]).norm(dim=1), torch.ones(2))


def test_style_similarity_is_a_direction_from_the_photos():
    photos, exemplars = torch.zeros(2, 3), torch.tensor([[1.0, 1, 0], [1, -1, 0]])
    results = torch.tensor([[5.0, 0, 0], [0, 0, 1], [-1, 0, 0]])
    assert style_similarity(results, exemplars, photos).tolist() == pytest.approx([1, 0, -1])
    with pytest.raises(OptionError, match="one F"):
        style_similarity(results, exemplars[:, :2], photos)


def test_names_carry_extractor_and_counts():
    assert result_name("kid", "squeezenet", 175, 240) == "kid_squeezenet_175x240"
    assert result_name("ssim", "", 175) == "ssim_175"
