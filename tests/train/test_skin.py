"""Skin: where it is, what band it belongs to, how far a drawing moves it, and how to keep it."""

import numpy as np
import pytest

from engine.color import keep_skin, skin_region, skin_tone, to_lab
from train.skin import MONK, monk_band, skin_drift

SIZE = 64


def face(skin: tuple[int, int, int], hair: tuple[int, int, int] = (30, 60, 160)) -> np.ndarray:
    """A square of skin under a quarter of blue hair."""
    rgb = np.full((SIZE, SIZE, 3), skin, np.uint8)
    rgb[: SIZE // 4] = hair
    return rgb


def test_the_region_is_cheeks_and_not_eyes_or_mouth():
    region = skin_region(SIZE)
    assert region.shape == (SIZE, SIZE) and region.max() == pytest.approx(1, abs=0.05)
    assert region[: int(0.4 * SIZE)].max() < 0.05 and region[int(0.72 * SIZE) :].max() < 0.05


def test_kept_skin_has_the_tone_of_the_photo_and_hair_that_of_the_style():
    photo, drawn = face((120, 85, 60), (5, 5, 5)), face((240, 160, 90))
    kept = keep_skin(drawn, photo)
    before = np.linalg.norm(skin_tone(drawn) - skin_tone(photo))
    after = np.linalg.norm(skin_tone(kept) - skin_tone(photo))
    assert before > 20 and after < 0.1 * before
    assert np.abs(kept[:10].astype(int) - drawn[:10]).max() <= 2


@pytest.mark.parametrize(("number", "band"), [(0, "1-4"), (4, "5-6"), (9, "7-10")])
def test_colours_of_the_scale_are_in_their_own_band(number: int, band: str):
    color = np.array([[list(bytes.fromhex(MONK[number]))]], np.uint8)
    assert monk_band(to_lab(color)[0, 0]) == band


def test_drift_is_the_distance_of_the_tones_per_band():
    light, dark = tuple(bytes.fromhex(MONK[1])), tuple(bytes.fromhex(MONK[7]))
    photos = np.stack([face(light), face(dark)])
    drawn = np.stack([face(light), face(light)])
    found = skin_drift(photos, drawn)
    assert found["1-4"] == (pytest.approx(0, abs=0.1), 1) and found["7-10"][1] == 1
    between = np.linalg.norm(np.subtract(*to_lab(np.array([[light, dark]], np.uint8))[0]))
    assert found["7-10"][0] == pytest.approx(between, rel=0.05)
    assert found["all"] == (pytest.approx(found["7-10"][0] / 2, abs=0.1), 2)
