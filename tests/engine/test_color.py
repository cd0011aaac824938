"""Colour transfer."""

import numpy as np

from engine.color import match_color


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
