"""Transfer: relative and absolute, adapted scale, gain, regions, the best starting frame."""

import math

import pytest
import torch

from motion.fomm import Keypoints
from motion.transfer import (
    Shares,
    best_start,
    expression_shares,
    hull_area,
    movement_scale,
    relative,
)
from tests.motion.fomm.tiny import keypoints

SOURCE = keypoints([[-0.4, -0.2], [0.4, -0.2], [0.0, 0.3], [0.0, 0.6]])
START = Keypoints(SOURCE.value / 2 + 0.1, SOURCE.jacobian)


def turned(kp: Keypoints, angle: float, scale: float = 1.0, shift: float = 0.0) -> Keypoints:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    turn = torch.tensor([[c, -s], [s, c]])
    return Keypoints(kp.value @ turn.mT + shift, turn @ kp.jacobian)


def test_nothing_moves_with_the_starting_frame_or_without_gain():
    driving = turned(START, 0.4)
    for kp in (relative(SOURCE, START, START), relative(SOURCE, START, driving, gain=0.0)):
        assert torch.allclose(kp.value, SOURCE.value, atol=1e-6)
        assert torch.allclose(kp.jacobian, SOURCE.jacobian, atol=1e-6)


def test_movements_are_scaled_to_the_source():
    """The source's face is twice as large, so it moves twice as far; areas are four times."""
    assert hull_area(SOURCE.value[0]) == pytest.approx(4 * hull_area(START.value[0]), rel=1e-5)
    assert movement_scale(SOURCE, START) == pytest.approx(2, rel=1e-5)
    driving = Keypoints(START.value + 0.05, START.jacobian)
    assert torch.allclose(relative(SOURCE, START, driving).value, SOURCE.value + 0.1, atol=1e-6)
    plain = relative(SOURCE, START, driving, scale=1.0, gain=3.0)
    assert torch.allclose(plain.value, SOURCE.value + 0.15, atol=1e-6)


def test_absolute_transfer_is_relative_to_the_source():
    driving = turned(START, 0.4, shift=0.2)
    kp = relative(SOURCE, SOURCE, driving, scale=1.0)
    assert torch.allclose(kp.value, driving.value, atol=1e-6)
    assert torch.allclose(kp.jacobian, driving.jacobian, atol=1e-5)


def test_points_on_a_line_have_no_area_and_scale_nothing():
    line = keypoints([[0.0, 0.0], [0.1, 0.1], [0.2, 0.2]])
    assert hull_area(line.value[0]) == 0 and movement_scale(line, line) == 1


def test_the_best_start_is_the_frame_of_the_same_shape():
    """Place and size do not count."""
    bent = Keypoints(START.value * torch.tensor([1.0, 0.7]), START.jacobian)
    far = Keypoints(SOURCE.value * 0.3 - 0.4, SOURCE.jacobian)
    frames = Keypoints.cat([bent, turned(START, 0.5), far, turned(START, -0.2)])
    assert best_start(SOURCE, frames) == 2


def test_a_pure_turn_is_all_pose():
    driving = turned(START, 0.3, scale=1.1, shift=0.05)
    none, every = torch.zeros(4), torch.ones(4)
    all_of_it = relative(SOURCE, START, driving)
    pose = relative(SOURCE, START, driving, shares=Shares(1.0, none))
    assert torch.allclose(pose.value, all_of_it.value, atol=1e-5)
    assert torch.allclose(pose.jacobian, all_of_it.jacobian, atol=1e-5)
    face = relative(SOURCE, START, driving, shares=Shares(0.0, every))
    assert torch.allclose(face.value, SOURCE.value, atol=1e-5)
    assert torch.allclose(face.jacobian, SOURCE.jacobian, atol=1e-5)


def test_an_expression_moves_its_keypoints_alone_and_the_parts_add_up():
    driving = turned(START, 0.3, shift=0.05)
    driving.value[0, 3, 1] += 0.1  # the mouth opens
    mouth = torch.tensor([0.0, 0.0, 0.0, 1.0])
    only = relative(SOURCE, START, driving, shares=Shares(0.0, mouth))
    moved = (only.value - SOURCE.value)[0].norm(dim=1)
    assert (moved[:3] < 1e-6).all() and moved[3] > 0.05
    everything = relative(SOURCE, START, driving, shares=Shares(1.0, torch.ones(4)))
    expected = relative(SOURCE, START, driving)
    assert torch.allclose(everything.value, expected.value, atol=1e-5)
    assert torch.allclose(everything.jacobian, expected.jacobian, atol=1e-5)


def test_keypoints_belong_to_the_region_they_are_near():
    landmarks = torch.tensor([[-0.4, -0.2], [0.4, -0.2], [0, 0.1], [-0.2, 0.5], [0.2, 0.5]])
    for regions, expected in (
        (("eyes",), [1, 1, 0, 0]),
        (("mouth",), [0, 0, 1, 1]),
        (("pose", "eyes", "mouth"), [1, 1, 1, 1]),
        (("pose",), [0, 0, 0, 0]),
    ):
        assert expression_shares(SOURCE, landmarks, regions).tolist() == expected
