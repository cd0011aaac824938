"""Timing: what is counted, in which order, and what comes of it."""

import pytest
import torch

from engine.benchmark import timing
from engine.benchmark.timing import Timing, interleaved, quartiles


def test_calls_take_turns_and_warm_up_first():
    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    timings = interleaved(calls, 3, warm_up=2)
    assert order == list("ab") * 5
    assert [len(timings[name].wall) for name in "ab"] == [3, 3]


def test_seconds_told_by_another_process_are_taken():
    told = iter([(9.0, 9.0), (1.0, 0.5), (3.0, 1.5)])
    assert interleaved({"": lambda: next(told)}, 2)[""] == Timing((1.0, 3.0), (0.5, 1.5))


def test_clock_and_processor_are_read_around_the_call(monkeypatch):
    now = {"wall": 5.0, "processor": 1.0}
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now["wall"])
    monkeypatch.setattr(timing.time, "process_time", lambda: now["processor"])
    assert timing.timed(lambda: now.update(wall=8.0, processor=1.5)) == (3.0, 0.5)


def test_cells_are_medians_and_quartiles():
    found = Timing((1.0, 2.0, 3.0, 4.0, 100.0), (1.0, 1.0, 2.0, 2.0, 2.0))
    assert found.cells() == {
        "seconds": 3.0,
        "lower quartile": 2.0,
        "upper quartile": 4.0,
        "processor seconds": 2.0,
        "runs": 5,
    }
    assert quartiles((7.0,)) == (7.0, 7.0)
    assert found.per(2).median == 1.5
    assert (found.cost(torch.device("cpu")), found.cost(torch.device("meta"))) == (2.0, 3.0)


def test_needs_a_run():
    with pytest.raises(TypeError):
        interleaved({"": lambda: None}, 0)
