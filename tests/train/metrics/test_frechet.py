"""The Frechet distance by known answers and against torchmetrics."""

import pytest
import torch

from engine.errors import OptionError
from train.metrics import frechet_distance


def features(count, width, seed):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(width, width, generator=generator)
    return torch.randn(count, width, generator=generator) @ mix + torch.randn(width) / 9


def exactly(mean, covariance, count=64):
    """Rows whose mean and covariance are exactly those asked for."""
    x = torch.randn(count, len(mean), dtype=torch.float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(
        torch.linalg.cholesky(x.T @ x / (count - 1)), x.T, upper=False
    ).T
    return white @ torch.linalg.cholesky(covariance).T + mean


@pytest.mark.parametrize("count", [5, 40])  # fewer and more samples than features
def test_a_set_is_at_no_distance_from_itself(count):
    x = features(count, 12, seed=0)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x.flip(0)) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + 3) == pytest.approx(12 * 9, rel=1e-5)


def test_gaussians_with_a_known_distance():
    zero, shift = torch.zeros(3).double(), torch.tensor([1.0, 2.0, 2.0]).double()
    a = exactly(zero, torch.diag(torch.tensor([1.0, 4.0, 9.0])).double())
    b = exactly(shift, torch.diag(torch.tensor([4.0, 4.0, 1.0])).double())
    assert frechet_distance(a, b) == pytest.approx(9 + 1 + 0 + 4, rel=1e-9)  # sum of (s - t)^2
    turn = torch.linalg.qr(torch.randn(3, 3).double()).Q  # the distance does not see turns
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(14, rel=1e-9)


@pytest.mark.parametrize(("counts", "width"), [((200, 150), 20), ((10, 14), 32)])
def test_agrees_with_torchmetrics(counts, width):
    fid = pytest.importorskip("torchmetrics.image.fid")
    x, y = features(counts[0], width, 1), features(counts[1], width, 2)
    expected = fid._compute_fid(
        *[m for z in (x, y) for m in (z.double().mean(0), z.double().T.cov())]
    )
    assert frechet_distance(x, y) == pytest.approx(expected.item(), rel=1e-5)


def test_errors_say_what_is_accepted():
    with pytest.raises(OptionError, match=r"\[4, 3\], \[4, 2\]; expected .* one F"):
        frechet_distance(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(OptionError, match="at least 2 rows each: use more pictures"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(4, 3))
    with pytest.raises(OptionError, match="infinite or undefined values"):
        frechet_distance(torch.full((4, 3), torch.nan), torch.zeros(4, 3))
