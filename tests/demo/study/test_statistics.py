"""Intervals against published and simulated values."""

import numpy as np
import pytest

from demo.study.statistics import bootstrap_mean, mean_ratings, preferences, wilson


@pytest.mark.parametrize(
    ("successes", "count", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I: the score method without correction
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(successes, count, low, high):
    assert wilson(successes, count) == pytest.approx((low, high), abs=5e-5)


def test_wilson_at_the_ends():
    assert wilson(0, 0) == (0, 1)
    assert wilson(20, 20)[1] == 1 and wilson(20, 20)[0] == pytest.approx(1 - 0.1611, abs=5e-5)


def test_bootstrap_of_independent_values_is_the_normal_interval():
    values = np.random.default_rng(0).normal(3, 1, 400)
    low, high = bootstrap_mean([[v] for v in values])
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)
    assert bootstrap_mean([list(values)]) == (low, high)  # one participant: single answers


def test_bootstrap_knows_that_one_persons_answers_are_alike():
    opinions = np.random.default_rng(0).normal(3, 1, 16)
    low, high = bootstrap_mean([[v] * 25 for v in opinions])
    assert (high - low) == pytest.approx(2 * 1.96 * opinions.std() / 4, rel=0.1)


def test_preferences():
    chosen = ["b", "b", "a", "b"]
    scores = preferences([{"shown": ["a", "b", "c"], "best": best} for best in chosen])
    assert [(s.method, s.value, s.count) for s in scores] == [
        ("b", 0.75, 4),
        ("a", 0.25, 4),
        ("c", 0, 4),
    ]
    assert (scores[0].low, scores[0].high) == wilson(3, 4)


def test_mean_ratings_leave_out_what_was_not_asked():
    answers = [
        {"participant": "p", "shown": ["a"], "quality": 4, "fidelity": 1},
        {"participant": "q", "shown": ["a"], "quality": 5},
        {"participant": "q", "shown": ["b"], "quality": 5},
    ]
    quality, fidelity = mean_ratings(answers, "quality"), mean_ratings(answers, "fidelity")
    assert [(s.method, s.value, s.count) for s in quality] == [("b", 5, 1), ("a", 4.5, 2)]
    assert (quality[1].low, quality[1].high) == (4, 5)
    assert [(s.method, s.value, s.count) for s in fidelity] == [("a", 1, 1)]
