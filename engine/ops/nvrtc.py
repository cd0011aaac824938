"""Build kernels at first use with NVRTC, keep them on disk, launch them through the driver.

Neither gcc nor nvcc is needed: libnvrtc comes with torch's CUDA wheels (torch depends on it) and
libcuda with the driver, and both are called through ctypes. `torch.cuda._compile_kernel` does much
of this but is private, keeps nothing on disk and looks for a CUDA toolkit; cuda-bindings come with
recent wheels for Linux only. Programs are cubins where NVRTC knows the GPU: unlike PTX they load in
drivers older than the toolkit of the wheel.
"""

import ctypes
import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from engine.errors import KernelError
from engine.ops.launch import BLOCK, Launch, kernel_source
from engine.runtime import data_home

ENTRY = b"entry"
OPTIONS = ("--std=c++17", "--extra-device-vectorization")
_lock = threading.Lock()


def launch(plan: Launch, device: torch.device) -> None:
    """Run `plan` on `device`, on torch's current stream there.

    Raises:
        KernelError: it could not be built, loaded or started.
    """
    with torch.cuda.device(device):
        index = torch.cuda.current_device()
        driver, context = _context(index)
        # torch leaves a thread that has not allocated yet without a context.
        _check(driver, driver.cuCtxSetCurrent(context), "make the GPU's context current")
        function = _function(plan.file, plan.source(), index)
        argument = (ctypes.c_void_p * 1)(ctypes.addressof(plan.arguments))
        stream = ctypes.c_void_p(torch.cuda.current_stream().cuda_stream)
        shape = (*plan.grid, 1, BLOCK, 1, 1, 0)
        result = driver.cuLaunchKernel(function, *shape, stream, argument, None)
        _check(driver, result, f"start {plan.body}")


def compile_cubin(source: str, architecture: str) -> bytes:
    """Compile CUDA C++ that includes nothing for "sm_90" (cubin) or "compute_90" (PTX).

    Raises:
        KernelError: no NVRTC is found, or it refuses the source; with its log.
    """
    library, program = nvrtc(), ctypes.c_void_p()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = [f"--gpu-architecture={architecture}".encode(), *(o.encode() for o in OPTIONS)]
    array = (ctypes.c_char_p * len(options))(*options)
    try:
        if library.nvrtcCompileProgram(program, len(options), array):
            log = _text(library, program, "ProgramLog").decode(errors="replace").strip("\0\n ")
            raise KernelError(
                f"NVRTC cannot build a kernel for {architecture}; use impl='ref'. It says:\n{log}"
            )
        kind = "CUBIN" if architecture.startswith("sm_") else "PTX"
        return _text(library, program, kind)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def cached_cubin(source: str, architecture: str, folder: Path) -> bytes:
    """Return `compile_cubin`, from `folder` if it is there.

    Processes may start at once: each writes a file of its own and moves it into place whole. A
    folder that cannot be written costs a compilation per process, nothing else.
    """
    key = "\0".join((source, architecture, *OPTIONS, str(nvrtc_version()), torch.__version__))
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()}.{architecture}.bin"
    try:
        return path.read_bytes()
    except OSError:
        program = compile_cubin(source, architecture)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as part:
            part.write(program)
        os.replace(part.name, path)
    except OSError:  # read-only or full: the next process compiles again
        pass
    return program


def nvrtc_version() -> tuple[int, int]:
    """Version of NVRTC as (major, minor); raises KernelError without one."""
    major, minor = ctypes.c_int(), ctypes.c_int()
    nvrtc().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return major.value, minor.value


def architectures() -> list[int]:
    """The compute capabilities NVRTC can build for, ascending: 75, 80, ..., 120."""
    library, count = nvrtc(), ctypes.c_int()
    library.nvrtcGetNumSupportedArchs(ctypes.byref(count))
    found = (ctypes.c_int * count.value)()
    library.nvrtcGetSupportedArchs(found)
    return sorted(found)


def architecture_for(capability: int, known: list[int]) -> str:
    """The target for a GPU: its own, or the newest known one, which the driver translates.

    Raises:
        KernelError: the GPU is older than everything NVRTC knows.
    """
    if capability in known:
        return f"sm_{capability}"
    older = [k for k in known if k < capability]
    if not older:
        raise KernelError(
            f"this GPU has compute capability {capability / 10}; NVRTC {nvrtc_version()} builds "
            f"for {known[0] / 10} and newer: use impl='ref', or a torch for an older CUDA"
        )
    return f"compute_{older[-1]}"


@cache
def nvrtc() -> ctypes.CDLL:
    """The NVRTC library of the CUDA version that torch was built with; raises KernelError."""
    if torch.version.cuda is None:
        raise KernelError(f"torch {torch.__version__} is built without CUDA: use impl='ref'")
    for candidate in _nvrtc_candidates(torch.version.cuda.partition(".")[0]):
        try:
            return ctypes.CDLL(candidate)
        except OSError:
            continue
    raise KernelError(
        f"no NVRTC for CUDA {torch.version.cuda} is found; it comes with torch's CUDA wheels: "
        "install torch again, or use impl='ref'"
    )


def _nvrtc_candidates(major: str) -> Iterator[str]:
    """What the loader finds by itself, then where wheels and conda keep it."""
    windows = sys.platform == "win32"
    yield f"nvrtc64_{major}0_0.dll" if windows else f"libnvrtc.so.{major}"
    pattern = f"nvrtc64_{major}*_0.dll" if windows else f"libnvrtc*.so.{major}"
    torch_folder = Path(torch.__file__).parent
    places = [torch_folder / "lib", *torch_folder.parent.glob("nvidia/*/lib")]
    places += [*torch_folder.parent.glob("nvidia/*/bin"), Path(sys.prefix) / "lib"]
    for place in places:
        yield from (str(p) for p in sorted(place.glob(pattern)) if "builtins" not in p.name)


def _text(library: ctypes.CDLL, program: ctypes.c_void_p, what: str) -> bytes:
    """Fetch "CUBIN", "PTX" or "ProgramLog" of a program; the texts end with a zero."""
    size = ctypes.c_size_t()
    getattr(library, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
    buffer = ctypes.create_string_buffer(size.value)
    getattr(library, f"nvrtcGet{what}")(program, buffer)
    return buffer.raw


@cache
def _driver() -> ctypes.CDLL:
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        return ctypes.CDLL(name)
    except OSError as error:
        raise KernelError(f"the GPU driver's {name} cannot be loaded: {error}") from error


@cache
def _context(index: int) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """The driver and the context of a GPU that torch works in."""
    driver, device, context = _driver(), ctypes.c_int(), ctypes.c_void_p()
    _check(driver, driver.cuDeviceGet(ctypes.byref(device), index), f"open GPU {index}")
    result = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    _check(driver, result, f"open the context of GPU {index}")
    return driver, context


def _function(file: str, entry: str, index: int) -> ctypes.c_void_p:
    with _lock:  # `cache` alone would let two threads build the same kernel
        return _load(file, entry, index)


@cache
def _load(file: str, entry: str, index: int) -> ctypes.c_void_p:
    """Build a kernel for GPU `index` and load it there; a program lives as long as the process."""
    major, minor = torch.cuda.get_device_capability(index)
    target = architecture_for(10 * major + minor, architectures())
    program = cached_cubin(kernel_source(file) + entry, target, data_home() / "kernels")
    driver, module, function = _driver(), ctypes.c_void_p(), ctypes.c_void_p()
    _check(driver, driver.cuModuleLoadData(ctypes.byref(module), program), f"load {entry}")
    result = driver.cuModuleGetFunction(ctypes.byref(function), module, ENTRY)
    _check(driver, result, f"find {ENTRY.decode()} in {file}")
    return function


def _check(driver: ctypes.CDLL, result: int, action: str) -> None:
    if result:
        text = ctypes.c_char_p()
        driver.cuGetErrorString(result, ctypes.byref(text))
        reason = text.value.decode() if text.value else "unknown"
        raise KernelError(f"cannot {action}: CUDA error {result} ({reason}); use impl='ref'")
