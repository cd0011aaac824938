"""KID and CMMD by hand, by their expectation, and against torchmetrics."""

import pytest
import torch
from sklearn.metrics.pairwise import polynomial_kernel as sklearn_polynomial
from sklearn.metrics.pairwise import rbf_kernel

from engine.errors import OptionError
from train.metrics import cmmd, kernel_distance, squared_mmd
from train.metrics.mmd import gaussian_kernel, polynomial_kernel


def draw(count, seed, width=16, shift=0.0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) + shift


def test_kernels_agree_with_scikit_learn():
    x, y = draw(7, 0).double(), draw(5, 1).double()
    expected = sklearn_polynomial(x, y, degree=3, gamma=1 / 16, coef0=1)
    torch.testing.assert_close(polynomial_kernel(x, y), torch.from_numpy(expected))
    expected = rbf_kernel(x, y, gamma=1 / 200)
    torch.testing.assert_close(gaussian_kernel(x, y), torch.from_numpy(expected))


def test_two_points_a_side_by_hand():
    x, y = torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([[1.0, 1], [0, 0]])

    def linear(a, b):
        return a @ b.T

    assert squared_mmd(x, y, linear) == pytest.approx(0 + 0 - 2 * 0.5)
    assert squared_mmd(x, y, linear, unbiased=False) == pytest.approx(0)  # equal means
    assert squared_mmd(x + 1, y, linear, unbiased=False) == pytest.approx(2)  # |1, 1|^2


def test_unbiased_is_zero_on_average_for_one_distribution():
    found = [squared_mmd(draw(20, s), draw(20, s + 500), polynomial_kernel) for s in range(200)]
    values = torch.tensor(found)
    assert abs(values.mean()) < 4 * values.std() / 200**0.5
    assert values.min() < 0 < squared_mmd(draw(20, 0), draw(20, 1, shift=1.0), polynomial_kernel)


def test_kid_agrees_with_torchmetrics():
    kid = pytest.importorskip("torchmetrics.image.kid")
    x, y = draw(60, 0).double(), draw(60, 1, shift=0.5).double()
    expected = kid.poly_mmd(x, y, degree=3, gamma=None, coef=1.0).item()
    assert squared_mmd(x, y, polynomial_kernel) == pytest.approx(expected, rel=1e-9)
    estimate = kernel_distance(x, y, torch.Generator().manual_seed(0), subsets=200)
    assert abs(estimate.mean - expected) < estimate.deviation  # subsets scatter around the whole
    assert 0 < estimate.deviation < expected


def test_kid_is_a_function_of_its_generator():
    x, y = draw(30, 0), draw(40, 1)
    a, b, c = (kernel_distance(x, y, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert a == b != c


def test_cmmd():
    x = draw(30, 0)
    assert cmmd(x, 5 * x) == pytest.approx(0, abs=1e-6)  # only directions count
    apart = torch.eye(2)[[0, 0, 0]], torch.eye(2)[[1, 1, 1]]  # distance of the rows: root 2
    assert cmmd(*apart) == pytest.approx(2000 * (1 - torch.tensor(-2 / 200).exp().item()), rel=1e-6)


def test_errors_say_what_is_accepted():
    generator = torch.Generator()
    with pytest.raises(OptionError, match="at least 4 rows each"):
        kernel_distance(draw(3, 0), draw(9, 1), generator)
    with pytest.raises(OptionError, match="0 subsets of 1000 rows; at least 1 of 2"):
        kernel_distance(draw(9, 0), draw(9, 1), generator, subsets=0)
