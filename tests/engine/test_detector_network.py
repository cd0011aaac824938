"""The detector's networks: decoding and grouping by known values, sizes read off the weights."""

import numpy as np
import pytest
import torch

from engine.models.detector import (
    CellNetwork,
    FaceNetwork,
    PointNetwork,
    box_iou,
    cell_grid,
    centre_of_mass,
    decode,
    detector_from_state,
    folded,
    suppress,
)


def tiny(norm: bool = False) -> FaceNetwork:
    torch.manual_seed(0)
    cells = CellNetwork((4, 4, 6, 6, 8), (0, 1, 0, 1, 0), 8, norm=norm)
    return FaceNetwork(cells, PointNetwork((4, 4, 6, 8), (0, 0, 1, 0), 8, norm=norm)).eval()


def test_cells_are_pixel_centres_of_three_strides():
    cells = cell_grid(64, 32)
    assert cells.shape == (8 * 4 + 4 * 2 + 2 * 1, 3)
    assert cells[0].tolist() == [3.5, 3.5, 8] and cells[1].tolist() == [11.5, 3.5, 8]
    assert cells[-1].tolist() == [15.5, 47.5, 32]


def test_decode_known_values():
    outputs = torch.zeros(1, 1, 15)
    outputs[0, 0, 1:3] = torch.tensor([1.0, -1.0])  # one stride right and up
    outputs[0, 0, 5:7] = torch.tensor([0.5, 0.25])  # first landmark, in two strides
    found = decode(outputs, torch.tensor([[100.0, 60.0, 8.0]]))
    assert found.scores.item() == 0.5
    assert found.boxes[0, 0].tolist() == [92, 36, 124, 68]  # 32 pixels about (108, 52)
    assert found.landmarks[0, 0, 0].tolist() == [108, 64]
    assert found.landmarks[0, 0, 1].tolist() == [100, 60]


def test_box_iou_known_values():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 30, 30], [3, 3, 3, 3]], np.float32)
    assert box_iou(a, b)[0] == pytest.approx([1, 1 / 3, 0, 0])


def test_suppress_groups_by_falling_score():
    boxes = np.array([[0, 0, 10, 10], [50, 50, 60, 60], [1, 0, 11, 10], [0, 0, 0, 0]], np.float32)
    groups = suppress(boxes, np.array([0.6, 0.9, 0.8, 0.1]), overlap=0.5)
    assert [group.tolist() for group in groups] == [[1], [2, 0], [3]]
    assert suppress(np.zeros((0, 4)), np.zeros(0), 0.5) == []


def test_centre_of_mass_of_one_peak():
    heat = torch.full((1, 1, 6, 8), -50.0)
    heat[0, 0, 2, 5] = 50.0
    assert centre_of_mass(heat, stride=4)[0, 0].tolist() == pytest.approx([21.5, 9.5])


def test_state_says_the_sizes_and_folding_changes_nothing():
    network = tiny(norm=True)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    plain = detector_from_state(network.state_dict())
    assert not any("norm" in name for name in plain.state_dict())
    image = torch.rand(2, 3, 64, 96) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(plain(image), network(image), atol=1e-4, rtol=1e-4)
        for ours, theirs in zip(plain.points(image), network.points(image), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    again = detector_from_state({n: w.half() for n, w in folded(network.state_dict()).items()})
    assert again.cells.score.weight.dtype == torch.float32


def test_a_state_that_is_no_detector_is_refused():
    with pytest.raises((KeyError, RuntimeError)):
        detector_from_state({"mapping.w_avg": torch.zeros(512)})
