"""The benchmark of the operations: what it compares, and the files it writes."""

import json

import pytest
import torch

from engine.ops import benchmark
from engine.ops.benchmark import Row, cases, implementations, main, table


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(benchmark, "COPY_NUMBERS", 1 << 12)
    monkeypatch.setattr(benchmark, "LEAST_SECONDS", 1e-6)
    monkeypatch.setattr(benchmark, "channels_of", lambda size: 2 * size)


def test_table_of_a_cpu(quick, tmp_path, capsys):
    main(["--sizes", "8", "--repeat", "2", "--device", "cpu", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert (tmp_path / "ops-cpu.md").read_text() == text
    assert "kernels: not measured: there is no CUDA GPU on this machine" in text
    record = json.loads((tmp_path / "ops-cpu.json").read_text())
    assert {row["dtype"] for row in record["rows"]} == {"float32", "bfloat16"}
    assert {row["impl"] for row in record["rows"]} == {"ref"}
    assert len(record["rows"]) == 2 * 6
    assert all(row["microseconds"] > 0 and row["of_copy"] > 0 for row in record["rows"])


def test_least_traffic_is_counted_right(quick):
    """Of the filter: 16 channels of 8 x 8 in float16, read and written; and half of it down."""
    found = {case.op: case.bytes for case in cases(8, torch.float16, torch.device("cpu"))}
    picture = 16 * 8 * 8 * 2
    assert found["FIR filter"] == found["bias, noise, activation, clamp"] == 2 * picture
    assert found["FIR filter, down"] == picture + picture / 4
    assert found["FIR filter, up (RGB, float32)"] == 3 * 4 * (4 * 4 + 8 * 8)
    assert found["modulated weight"] == 16 * 8 * 9 * (4 + 2)
    assert found["modulated up-convolution"] == 8 * 4 * 4 * 2 + 16 * 8 * 9 * 4 + picture


def test_a_gpu_compares_three(quick, monkeypatch):
    asked = []
    case = benchmark.Case("op", "2", lambda impl: asked.append(impl), 1)
    monkeypatch.setattr(torch, "compile", lambda call, dynamic: call)
    for call in implementations(case, on_gpu=True).values():
        call()
    assert list(implementations(case, on_gpu=True)) == ["ref", "compile", "cuda"]
    assert asked == ["ref", "ref", "cuda"]


def test_implementations_are_columns():
    rows = [Row("op", "2 x 2", "float16", impl, 1234.0, 5.0, 0.5) for impl in ("ref", "cuda")]
    lines = table({"device": "d"}, rows).splitlines()
    assert lines[0] == "- device: d"
    assert lines[2].endswith("| format | ref, us (of copy) | cuda, us (of copy) |")
    assert lines[4] == "| op | 2 x 2 | float16 | 1,234 ± 5 (0.50) | 1,234 ± 5 (0.50) |"
