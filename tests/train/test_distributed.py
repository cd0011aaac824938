"""Shares of a batch, and steps that refuse what is not finite."""

import pytest
import torch
from torch import nn

from engine.errors import OptionError, TrainingError
from train.augment import Augment
from train.distributed import Share, any_process, mean_of_processes, take_step


def test_shares_are_rows_of_the_batch_and_of_its_random_numbers():
    batch = torch.arange(8)
    parts = [Share(i, 2).rows(batch) for i in range(2)]
    assert parts[0].tolist() == [0, 2, 4, 6] and parts[1].tolist() == [1, 3, 5, 7]
    for draw in ("randn", "rand"):
        torch.manual_seed(0)
        whole = getattr(Share(), draw)((8, 3), torch.device("cpu"))
        for i in range(2):
            torch.manual_seed(0)
            rows = getattr(Share(i, 2), draw)((4, 3), torch.device("cpu"))
            assert torch.equal(rows, whole[i::2])
    with pytest.raises(OptionError, match="8 pictures cannot be divided into 3 shares"):
        Share(0, 3).rows(batch)


def test_augmentation_of_a_share_is_that_of_its_rows():
    x = torch.rand(4, 3, 8, 8)
    torch.manual_seed(0)
    whole = Augment(0.7)(x)
    for i in range(2):
        torch.manual_seed(0)
        share = Share(i, 2)
        assert torch.allclose(Augment(0.7)(share.rows(x), share), whole[i::2], atol=1e-6)


def test_one_process_averages_nothing():
    assert mean_of_processes({"a": 2.0}, torch.device("cpu")) == {"a": 2.0}
    assert any_process(True, torch.device("cpu")) and not any_process(False, torch.device("cpu"))


def test_a_gradient_that_is_not_finite_leaves_the_weights():
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], 1.0)
    weight.grad = torch.tensor([1.0, float("nan")])
    with pytest.raises(TrainingError, match="not finite"):
        take_step(optimizer)
    assert torch.equal(weight, torch.ones(2))
    weight.grad = torch.tensor([3.0, 4.0])
    take_step(optimizer, largest_norm=1.0)
    assert torch.allclose(weight, torch.tensor([0.4, 0.2]), atol=1e-4)
