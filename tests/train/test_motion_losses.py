"""Losses of the first order motion model: known values, gradients."""

import pytest
import torch
from torch.autograd import gradcheck

from motion.fomm import Keypoints
from motion.fomm.blocks import Reduction
from motion.fomm.dense_motion import inverse
from tests.train.test_deformation import drawn
from tests.train.tiny import drawn_squeezenet
from train.motion_losses import (
    equivariance,
    feature_matching,
    least_squares_d,
    least_squares_g,
    pyramid_difference,
    relative_difference,
)


def doubles(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def keypoints(n: int, k: int) -> Keypoints:
    torch.manual_seed(1)
    jacobian = torch.eye(2, dtype=torch.float64) + 0.2 * doubles(n, k, 2, 2)
    return Keypoints(doubles(n, k, 2).tanh(), jacobian)


def followed(deformation, kp: Keypoints) -> Keypoints:
    """What keypoints of the original are, if those of the deformed picture are kp."""
    return Keypoints(deformation(kp.value), deformation.jacobian(kp.value) @ kp.jacobian)


def test_keypoints_that_follow_cost_nothing():
    deformation, deformed = drawn(2), keypoints(2, 3)
    terms = equivariance(followed(deformation, deformed), deformed, deformation)
    assert terms["equivariance_value"] < 1e-12 and terms["equivariance_jacobian"] < 1e-12
    still = equivariance(deformed, deformed, deformation)
    assert still["equivariance_value"] > 0.01 and still["equivariance_jacobian"] > 0.01


def test_equivariance_has_known_values():
    deformation, deformed = drawn(2), keypoints(2, 3)
    right = followed(deformation, deformed)
    moved = Keypoints(right.value + 0.25, right.jacobian / 2)
    terms = equivariance(moved, deformed, deformation)
    assert float(terms["equivariance_value"]) == pytest.approx(0.25)
    assert float(terms["equivariance_jacobian"]) == pytest.approx(0.5)  # |1 - 2| on the diagonal


def test_equivariance_gradients():
    deformation, deformed, own = drawn(1), keypoints(1, 2), keypoints(1, 2)
    inputs = [t.clone().requires_grad_() for kp in (own, deformed) for t in vars(kp).values()]

    def terms(value, jacobian, value_deformed, jacobian_deformed):
        kp, other = Keypoints(value + 0.1, jacobian), Keypoints(value_deformed, jacobian_deformed)
        return tuple(equivariance(kp, other, deformation).values())

    assert gradcheck(terms, inputs)


def test_inverse_gradients():
    assert gradcheck(inverse, keypoints(1, 3).jacobian.requires_grad_())


def test_relative_difference():
    features = [doubles(2, 3, 4, 4) for _ in range(2)]
    assert float(relative_difference(features, features)) == 0
    doubled = [2 * f for f in features]
    assert float(relative_difference(doubled, features)) == pytest.approx(2)  # 1 per layer
    louder = [1000 * f for f in features], [500 * f for f in features]
    assert float(relative_difference(*louder)) == pytest.approx(2)
    target = [doubles(2, 3, 2, 2)]
    x = doubles(2, 3, 2, 2).requires_grad_()
    assert gradcheck(lambda x: relative_difference([x], target), x)


def test_pyramid_sums_over_scales():
    net = drawn_squeezenet(None)
    a, b = torch.rand(2, 1, 3, 128, 128)
    scales = [Reduction(1), Reduction(2)]
    assert float(pyramid_difference(net, scales, a, a)) == 0
    parts = [float(pyramid_difference(net, [scale], a, b)) for scale in scales]
    assert float(pyramid_difference(net, scales, a, b)) == pytest.approx(sum(parts), rel=1e-5)
    a.requires_grad_()
    pyramid_difference(net, scales, a, b).backward()
    assert a.grad.abs().sum() > 0


def test_least_squares():
    real, fake = torch.tensor([[[[1.0]]], [[[0.0]]]]), torch.tensor([[[[0.5]]], [[[0.0]]]])
    assert float(least_squares_d(real, fake)) == pytest.approx(0.5 + 0.125)
    assert float(least_squares_g(fake)) == pytest.approx((0.25 + 1) / 2)
    scores = doubles(2, 1, 3, 3).requires_grad_()
    assert gradcheck(least_squares_g, scores)
    assert gradcheck(least_squares_d, (scores, doubles(2, 1, 3, 3).requires_grad_()))


def test_feature_matching_moves_the_prediction_only():
    own, target = ([doubles(1, 2, 2, 2).requires_grad_() for _ in range(2)] for _ in range(2))
    feature_matching(own, target).backward()
    assert all(f.grad is not None for f in own) and all(t.grad is None for t in target)
    assert gradcheck(lambda *features: feature_matching(features, target), own)
    shifted = [t.detach() + 0.5 for t in target]
    assert float(feature_matching(shifted, target)) == pytest.approx(1)
