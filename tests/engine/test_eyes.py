"""Eyes of a drawing enlarged: as much as asked, nowhere else, in photos and crops alike."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from engine.eyes import REACH, enlarged_eyes, eye_centers
from engine.library import StyleLibrary
from engine.pipeline import StylizeOptions, Stylizer
from tests.engine.test_pipeline import RUNTIME, face, photo
from tests.packs import FixedFaces, write_packs

EYES = np.array([[80.0, 100.0], [160.0, 100.0]])
POINTS = np.concatenate([EYES, [[120, 130], [95, 165], [145, 165]]])


def dots(radius: int) -> np.ndarray:
    """A white face with black dots for eyes."""
    drawing = np.full((256, 256, 3), 255, np.uint8)
    for x, y in EYES.astype(int).tolist():
        cv2.circle(drawing, (x, y), radius, (0, 0, 0), -1, cv2.LINE_AA)
    return drawing


@pytest.mark.parametrize("factor", [0.8, 1.2, 1.5])
def test_a_small_eye_grows_by_the_factor(factor):
    drawing = dots(4)
    changed = enlarged_eyes(drawing, POINTS, factor)
    black = [(255 - x.astype(float)).sum() for x in (drawing, changed)]
    assert (black[1] / black[0]) ** 0.5 == pytest.approx(factor, rel=0.04)


def test_what_lies_out_of_reach_stays_bit_for_bit():
    drawing = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    changed = enlarged_eyes(drawing, POINTS, 1.4)
    y, x = np.mgrid[:256, :256]
    far = np.all([np.hypot(x - ex, y - ey) > REACH * 80 + 1 for ex, ey in EYES], axis=0)
    assert (changed[far] == drawing[far]).all() and (changed != drawing)[~far].mean() > 0.5
    assert (enlarged_eyes(drawing, POINTS, 1.0) == drawing).all()


def test_68_points_tell_where_eyes_are():
    points = np.zeros((68, 2))
    turn = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    ring = np.stack([np.cos(turn), np.sin(turn)], 1) * 9
    points[36:42], points[42:48] = EYES[0] + ring, EYES[1] + ring
    np.testing.assert_allclose(eye_centers(points), EYES)
    drawing = dots(10)
    assert (enlarged_eyes(drawing, points, 1.3) == enlarged_eyes(drawing, POINTS, 1.3)).all()


@pytest.mark.parametrize("shift", [-90.0, -300.0, 95.0, 500.0])
def test_eyes_that_are_cut_off_or_outside_do_no_harm(shift):
    drawing = dots(10)
    assert enlarged_eyes(drawing, POINTS + [shift, 0], 1.5).shape == drawing.shape
    assert enlarged_eyes(drawing, POINTS + [0, shift], 1.5).shape == drawing.shape


def test_eyes_at_one_spot_are_left_alone():
    drawing = dots(10)
    assert (enlarged_eyes(drawing, np.repeat(EYES[:1], 5, 0), 1.5) == drawing).all()


@pytest.fixture(scope="module")
def stylizer(tmp_path_factory):
    library = StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])
    return Stylizer.load("cartoon", library, RUNTIME, FixedFaces((face(),)))


def test_photo_and_crop_get_the_same_eyes_as_far_as_the_style_is_on(stylizer):
    rgb, plain, large = photo(), StylizeOptions(), StylizeOptions(eyes=1.4)
    [portrait] = stylizer.encode(rgb)
    drawn = stylizer.render(portrait, large)
    assert (drawn == stylizer.render(portrait, plain)).all()
    shaped = portrait.shaped(drawn, large)
    assert (shaped != drawn).any()
    assert (stylizer.crop(portrait, drawn, large) == shaped).all()
    pasted = stylizer.paste(rgb, [portrait], [drawn], large)
    assert (pasted == stylizer.paste(rgb, [portrait], [shaped], plain)).all()
    assert (pasted == stylizer(rgb, large)).all()
    faint = replace(large, strength=0.0)
    assert (stylizer(rgb, faint) == stylizer(rgb, replace(plain, strength=0.0))).all()


def test_a_picture_without_a_face_has_no_eyes(stylizer):
    [portrait] = stylizer.encode(photo())
    nobody = replace(portrait, landmarks=np.zeros((0, 2), np.float32))
    drawn = dots(10)
    assert nobody.shaped(drawn, StylizeOptions(eyes=1.5)) is drawn
