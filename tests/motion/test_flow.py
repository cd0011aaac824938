"""Flow of the input carries results along, and only where that is right."""

import numpy as np

from motion.flow import backward_flow, carried, pull, visible
from tests.motion.test_follow import texture


def shifted(picture, by=4):
    return np.roll(picture, by, axis=1)


def test_pull_draws_the_frame_before_as_it_looks_now():
    before = texture(128, 160)
    now = shifted(before)
    pulled = pull(before, backward_flow(now, before))
    inside = np.s_[20:-20, 20:-20]
    assert np.abs(pulled[inside].astype(int) - now[inside]).mean() < 2
    assert visible(now, pulled)[inside].mean() > 0.9


def test_what_came_into_view_is_not_visible():
    before = texture(128, 160)
    now = shifted(before)
    now[40:90, 60:110] = texture(50, 50, 5)
    seen = visible(now, pull(before, backward_flow(now, before)))
    assert seen[50:80, 70:100].mean() < 0.5 < seen[100:120, 20:60].mean()


def painted(picture, tone):
    out = picture.copy()
    out[40:90, 50:110] = tone
    return out


def test_flicker_is_mixed_away_and_the_rest_stays():
    before = texture(128, 160)
    now = shifted(before)
    drawn, drawn_before = painted(now, 110), painted(before, 120)
    mixed = carried(now, drawn, before, drawn_before, 0.5)
    assert 112 < mixed[50:80, 70:100].mean() < 118
    untouched = (drawn == now).all(axis=2)
    assert np.array_equal(mixed[untouched], now[untouched])


def test_what_changed_on_purpose_stays():
    before = texture(128, 160)
    now = shifted(before)
    mixed = carried(now, painted(now, 30), before, painted(before, 220), 0.5)
    assert mixed[50:80, 70:100].max() < 35


def test_nothing_painted_nothing_mixed():
    picture = texture(64, 64)
    assert carried(picture, picture, picture, painted(picture, 9), 0.5) is picture
