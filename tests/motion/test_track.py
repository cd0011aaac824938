"""Who is who, and where scenes end."""

import numpy as np
import pytest

from engine.detect import face_from_points
from motion.track import LONGEST_GAP, SceneCuts, Tracker


def face(x, y=50, size=10):
    return face_from_points((x - size, y), (x + size, y), (x, y + 2 * size))


def picture(seed, shift=0):
    small = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    tinted = small // 2 + np.array([[20, 90, 0], [100, 10, 40]][seed % 2], np.uint8)
    return np.roll(np.kron(tinted, np.ones((20, 20, 1), np.uint8)), shift, 1)


def test_numbers_stay_with_people_who_pass_each_other_in_the_list():
    tracker = Tracker()
    assert list(tracker.update(0, [face(100), face(300)])) == [0, 1]
    found = tracker.update(1, [face(304), face(103)])
    assert found[0].landmarks[0, 0] < 150 < found[1].landmarks[0, 0]


def test_nearest_pairs_are_chosen_together():
    tracker = Tracker()
    tracker.update(0, [face(100), face(112)])
    found = tracker.update(1, [face(111), face(123)])  # greedily, 111 would go to 112
    assert [round(float(f.landmarks[2, 0])) for f in found.values()] == [111, 123]


def test_a_face_far_away_is_somebody_else():
    tracker = Tracker()
    tracker.update(0, [face(100)])
    assert list(tracker.update(1, [face(200)])) == [1]


@pytest.mark.parametrize(("gap", "number"), [(LONGEST_GAP, 0), (LONGEST_GAP + 1, 1)])
def test_a_short_gap_is_bridged_a_long_one_is_not(gap, number):
    tracker = Tracker()
    tracker.update(0, [face(100)])
    for index in range(1, gap + 1):
        assert tracker.update(index, []) == {}
    assert list(tracker.update(gap + 1, [face(101)])) == [number]


def test_a_new_scene_has_new_people():
    tracker = Tracker()
    tracker.update(0, [face(100)])
    tracker.end_scene()
    assert list(tracker.update(1, [face(100)])) == [1]


def test_restored_tracker_knows_them():
    tracker, other = Tracker(), Tracker()
    tracker.update(0, [face(100), face(300)])
    other.restore(tracker.snapshot())
    assert list(other.update(1, [face(301), face(400)])) == [1, 2]


def test_another_scene_is_a_cut():
    cuts = SceneCuts()
    frames = [picture(0)] * 3 + [picture(1)] * 3
    assert [cuts.is_cut(f) for f in frames] == [False] * 3 + [True] + [False] * 2


def test_a_pan_and_a_flash_are_none():
    cuts = SceneCuts()
    frames = [picture(0, shift=8 * i) for i in range(8)]
    frames.insert(4, np.clip(frames[3].astype(int) + 20, 0, 255).astype(np.uint8))
    assert not any(cuts.is_cut(f) for f in frames)


def test_restored_cuts_see_the_same():
    cuts, other = SceneCuts(), SceneCuts()
    cuts.is_cut(picture(0))
    other.restore(cuts.snapshot())
    assert other.is_cut(picture(1)) and cuts.is_cut(picture(1))
