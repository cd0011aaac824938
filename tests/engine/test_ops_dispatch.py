"""Who gets to run, plain PyTorch or a kernel; and building, keeping and launching kernels."""

import ctypes
import logging
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from engine.errors import KernelError
from engine.ops import custom, dispatch, nvrtc
from engine.ops.bias_act import bias_act
from engine.ops.dispatch import fir_name, forced, uses_kernel
from engine.ops.launch import Launch
from engine.ops.modulated_conv import modulated_conv2d
from engine.ops.upfirdn2d import upfirdn2d, upsample2d


def test_without_a_gpu():
    x = torch.ones(1, 1, 2, 2)
    for call in (
        lambda: bias_act(x, impl="cuda"),
        lambda: upfirdn2d(x, padding=(2, 1), impl="cuda"),
        lambda: upsample2d(x, impl="cuda"),
        lambda: modulated_conv2d(
            x, torch.ones(1, 1, 3, 3), torch.ones(1, 1), bias=torch.ones(1), impl="cuda"
        ),
    ):
        with pytest.raises(KernelError, match=r"cannot run with impl='cuda': the tensor is on cpu"):
            call()
    with pytest.raises(ValueError, match="impl is 'gpu'; accepted are auto, ref, cuda"):
        bias_act(x, impl="gpu")


def test_nothing_of_the_kernels_is_imported_on_a_cpu():
    script = (
        "import sys, torch\n"
        "from engine.models.stylegan2 import Generator\n"
        "Generator(8, w_dim=4, z_dim=4, channels={4: 2, 8: 2})(torch.ones(1, 4)).sum().backward()\n"
        "print([n for n in sys.modules if n in ('engine.ops.custom', 'engine.ops.nvrtc')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def on_gpu(numbers=1 << 20, ndim=4, dtype=torch.float16):
    """What `uses_kernel` looks at of a CUDA tensor."""
    properties = {"device": torch.device("cuda:0"), "dtype": dtype, "ndim": ndim, "shape": (2,)}
    return SimpleNamespace(**properties, numel=lambda: numbers, is_contiguous=lambda: False)


@pytest.fixture
def trials(monkeypatch):
    """The trials that were made; `answer` is what they say."""
    record = SimpleNamespace(made=[], answer="")

    def disagreement(op, x):
        record.made.append(op)
        if isinstance(record.answer, Exception):
            raise record.answer
        return record.answer

    monkeypatch.setattr(dispatch, "_refusals", {})
    monkeypatch.setattr(custom, "disagreement", disagreement)
    return record


def test_auto_takes_a_kernel_that_works_where_it_pays(trials):
    assert uses_kernel("bias_act", "auto", on_gpu())
    assert not uses_kernel("bias_act", "auto", on_gpu(numbers=100))
    assert uses_kernel("bias_act", "cuda", on_gpu(numbers=100))
    assert not uses_kernel("bias_act", "ref", on_gpu())
    assert not uses_kernel("bias_act", "auto", on_gpu(ndim=2))
    assert not uses_kernel(fir_name(6, 1, 1), "auto", on_gpu())
    assert trials.made == ["bias_act"]
    with forced("ref"):
        assert not uses_kernel("bias_act", "auto", on_gpu())
    with forced("cuda"):
        assert uses_kernel("bias_act", "auto", on_gpu(numbers=100))
        assert not uses_kernel("bias_act", "ref", on_gpu())


@pytest.mark.parametrize("answer", ["it is off by 1", KernelError("it is off by 1")])
def test_auto_falls_back_once_and_says_why(trials, answer, caplog):
    trials.answer = answer
    with caplog.at_level(logging.WARNING):
        assert not any(uses_kernel("bias_act", "auto", on_gpu()) for _ in range(3))
    assert [r.getMessage() for r in caplog.records] == [
        "bias_act runs without its kernel: it is off by 1"
    ]
    assert trials.made == ["bias_act"]
    with pytest.raises(KernelError, match=r"bias_act cannot run with impl='cuda': it is off by 1"):
        uses_kernel("bias_act", "cuda", on_gpu())


@pytest.fixture
def compiler(monkeypatch):
    """Stands in for NVRTC; `calls` are the sources it built."""
    calls = []

    def compile_cubin(source, architecture):
        calls.append(source)
        time.sleep(0.05)
        return source.encode() * 1000

    monkeypatch.setattr(nvrtc, "compile_cubin", compile_cubin)
    monkeypatch.setattr(nvrtc, "nvrtc_version", lambda: (13, 0))
    return calls


def test_programs_are_kept_on_disk_whole(compiler, tmp_path):
    folder, found = tmp_path / "a" / "kernels", []
    threads = [
        threading.Thread(target=lambda: found.append(nvrtc.cached_cubin("one", "sm_90", folder)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"one" * 1000] * 4
    built = len(compiler)
    assert nvrtc.cached_cubin("one", "sm_90", folder) == b"one" * 1000
    assert len(compiler) == built
    nvrtc.cached_cubin("one", "sm_75", folder)
    nvrtc.cached_cubin("two", "sm_90", folder)
    assert len(compiler) == built + 2
    assert sorted(p.suffix for p in folder.iterdir()) == [".bin"] * 3


def test_a_folder_that_cannot_be_written_costs_time_only(compiler, tmp_path):
    (tmp_path / "kernels").write_text("in the way")
    for _ in range(2):
        assert nvrtc.cached_cubin("x", "sm_90", tmp_path / "kernels") == b"x" * 1000
    assert len(compiler) == 2


def test_architecture_of_a_gpu(monkeypatch):
    monkeypatch.setattr(nvrtc, "nvrtc_version", lambda: (13, 0))
    known = [75, 80, 90, 120]
    assert nvrtc.architecture_for(90, known) == "sm_90"
    assert nvrtc.architecture_for(89, known) == "compute_80"
    assert nvrtc.architecture_for(130, known) == "compute_120"
    with pytest.raises(KernelError, match=r"capability 7.0; NVRTC \(13, 0\) builds for 7.5 and"):
        nvrtc.architecture_for(70, known)


def test_torch_without_cuda_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(KernelError, match=r"is built without CUDA: use impl='ref'"):
        nvrtc.nvrtc.__wrapped__()
    monkeypatch.setattr(torch.version, "cuda", "99.1")
    with pytest.raises(KernelError, match=r"no NVRTC for CUDA 99.1 is found"):
        nvrtc.nvrtc.__wrapped__()


class Driver:
    """Stands in for libcuda: takes the calls of a launch, refuses where `refuse` says."""

    def __init__(self, refuse=""):
        self.refuse, self.launched = refuse, []

    def __getattr__(self, name):
        def call(*arguments):
            if name == "cuLaunchKernel":
                _, *grid_and_block, _, pointers, _ = arguments
                given = ctypes.cast(pointers[0], ctypes.POINTER(ctypes.c_int))
                self.launched.append((tuple(grid_and_block), given[0]))
            return 222 if name == self.refuse else 0

        return call

    def cuGetErrorString(self, result, text):  # noqa: N802
        text._obj.value = b"no"


@pytest.fixture
def launched(monkeypatch, compiler, tmp_path):
    """Launch one kernel on a `Driver`, in a home of its own."""
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: SimpleNamespace(cuda_stream=7))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(nvrtc, "architectures", lambda: [90])

    def run(driver):
        monkeypatch.setattr(nvrtc, "_driver", lambda: driver)
        nvrtc._context.cache_clear()
        nvrtc._load.cache_clear()
        plan = Launch("modulate.cu", "modulate<Half, true>", "M", ctypes.c_int(42), (5, 3))
        for _ in range(2):
            nvrtc.launch(plan, torch.device("cuda:0"))

    yield run
    nvrtc._context.cache_clear()
    nvrtc._load.cache_clear()


def test_a_launch_hands_over_grid_and_arguments(launched, compiler, tmp_path):
    driver = Driver()
    launched(driver)
    assert driver.launched == [((5, 3, 1, 128, 1, 1, 0), 42)] * 2
    assert len(compiler) == 1 and "entry(const M a) { modulate<Half, true>(a); }" in compiler[0]
    assert len(list((tmp_path / "kernels").iterdir())) == 1


@pytest.mark.parametrize(
    ("call", "action"),
    [
        ("cuDevicePrimaryCtxRetain", "open the context of GPU 0"),
        ("cuModuleLoadData", "load"),
        ("cuLaunchKernel", "start modulate<Half, true>"),
    ],
)
def test_the_driver_is_quoted(launched, call, action):
    with pytest.raises(KernelError, match=rf"cannot {action}.*: CUDA error 222 \(no\)"):
        launched(Driver(refuse=call))
