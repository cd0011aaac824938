"""Runtime: one decision, its reason, and messages on wishes that cannot be met."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import runtime
from engine.errors import OptionError, StylizeError
from engine.runtime import available_processors, is_out_of_memory, memory_guard, pick_runtime


@pytest.fixture(autouse=True)
def no_wishes(monkeypatch):
    monkeypatch.delenv("STYLIZE_DEVICE", raising=False)
    monkeypatch.delenv("STYLIZE_DTYPE", raising=False)


def test_arguments_beat_environment(monkeypatch):
    monkeypatch.setenv("STYLIZE_DEVICE", "nonsense")
    monkeypatch.setenv("STYLIZE_DTYPE", "bfloat16")
    picked = pick_runtime(device="cpu")
    assert picked.device == torch.device("cpu") and picked.dtype is torch.bfloat16
    assert "asked for by device 'cpu'" in picked.reason
    assert "STYLIZE_DTYPE=bfloat16" in picked.reason
    assert picked.num_threads == torch.get_num_threads()


@pytest.mark.parametrize(("instructions", "dtype"), [("AMX", torch.bfloat16), ("", torch.float32)])
def test_number_format_of_a_processor(monkeypatch, instructions, dtype):
    monkeypatch.setattr(runtime, "_bfloat16_instructions", lambda: instructions)
    assert pick_runtime("cpu").dtype is dtype


@pytest.mark.parametrize(
    ("capability", "drawing", "training"),
    [
        ((9, 0), torch.float16, torch.bfloat16),
        ((7, 5), torch.float16, torch.float32),
        ((6, 1), torch.float32, torch.float32),
    ],
)
def test_number_formats_of_a_gpu(monkeypatch, capability, drawing, training):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert pick_runtime("cuda").dtype is drawing
    assert pick_runtime("cuda", trains=True).dtype is training


def test_emulated_bfloat16_is_not_native(monkeypatch):
    monkeypatch.setattr(runtime.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert runtime._bfloat16_instructions() == ""


@pytest.mark.parametrize(
    ("device", "dtype", "words"),
    [
        ("tpu", None, "device 'tpu' is no device; accepted are auto, cpu, cuda, cuda:N and mps"),
        ("cuda:x", None, "is no device"),
        ("cuda:99", None, "is not on this machine"),
        ("cpu", "int8", "dtype 'int8' is no number format"),
        ("cpu", "float16", "slow and overflows on a CPU"),
    ],
)
def test_wishes_that_cannot_be_met(device, dtype, words):
    with pytest.raises(OptionError) as error:
        pick_runtime(device, dtype)
    assert words in str(error.value)


def test_bad_environment_is_named(monkeypatch):
    monkeypatch.setenv("STYLIZE_DEVICE", "gpu")
    with pytest.raises(OptionError, match="STYLIZE_DEVICE=gpu"):
        pick_runtime()


def test_processors_follow_the_container(tmp_path):
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_processors({}, tmp_path) == min(2, allowed)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert available_processors({}, tmp_path) == allowed
    assert available_processors({"OMP_NUM_THREADS": "7"}, tmp_path) == 7


def test_processors_with_the_older_cgroup(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("50000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert available_processors({}, tmp_path) == 1


def test_out_of_memory_is_recognised_and_told():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_out_of_memory(RuntimeError("shapes cannot be multiplied"))
    picked = pick_runtime("cpu")
    with pytest.raises(StylizeError, match="out of memory on cpu; choose fewer samples"):
        with memory_guard(picked):
            raise MemoryError
    with pytest.raises(RuntimeError, match="shapes"):
        with memory_guard(picked):
            raise RuntimeError("shapes cannot be multiplied")


@pytest.mark.parametrize("module", ["demo.livecam", "motion.stream", "train.loop"])
def test_waiting_threads_sleep_whatever_is_imported_first(module: str):
    known = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    told = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        env=known | {"OMP_DISPLAY_ENV": "true"},  # OpenMP says what it was loaded with
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    if "OMP_WAIT_POLICY" not in told:
        pytest.skip("the OpenMP of this torch does not tell its settings")
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in told
