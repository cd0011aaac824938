"""Colour transfer."""

import numpy as np

from engine.color import compare, match_color, palette_of, toned, with_palette


def noise(mean: list[int], deviation: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(mean, deviation, (32, 32, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def test_mean_and_contrast_are_taken():
    found, wanted = noise([90, 110, 140], 8), noise([160, 120, 90], 12, 1)
    matched = match_color(found, found, wanted, np.ones((32, 32)))
    assert np.abs(matched.mean((0, 1)) - wanted.mean((0, 1))).max() < 2
    assert abs(matched.std() - wanted.std()) < 3


def test_same_colours_change_nothing():
    rgb = noise([90, 110, 140], 20)
    assert np.abs(match_color(rgb, rgb, rgb, np.ones((32, 32))).astype(int) - rgb).max() <= 1


def test_only_the_weighted_part_counts():
    found, wanted = noise([120, 120, 120], 8), noise([120, 120, 120], 8, 1)
    weight = np.zeros((32, 32))
    weight[:16] = 1
    wanted[16:] = 255
    matched = match_color(found, found, wanted, weight)
    assert np.abs(matched.mean((0, 1)) - 120).max() < 3


def test_flat_colour_is_not_amplified():
    flat = np.full((32, 32, 3), 100, np.uint8)
    flat[0, 0] = 102
    matched = match_color(flat, flat, noise([100, 100, 100], 40), np.ones((32, 32)))
    assert np.ptp(matched) < 20


def test_surroundings_of_a_grey_drawing_become_grey():
    photo, weight = noise([180, 90, 60], 30), np.ones((32, 32))
    drawn = np.repeat(photo.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    colors = compare(drawn, photo, weight)
    rest = noise([60, 140, 220], 40)
    gray = toned(rest, colors, 1.0).astype(int)
    assert (gray.max(-1) - gray.min(-1)).max() <= 4
    half = toned(rest, colors, 0.5).astype(int)
    spread = [(x.max(-1) - x.min(-1)).mean() for x in (rest.astype(int), half, gray)]
    assert spread[0] > 1.5 * spread[1] > 3 * spread[2]


def test_surroundings_get_as_much_brighter_as_the_face():
    photo, weight = noise([100, 100, 100], 10), np.ones((32, 32))
    drawn = (photo + 60).astype(np.uint8)
    rest = np.full((700, 4, 3), 120, np.uint8)  # more rows than are changed at once
    found = toned(rest, compare(drawn, photo, weight), 1.0)
    assert found.shape == rest.shape and (np.abs(found.astype(int) - 180) < 8).all()


def test_an_unchanged_face_leaves_its_surroundings():
    photo, weight = noise([120, 90, 60], 20), np.ones((32, 32))
    rest = noise([60, 120, 160], 30)
    same = toned(rest, compare(photo, photo, weight), 1.0)
    difference = np.abs(same.astype(int) - rest)
    assert difference.mean() < 1 and np.quantile(difference, 0.95) <= 4, "8 bits of L, a, b"


def test_a_palette_is_taken_on_as_far_as_told():
    random = np.random.default_rng(3)
    rgb = random.integers(90, 160, (64, 64, 3), np.uint8)
    other = random.integers(60, 200, (40, 40, 3), np.uint8) // (1, 1, 2)
    wanted = palette_of(other.astype(np.uint8))
    found = palette_of(with_palette(rgb, wanted, 1.0))
    np.testing.assert_allclose(found, wanted, atol=2.5)
    half = palette_of(with_palette(rgb, wanted, 0.5))
    np.testing.assert_allclose(half[0], (palette_of(rgb)[0] + wanted[0]) / 2, atol=1.5)
    assert np.abs(with_palette(rgb, wanted, 0.0).astype(int) - rgb).max() <= 1


def test_a_grey_palette_leaves_no_colour_and_flat_art_keeps_its_light_and_shade():
    rgb = np.random.default_rng(4).integers(0, 256, (32, 32, 3), np.uint8)
    flat = np.full((32, 32, 3), 128, np.uint8)
    drawn = with_palette(rgb, palette_of(flat), 1.0)
    assert np.ptp(drawn.astype(int), axis=2).max() <= 2
    assert palette_of(drawn)[1][0] > 0.4 * palette_of(rgb)[1][0]
