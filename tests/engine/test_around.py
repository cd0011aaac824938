"""The rest of a photo drawn by the student of a style: how far, in which colours, how large."""

import numpy as np
import pytest

from engine import around
from engine.pipeline import StylizeOptions, Stylizer
from engine.reference import Reference
from tests.engine.test_pipeline import RUNTIME, face
from tests.engine.test_student import taught_library
from tests.packs import FixedFaces

CORNER = np.s_[-20:, -20:]  # far from the face


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return taught_library(tmp_path_factory.mktemp("packs"))


@pytest.fixture
def stylizer(library):
    return Stylizer.load("cartoon", library, RUNTIME, FixedFaces((face(30, 30, 8),)))


def photo(height: int = 97, width: int = 131) -> np.ndarray:
    """Smooth colours, of sizes that no network divides."""
    y, x = np.mgrid[:height, :width]
    return np.stack([90 + y // 2, 60 + x, 180 - x // 2], -1).clip(0, 255).astype(np.uint8)


def change(picture: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    return picture[CORNER].astype(int) - rgb[CORNER]


def test_all_of_a_photo_is_drawn_as_far_as_wanted(stylizer):
    rgb = photo()
    none, half, weak, whole = (
        stylizer(rgb, StylizeOptions(surroundings=share, strength=strength))
        for share, strength in ((0.0, 1.0), (0.5, 1.0), (1.0, 0.5), (1.0, 1.0))
    )
    assert whole.shape == rgb.shape and not change(none, rgb).any()
    assert np.abs(change(whole, rgb)).mean() > 5, "an untrained student draws something else"
    for between in (half, weak):
        assert np.abs(change(between, rgb) - change(whole, rgb) / 2).max() <= 1.5


def test_colours_of_the_photo_may_stay(stylizer):
    rgb = photo()
    drawn = stylizer(rgb, StylizeOptions(surroundings=1.0))
    kept = stylizer(rgb, StylizeOptions(surroundings=1.0, color="keep"))
    means = [picture.reshape(-1, 3).mean(0) for picture in (rgb, drawn, kept)]
    assert np.abs(means[2] - means[0]).max() < np.abs(means[1] - means[0]).max() / 2
    assert (change(kept, rgb) != change(drawn, rgb)).any()


@pytest.mark.parametrize("more", [{"around": "toned"}, {"variation": 3}])
def test_what_no_student_learned_is_toned(stylizer, more, monkeypatch):
    monkeypatch.setattr(around, "draw_crops", None)
    assert change(stylizer(photo(), StylizeOptions(surroundings=1.0, **more)), photo()).any()


def test_a_style_without_a_student_and_a_reference_are_toned(library, stylizer, monkeypatch):
    monkeypatch.setattr(around, "draw_crops", None)
    other = Stylizer.load("comic", library, RUNTIME, stylizer._detector)
    toned = other(photo(), StylizeOptions(surroundings=1.0))
    assert (toned == other(photo(), StylizeOptions(surroundings=1.0, around="toned"))).all()
    [portrait] = stylizer.encode(photo())
    stylizer(photo(), StylizeOptions(surroundings=1.0), look=Reference(portrait.ws))


def test_a_large_photo_is_drawn_smaller(stylizer, monkeypatch):
    sizes, real = [], around.draw_crops
    monkeypatch.setattr(around, "MOST_PIXELS", 4000)
    monkeypatch.setattr(
        around, "draw_crops", lambda style, x: sizes.append(x.shape) or real(style, x)
    )
    assert stylizer(photo(400, 300), StylizeOptions(surroundings=1.0)).shape == (400, 300, 3)
    [(_, height, width, _)] = sizes
    assert height * width <= 1.4 * 4000, "a little more, up to what the network divides"


def test_strokes_are_as_wide_as_in_the_face(library, monkeypatch):
    widths, real = [], around.draw_crops
    monkeypatch.setattr(
        around, "draw_crops", lambda style, x: widths.append(x.shape[2]) or real(style, x)
    )
    for size in (8, 16):  # a face twice as large is reduced twice as much
        faces = FixedFaces((face(60, 60, size),))
        Stylizer.load("cartoon", library, RUNTIME, faces)(
            photo(200, 200), StylizeOptions(surroundings=1.0)
        )
    assert 1.6 < widths[0] / widths[1] < 2.4
