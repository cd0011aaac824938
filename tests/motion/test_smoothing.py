"""Filters over time: no delay, no lost peaks, less noise, and an exact restart."""

import numpy as np
import pytest

from motion.smoothing import LocalFit, OneEuro, local_weights

TIMES = np.arange(60) / 30


def filtered(made, values, times=TIMES):
    for time, value in zip(times, values, strict=True):
        made.add(time, value)
    return made


def test_local_fit_reproduces_a_parabola_without_delay():
    values = 3 + 2 * TIMES - 5 * TIMES**2
    fit = filtered(LocalFit(0.1), values)
    assert fit.at(TIMES[50]) == pytest.approx(values[50], abs=1e-9)


def test_local_fit_halves_noise():
    noise = np.random.default_rng(0).normal(size=(60, 40))
    fit = filtered(LocalFit(0.1), noise)
    assert fit.at(TIMES[45]).std() < 0.5 * noise[45].std()


def test_a_short_movement_keeps_its_height():
    bump = np.exp(-0.5 * ((TIMES - 1.5) / 0.12) ** 2)  # a blink or a nod of a third of a second
    assert filtered(LocalFit(0.07), bump).at(1.5) > 0.9


def test_gaps_and_uneven_times_are_bridged():
    times = np.array([0.0, 0.03, 0.07, 0.4, 0.43, 0.47])
    fit = filtered(LocalFit(0.05), 10 * times, times)
    assert fit.at(0.235) == pytest.approx(2.35, abs=1e-6)


@pytest.mark.parametrize("end", [0, 1, -2, -1])
def test_the_very_ends_keep_what_moves(end):
    values = 3 + 2 * TIMES - 5 * TIMES**2
    assert filtered(LocalFit(0.1), values).at(TIMES[end]) == pytest.approx(values[end], abs=1e-9)
    noise = np.random.default_rng(0).normal(size=(60, 400))
    assert filtered(LocalFit(0.06), noise).at(TIMES[end]).std() < noise[end].std()


def test_beyond_the_ends_lies_a_line():
    fit = filtered(LocalFit(0.1), 4 * TIMES)
    assert fit.at(TIMES[-1] + 0.1) == pytest.approx(4 * TIMES[-1] + 0.4)


def test_what_will_not_be_asked_for_is_forgotten_and_changes_nothing():
    values = np.random.default_rng(2).normal(size=(60, 2))
    fit = filtered(LocalFit(0.06), values)
    before, size = fit.at(1.9), len(fit.snapshot()["times"])
    fit.forget(1.9)
    assert np.array_equal(fit.at(1.9), before) and len(fit.snapshot()["times"]) < size


@pytest.mark.parametrize("num_values", [1, 2, 5])
def test_no_width_gives_the_value_itself(num_values):
    weights = local_weights(np.arange(num_values) / 30, 0.0, 0.0, 2)
    assert weights.tolist() == [1.0] + [0.0] * (num_values - 1)


def test_one_euro_rests_and_follows():
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 1)) * 0.1
    resting = filtered(OneEuro(1.0, 0.5), noise)
    assert abs(resting.at(2.0)[0]) < 0.05
    fast = filtered(OneEuro(1.0, 0.5), 20 * TIMES[:, None])
    slow = filtered(OneEuro(1.0, 0.0), 20 * TIMES[:, None])
    lag = [20 * TIMES[-1] - made.at(2.0)[0] for made in (fast, slow)]
    assert lag[0] < 0.25 * lag[1]


def test_one_euro_without_a_limit_changes_nothing():
    made = filtered(OneEuro(np.inf, 0.0), TIMES[:, None] ** 2)
    assert made.at(2.0)[0] == TIMES[-1] ** 2


@pytest.mark.parametrize("make", [lambda: LocalFit(0.1), lambda: OneEuro(1.0, 1.0)])
def test_a_restored_filter_goes_on_exactly(make):
    values = np.random.default_rng(1).normal(size=(60, 3, 2))
    whole, first, second = make(), make(), make()
    filtered(whole, values)
    filtered(first, values[:30], TIMES[:30])
    second.restore(first.snapshot())
    filtered(second, values[30:], TIMES[30:])
    assert np.array_equal(whole.at(TIMES[-3]), second.at(TIMES[-3]))
