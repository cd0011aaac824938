"""Adaptive augmentation: strength, differentiability, control."""

import torch

from train.augment import Augment


def pictures():
    return torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_probability_zero_changes_nothing():
    x = pictures()
    assert Augment(0.0)(x) is x


def test_transforms_differ_per_picture_and_pass_gradients():
    x = pictures()[:1].repeat(8, 1, 1, 1).requires_grad_()
    torch.manual_seed(0)
    y = Augment(0.8)(x)
    assert y.shape == x.shape and y.isfinite().all()
    assert all(not torch.equal(y[0], other) for other in y[1:])
    y.sum().backward()
    assert x.grad.abs().sum() > 0


def test_small_probability_leaves_most_pictures_almost_alone():
    x = pictures()
    torch.manual_seed(0)
    unchanged = ((Augment(0.02)(x) - x).abs().amax((1, 2, 3)) < 1e-4).sum()
    assert unchanged >= 5


def test_colours_keep_grey_grey_under_hue_and_saturation():
    grey = torch.full((64, 3, 4, 4), 0.3)
    torch.manual_seed(0)
    out = Augment(1.0)(grey)
    assert (out.amax(1) - out.amin(1)).max() < 1e-4


def test_p_follows_the_sign_of_the_scores():
    augment = Augment()
    for _ in range(10):
        augment.adapt(sign=1.0, images=100, speed=10_000)
    assert abs(augment.p - 0.1) < 1e-9
    augment.adapt(sign=0.0, images=2000, speed=10_000)
    assert augment.p == 0
    again = Augment()
    again.load_state_dict(Augment(0.3).state_dict())
    assert again.p == 0.3
