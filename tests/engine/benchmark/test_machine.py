"""What a machine says of itself."""

import json

import pytest

from engine.benchmark.machine import describe, notes, peak_memory, processor_name
from engine.runtime import pick_runtime


def test_description_is_json():
    facts = describe(pick_runtime("cpu", "float32"))
    assert json.loads(json.dumps(facts)) == facts
    assert facts["device"] == "none" and facts["torch"]


def test_processor_is_named_by_linux(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("model name\t: Fast 9000\ncpu family\t: 25\nmodel\t: 1\n\nmodel name\t: 2\n")
    assert processor_name(file) == "Fast 9000 (cpu family 25, model 1)"
    assert processor_name(tmp_path / "absent")


def test_peak_memory_is_in_megabytes(tmp_path):
    file = tmp_path / "status"
    file.write_text("Name:\tpython\nVmHWM:\t  500000 kB\n")
    assert peak_memory(file) == pytest.approx(512)
    assert peak_memory(tmp_path / "absent") is None


def test_load_is_told_where_there_is_more_than_fits():
    assert notes({"processors": 2, "load average": [1.9, 1.0, 0.5]}) == []
    assert notes({"processors": 2, "load average": None}) == []
    [note] = notes({"processors": 2, "load average": [9.0, 14.5, 3.0]})
    assert "up to 14.5 programs wanted the 2 processors" in note
