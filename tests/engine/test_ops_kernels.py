"""The CUDA kernels without a GPU: run by a host compiler, built by NVRTC and nvcc."""

import ctypes
import itertools
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from engine.errors import KernelError
from engine.ops import custom, nvrtc
from engine.ops.launch import (
    BLOCK,
    CPP_NAMES,
    FACTORS,
    Epilogue,
    Launch,
    kernel_source,
    plan_fir_act,
)

LAST, CONTIGUOUS = torch.channels_last, torch.contiguous_format
TAPS = [0.1, 0.2, 0.3, 0.4]  # not symmetric: a filter turned round shows
ROUNDING = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2, torch.float32: 1e-5, torch.float64: 1e-12}
LAYOUTS = {LAST: "channels_last", CONTIGUOUS: "contiguous"}


def draw(*shape, dtype=torch.float64, layout=CONTIGUOUS, seed=0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x.to(dtype)
    return x.contiguous(memory_format=layout) if x.ndim == 4 else x


def filter_case(dtype, layout, channels, factors, before):
    up, down = factors
    size = [(n * up + before + 1 - 4) // down + 1 for n in (6, 7)]
    x = draw(2, channels, 6, 7, dtype=dtype, layout=layout)
    wide = custom.compute_dtype(dtype)
    rest = [
        draw(2, channels, dtype=wide),
        draw(channels, dtype=wide),
        draw(2, 1, *size, dtype=wide),
    ]
    return "fir_act", (x, TAPS, up, down, before, size, *rest, 0.2, 1.5, 2.0)


def act_case(dtype, layout, channels, width, noise_batch):
    x = draw(2, channels, 4, width, dtype=dtype, layout=layout)
    wide = custom.compute_dtype(dtype)
    noise = draw(noise_batch, 1, 4, width, dtype=wide) if noise_batch else None
    rest = (None, draw(channels, dtype=wide), noise)
    return "fir_act", (x, [1.0], 1, 1, 0, [4, width], *rest, 0.2, 1.5, None if noise_batch else 2.0)


def grad_case(dtype, layout, clamp):
    grad = draw(2, 8, 3, 5, dtype=dtype)  # as it may come: in another layout than the result's
    return "act_grad", (grad, draw(2, 8, 3, 5, dtype=dtype, layout=layout, seed=1), 0.2, 1.5, clamp)


def modulate_case(dtype, last):
    wide = custom.compute_dtype(dtype)
    return "modulate", (draw(3, 37, 3, 3, dtype=wide), draw(37, dtype=wide), 1.4, dtype, last)


def cases():
    """Name -> (operator, arguments): every kernel, format and layout, with and without vectors."""
    found = {}
    for dtype, layout in itertools.product(CPP_NAMES, LAYOUTS):
        kind = f"{CPP_NAMES[dtype]}, {LAYOUTS[layout]}"
        found[f"activation, {kind}, vectors"] = act_case(dtype, layout, 16, 16, 1)
        found[f"activation, {kind}"] = act_case(dtype, layout, 3, 5, 2 if layout == LAST else 0)
        found[f"gradient, {kind}"] = grad_case(dtype, layout, 0.9 if layout == LAST else None)
        found[f"modulate, {kind}"] = modulate_case(dtype, layout == LAST)
    for dtype, factors in itertools.product((torch.float16, torch.float64), FACTORS):
        for layout, channels, before in [(LAST, 16, 1), (LAST, 3, -1), (CONTIGUOUS, 3, 2)]:
            name = f"filter {factors}, {CPP_NAMES[dtype]}, {LAYOUTS[layout]} {channels}"
            found[name] = filter_case(dtype, layout, channels, factors, before)
    found["filter (2, 1), odd start"] = filter_case(torch.float32, LAST, 4, (2, 1), 2)
    found["filter (1, 1), Bfloat"] = filter_case(torch.bfloat16, LAST, 8, (1, 1), 1)
    return found


CASES = cases()


HOST_FLAGS = ("-std=c++20", "-O1", "-shared", "-fPIC", "-pthread", "-Wno-unknown-pragmas")


def host_library(plans: list[Launch], folder: Path) -> ctypes.CDLL:
    """Build the kernels of `plans` with a host compiler; `run_i` runs plan i."""
    parts = ['#include "kernel_shim.hpp"', kernel_source("fir_act.cu", "modulate.cu")]
    for i, plan in enumerate(plans):
        parts.append(plan.source(f"entry_{i}"))
        parts.append(
            f'extern "C" void run_{i}(const {plan.argument}* a, int width, int height) '
            f"{{ run_grid<const {plan.argument}>(entry_{i}, *a, width, height, {BLOCK}); }}"
        )
    source, library = folder / "kernels.cpp", folder / "kernels.so"
    source.write_text("\n".join(parts))
    command = ["g++", *HOST_FLAGS, f"-I{Path(__file__).parent}", str(source), "-o", str(library)]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[:4000]
    return ctypes.CDLL(str(library))


def on_gpu(name, arguments):
    """What the operator does on a CUDA tensor, up to `custom.launch`."""
    return getattr(custom, f"_{name}_cuda")(*arguments)


@pytest.fixture(scope="module")
def host_results(tmp_path_factory):
    """Name of a case -> what its kernel gave, run by the host."""
    if shutil.which("g++") is None:
        pytest.skip("needs a host compiler: there is no g++")
    plans: dict[str, Launch] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(custom, "launch", lambda plan, device: plans.setdefault(plan.body, plan))
        for name, arguments in CASES.values():
            on_gpu(name, arguments)
        library = host_library(list(plans.values()), tmp_path_factory.mktemp("kernels"))
        numbers = {body: i for i, body in enumerate(plans)}

        def run(plan: Launch, device: torch.device) -> None:
            entry = getattr(library, f"run_{numbers[plan.body]}")
            entry(ctypes.byref(plan.arguments), *plan.grid)

        patch.setattr(custom, "launch", run)
        return {case: on_gpu(*operands) for case, operands in CASES.items()}


def exactly(x):
    """Tensors of an operator's arguments in float64, everything else as it is."""
    return x.double() if isinstance(x, torch.Tensor) else x


@pytest.mark.parametrize("case", CASES)
def test_kernel_follows_the_reference(case, host_results):
    name, arguments = CASES[case]
    found = host_results[case]
    wide = [torch.float64 if x is found.dtype else exactly(x) for x in arguments]
    expected = getattr(custom, name)(*wide)
    tolerance = ROUNDING[found.dtype]
    torch.testing.assert_close(found.double(), expected, rtol=tolerance, atol=tolerance)
    assert found.stride() == getattr(custom, name)(*arguments).stride()


def test_cases_cover_every_kernel(monkeypatch):
    plans = []
    monkeypatch.setattr(custom, "launch", lambda plan, device: plans.append(plan))
    for name, arguments in CASES.values():
        on_gpu(name, arguments)
    kinds = {plan.body.partition("<")[0] for plan in plans}
    assert kinds == {"act", "fir_act", "modulate"}
    lanes = {plan.body.split(",")[1].strip() for plan in plans if plan.body.startswith("act")}
    assert lanes == {"1", "2", "4", "8"}


def test_too_large_or_unknown_is_refused():
    huge = torch.empty(1, 1, 1, 1).expand(1, 2**16, 2**8, 2**8)
    with pytest.raises(KernelError, match=r"is too large for a kernel; accepted are 1 .. 65535"):
        plan_fir_act(huge, huge, [1.0], (1, 1), 0, Epilogue())
    x = draw(1, 1, 4, 4)
    with pytest.raises(KernelError, match=r"no kernel for 4 taps, up 3, down 1; accepted are 4"):
        plan_fir_act(x, x, TAPS, (3, 1), 0, Epilogue())


# A kernel of each kind, for the compilers of CUDA; what they refuse depends on no format.
BODIES = (
    ("fir_act.cu", "act<Bfloat, 8, true, false>", "FirAct<Sum<Bfloat>>"),
    ("fir_act.cu", "act<Half, 1, false, true>", "FirAct<Sum<Half>>"),
    ("fir_act.cu", "fir_act<Half, 2, 1, 1, false>", "FirAct<Sum<Half>>"),
    ("fir_act.cu", "fir_act<Bfloat, 1, 1, 8, true>", "FirAct<Sum<Bfloat>>"),
    ("fir_act.cu", "fir_act<float, 1, 2, 4, true>", "FirAct<Sum<float>>"),
    ("modulate.cu", "modulate<Half, true>", "Modulate<Sum<Half>>"),
    ("modulate.cu", "modulate<double, false>", "Modulate<Sum<double>>"),
)
PLANS = [Launch(*body, None, (1, 1)) for body in BODIES]


def local_nvrtc():
    try:
        return nvrtc.architectures()
    except KernelError as error:
        pytest.skip(f"needs NVRTC: {error}")


@pytest.mark.parametrize(("plan", "which"), [(PLANS[1], -1), (PLANS[2], 0), (PLANS[5], -1)])
def test_nvrtc_builds_the_kernels_without_headers(plan, which):
    """For the oldest GPU it knows, or the newest."""
    capability = local_nvrtc()[which]
    source = kernel_source(plan.file) + plan.source()
    assert "#include" not in source
    assert nvrtc.compile_cubin(source, f"sm_{capability}")[:4] == b"\x7fELF"


def test_nvrtc_builds_for_gpus_it_does_not_know():
    source = kernel_source(PLANS[5].file) + PLANS[5].source()
    assert b".visible .entry entry(" in nvrtc.compile_cubin(source, f"compute_{local_nvrtc()[-1]}")


def test_nvrtc_says_what_it_does_not_understand():
    oldest = local_nvrtc()[0]
    with pytest.raises(KernelError, match=r"NVRTC cannot build a kernel for sm_(.|\n)*whatever"):
        nvrtc.compile_cubin("whatever", f"sm_{oldest}")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_nvcc_builds_the_kernels_for_all_gpus(tmp_path):
    """From Turing (sm_75) to Blackwell (sm_120), as far as the nvcc at hand knows them."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs the CUDA compiler: there is no nvcc")
    told = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True)
    known = [word.removeprefix("compute_") for word in told.stdout.split()]
    chosen = [k for k in ("75", "80", "86", "89", "90", "100", "120") if k in known]
    assert chosen
    source = tmp_path / "kernels.cu"
    entries = [plan.source(f"entry_{i}") for i, plan in enumerate(PLANS)]
    source.write_text("\n".join([kernel_source("fir_act.cu", "modulate.cu"), *entries]))
    targets = [f"-gencode=arch=compute_{k},code=sm_{k}" for k in chosen]
    command = [nvcc, "-std=c++17", "-Werror", "all-warnings", "-fatbin", *targets, str(source)]
    built = subprocess.run(
        [*command, "-o", str(tmp_path / "k.fatbin")], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stderr[:4000]
