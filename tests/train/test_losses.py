"""Losses against values worked out by hand."""

import math

import pytest
import torch

from train import losses


def scores(*values):
    return torch.tensor(values).reshape(-1, 1)


def test_logistic_losses_of_an_undecided_discriminator():
    undecided = scores(0.0, 0.0)
    assert math.isclose(
        float(losses.logistic_d(undecided, undecided)), 2 * math.log(2), abs_tol=1e-6
    )
    assert math.isclose(float(losses.logistic_g(undecided)), math.log(2), abs_tol=1e-6)


def test_hinge_losses():
    assert losses.hinge_d(scores(2.0, 0.5), scores(-2.0, 0.0)) == 0.25 + 0.5
    assert losses.hinge_g(scores(1.0, 3.0)) == -2


def test_r1_of_a_linear_score():
    """The gradient of sum(3 x) is 3 at each of 2 x 3 x 3 x 3 entries of a picture."""
    image = torch.randn(2, 3, 3, 3, requires_grad=True)
    penalty = losses.r1_penalty((3 * image).sum((1, 2, 3))[:, None], image)
    assert torch.isclose(penalty, torch.tensor(9.0 * 27))


def test_path_length_pulls_towards_its_running_mean():
    ws = torch.ones(2, 4, 8, requires_grad=True)
    image = ws.square().sum((1, 2))[:, None, None, None].expand(-1, 3, 4, 4)
    torch.manual_seed(0)
    penalty, mean = losses.path_length_penalty(image, ws, mean=0.0)
    assert penalty > 0 and 0 < mean < 0.1
    penalty.backward()  # can be differentiated once more


@pytest.mark.parametrize("mu, logvar, expected", [(0, 0, 0.0), (1, 0, 4.0), (0, 1, 2.8731)])
def test_kl_of_known_gaussians(mu, logvar, expected):
    """Per dimension 0.5 (e^v - 1 - v + m^2); the codes have 8 dimensions."""
    shape = (2, 3, 8)
    kl = losses.kl_divergence(torch.full(shape, float(mu)), torch.full(shape, float(logvar)))
    assert math.isclose(float(kl), expected, abs_tol=1e-3)
