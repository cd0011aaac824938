"""Measures of steadiness on movements whose answer is known."""

import numpy as np
import pytest

from engine.detect import face_from_points
from motion.measures import Meter, correlation, decomposed, gain, jitter
from tests.motion.test_flow import painted, shifted
from tests.motion.test_follow import texture

SHAPE = np.array([[-10, 0], [10, 0], [0, 12], [-8, 22], [8, 22.0]])
AT = np.linspace(0, 2 * np.pi, 60)


def moving(x=0.0, nose=0.0, mouth=0.0, turn=0.0):
    """Landmarks [60, 5, 2] that move by so many pixels or radians, each at a speed of its own."""
    points = np.repeat(SHAPE[None], 60, 0)
    points[:, 2, 0] += nose * np.sin(2 * AT)
    points[:, 3:, 1] += mouth * np.sin(3 * AT)[:, None]
    angle = turn * np.sin(AT)
    spin = np.stack([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.einsum("abn,nkb->nka", spin, points)
    points[..., 0] += 100 + x * np.sin(AT)[:, None]
    return points


def test_a_similarity_is_head_and_nothing_else():
    head, pose, expression = decomposed(moving(x=20, turn=0.3))
    assert head[:, 0, 0].std() > 10
    assert pose.std(0).max() < 1e-9 and np.abs(expression).max() < 1e-9


def test_a_mouth_is_expression_and_a_nose_is_pose():
    still, mouth, nose = (decomposed(moving(**k)) for k in ({}, {"mouth": 4}, {"nose": 4}))
    assert np.abs(mouth[2][:, 3:]).max() > 3 * np.abs(still[2]).max() + 0.05
    assert nose[1][:, 0].std() > 10 * mouth[1][:, 0].std()


def test_half_a_movement_correlates_fully_with_half_the_gain():
    whole, half = decomposed(moving(mouth=2)), decomposed(moving(mouth=1))
    assert correlation(whole[2], half[2]) == pytest.approx(1, abs=0.01)
    assert gain(whole[2], half[2]) == pytest.approx(0.5, abs=0.05)
    assert abs(correlation(whole[2], decomposed(moving(nose=2))[2])) < 0.2


def test_jitter_is_the_noise_in_percent_of_the_eyes():
    noise = np.random.default_rng(0).normal(0, 0.4, (2000, 5, 2))
    assert jitter(SHAPE + noise) == pytest.approx(2.0, rel=0.05)
    assert jitter(moving(x=20)) < 0.6


def face(points):
    return face_from_points(points[0], points[1], points[3:].mean(0))


def test_meter_sees_flicker():
    picture, results = texture(128, 160), []
    for tones in ([120] * 6, [120, 126] * 3):
        meter = Meter(lambda rgb: [face(SHAPE + 60)])
        for index, tone in enumerate(tones):
            by = 2 * index
            meter.add(shifted(picture, by), shifted(painted(picture, tone), by))
        results.append(meter.result())
    calm, flickering = (r.warping_error for r in results)
    assert calm < 0.1 * flickering
    assert flickering == pytest.approx(1000 * (6 / 255) ** 2, rel=0.1)


def test_meter_counts_faces_the_result_lost():
    meter = Meter(lambda rgb: [] if rgb.mean() > 200 else [face(SHAPE + 60)])
    dark, bright = np.zeros((128, 160, 3), np.uint8), np.full((128, 160, 3), 255, np.uint8)
    for drawn in (dark, bright, dark, dark):
        meter.add(dark, drawn)
    found = meter.result()
    assert (found.num_frames, found.num_lost) == (4, 1)
    assert np.isnan(Meter(lambda rgb: []).result().warping_error)


def test_meter_sees_whether_the_features_follow():
    results = []
    for follows in (True, False):
        meter = Meter(lambda rgb: [face(2 * SHAPE + 50)])
        for index in range(8):
            rgb = np.full((128, 160, 3), 120, np.uint8)
            rgb[85:100, 35:65] = 120 - 10 * index  # a mouth that opens
            drawn = np.clip(rgb // 2 + 100, 0, 255).astype(np.uint8)
            if not follows:
                drawn[85:100, 35:65] = [150, 170][index % 2]
            meter.add(rgb, drawn)
        results.append(meter.result().features)
    assert results[0] > 0.99 and abs(results[1]) < 0.3
