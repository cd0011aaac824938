"""Energy distance: known values, equal sets, the same answer for every unit."""

import pytest
import torch

from engine.errors import OptionError
from train.metrics import energy_coefficient, energy_distance


def test_known_values():
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[10.0], [11.0]])
    assert energy_distance(x, y) == pytest.approx(2 * 10 - 1 - 1)
    assert energy_coefficient(x, y) == pytest.approx(18 / 20)
    points = torch.zeros(3, 2), torch.ones(2, 2)
    assert energy_coefficient(*points) == pytest.approx(1)


def test_equal_distributions_are_about_nothing_apart_however_few():
    random = torch.Generator().manual_seed(0)
    drawn = [
        energy_distance(*(torch.randn(6, 8, generator=random) for _ in range(2)))
        for _ in range(200)
    ]
    assert sum(drawn) / len(drawn) == pytest.approx(0, abs=0.05)
    assert min(drawn) < 0


def test_a_mean_and_a_spread_are_both_seen():
    random = torch.Generator().manual_seed(0)
    x, y = (torch.randn(200, 4, generator=random) for _ in range(2))
    assert energy_distance(x, y + 1) > 10 * abs(energy_distance(x, y))
    assert energy_distance(x, 3 * y) > 10 * abs(energy_distance(x, y))
    assert energy_coefficient(5 * x, 5 * y + 5) == pytest.approx(energy_coefficient(x, y + 1))


def test_bad_shapes_are_refused():
    with pytest.raises(OptionError, match="at least 2 rows"):
        energy_distance(torch.zeros(1, 3), torch.zeros(2, 3))
