"""Full-size animation: rest is exact at every size, known shifts, and what is hidden is filled."""

import numpy as np
import pytest
import torch

from motion.detail import movement, redraw
from motion.fomm import Flow
from motion.fomm.blocks import position_grid

PICTURE = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
DRAWN = np.full((16, 16, 3), 7, np.uint8)
GRID = position_grid(8, 8, torch.zeros(1))[None]


def flow(deformation: torch.Tensor = GRID, occlusion: float = 0.6) -> Flow:
    return Flow(deformation, torch.full((1, 1, 8, 8), occlusion), torch.zeros(1, 2, 8, 8))


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [48, 50, 16])
def test_a_picture_at_rest_comes_out_as_it_went_in(align_corners: bool, size: int):
    """Whatever the occlusion: at rest nothing is hidden. The published sampling shrinks nothing."""
    at_rest = movement(flow(), flow(), align_corners=align_corners)
    picture = np.random.default_rng(1).integers(0, 256, (size, size, 3), np.uint8)
    inside = np.s_[1:-1, 1:-1]
    assert np.array_equal(redraw(picture, DRAWN, at_rest)[inside], picture[inside])
    if align_corners:
        assert np.array_equal(redraw(picture, DRAWN, at_rest), picture)


def test_a_shift_moves_every_pixel_alike():
    """By one pixel of the flow: two of a picture twice its size, whatever lies beyond the edge."""
    shifted = GRID + torch.tensor([2 / 7, 0.0])
    moved = movement(flow(shifted), flow())
    assert np.allclose(moved.displacement, [1, 0], atol=1e-5)
    picture = np.random.default_rng(1).integers(0, 256, (16, 16, 3), np.uint8)
    visible = moved.visible.copy()
    visible[:] = 1
    out = redraw(picture, DRAWN, type(moved)(moved.displacement, visible))
    assert np.array_equal(out[:, :14], picture[:, 2:])


def test_what_is_hidden_is_what_the_network_drew():
    assert np.array_equal(
        redraw(PICTURE, DRAWN, movement(flow(occlusion=0.0), flow())), np.full_like(PICTURE, 7)
    )
    half = redraw(PICTURE, DRAWN, movement(flow(occlusion=0.3), flow()))
    assert np.abs(half - (PICTURE.astype(float) + 7) / 2).max() <= 0.51
