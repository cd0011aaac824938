"""The last step of every picture: its size, and the visible label."""

import numpy as np

from engine.finish import finished, fitted_size, labelled
from engine.options import StylizeOptions


def test_size_keeps_the_sides_in_proportion():
    assert fitted_size(3000, 1, 100) == (100, 1)
    assert fitted_size(30, 40, 0) == (30, 40)
    assert finished(np.zeros((30, 40, 3), np.uint8), StylizeOptions(output_size=80)).shape == (
        (60, 80, 3)
    )


def test_label_is_readable_in_one_corner_and_nowhere_else():
    for side in (64, 600):
        rgb = np.full((side, side, 3), 200, np.uint8)
        picture = labelled(rgb)
        changed = np.argwhere((picture != rgb).any(-1))
        top, left = changed.min(0)
        assert top > 0.7 * side and (changed.max(0) == side - 1).all()
        corner = picture[top:, left:]
        assert corner.max() > 240 and corner.min() < 120, "light letters on a dark plate"
        assert (rgb == 200).all(), "the picture it was given stays as it is"


def test_label_fits_any_picture_and_only_a_drawn_one():
    tiny = np.zeros((5, 7, 3), np.uint8)
    assert labelled(tiny).shape == tiny.shape
    options = StylizeOptions(ai_label=True)
    rgb = np.full((64, 64, 3), 200, np.uint8)
    assert (finished(rgb, options) != rgb).any()
    assert (finished(rgb, options, is_drawn=False) == rgb).all()
    assert (finished(rgb, StylizeOptions()) == rgb).all()
