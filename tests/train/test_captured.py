"""Steps without a GPU, and numbers: what is recorded on one is tested in test_captured_gpu.py."""

import pytest
import torch

from engine.errors import TrainingError
from train.captured import Captured, mean_of
from train.numbers import Numbers

CPU = torch.device("cpu")


def test_on_a_cpu_a_step_is_called_as_it_is():
    calls = []

    def step(x, *, twice):
        calls.append(twice)
        return {"sum": x.sum() * (1 + twice)}

    captured = Captured(step, CPU, whole=True)
    assert [float(captured(torch.ones(3), twice=t)["sum"]) for t in (False, True)] == [3, 6]
    assert calls == [False, True] and not captured.records


def test_optimizers_stay_as_they_are_on_a_cpu():
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))], 0.1, fused=True)
    Captured(lambda: {}, CPU, optimizer, whole=True)
    assert optimizer.param_groups[0]["lr"] == 0.1 and not optimizer.param_groups[0]["capturable"]


def test_the_mean_is_over_the_parts_that_have_a_number():
    parts = [
        {"a": torch.tensor(1.0, requires_grad=True)},
        {"a": torch.tensor(3.0), "b": torch.tensor(0.0)},
    ]
    found = mean_of(parts)
    assert float(found["a"]) == 2 and float(found["b"]) == 0 and not found["a"].requires_grad


def test_numbers_are_averaged_and_cleared(tmp_path):
    numbers = Numbers(tmp_path / "state.pt")
    assert not numbers
    numbers.add({"a": 1.0, "b": torch.tensor(4.0)}, 8)
    numbers.add({"a": torch.tensor(3.0)}, 16)
    assert numbers and numbers.means() == {"a": 2.0, "b": 4.0} and not numbers
    with pytest.raises(TrainingError, match="a became nan after 24 images; .*state.pt"):
        numbers.add({"a": torch.tensor(float("nan"))}, 24)
