"""Where the networks run: one decision on device, number format and threads, with its reason.

Nothing else in the project names a device. `STYLIZE_DEVICE` and `STYLIZE_DTYPE` override the
choice, arguments override both.
"""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import OptionError, OutOfMemory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Runtime:
    """The decision: where tensors live, the format networks compute in, and why."""

    device: torch.device
    dtype: torch.dtype
    reason: str
    num_threads: int = 1


def pick_runtime(
    device: str | None = None, dtype: str | None = None, *, trains: bool = False
) -> Runtime:
    """Decide where to run, and let torch use as many threads as this process has processors.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1", "mps"; None asks `STYLIZE_DEVICE`, else auto
            (CUDA > MPS > CPU).
        dtype: "auto", "float32", "bfloat16", "float16"; None asks `STYLIZE_DTYPE`, else auto
            (what is natively fast on the device).
        trains: gradients are wanted: auto is never float16, in which small ones vanish.

    Raises:
        OptionError: a device or dtype that does not exist or is not on this machine.
    """
    chosen_device, device_reason = _pick_device(*_request(device, "device", "STYLIZE_DEVICE"))
    wish, source = _request(dtype, "dtype", "STYLIZE_DTYPE")
    chosen_dtype, dtype_reason = _pick_dtype(chosen_device, wish, source, trains)
    num_threads = available_processors()
    torch.set_num_threads(num_threads)
    reason = f"{device_reason}; {dtype_reason}; {num_threads} threads"
    return Runtime(chosen_device, chosen_dtype, reason, num_threads)


def available_processors(
    environment: Mapping[str, str] = os.environ, cgroup: Path = _CGROUP
) -> int:
    """Return how many processors this process may use.

    That is OMP_NUM_THREADS if set, else the affinity, capped by the quota of the container.
    """
    wanted = environment.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    has_affinity = hasattr(os, "sched_getaffinity")  # Linux only
    allowed = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = _cgroup_processors(cgroup)
    return max(1, min(allowed, math.ceil(quota)) if quota else allowed)


def data_home() -> Path:
    """Return where this user's packs and weights lie: `$STYLIZE_HOME`, or what the system says."""
    if os.environ.get("STYLIZE_HOME"):
        return Path(os.environ["STYLIZE_HOME"])
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "stylize"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "stylize"
    return Path(os.environ.get("XDG_DATA_HOME", Path.home() / ".local" / "share")) / "stylize"


def has_graphs(device: torch.device) -> bool:
    """Tell whether work there can be recorded as a CUDA graph, and is not waited for."""
    return device.type == "cuda"


def is_recording() -> bool:
    """Tell whether what runs is being recorded: nothing may wait for the GPU or seed it then."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` is memory running out; torch has a class for it on GPUs only."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def free_memory(device: torch.device) -> None:
    """Hand cached memory of `device` back, after an out-of-memory error or a large job."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


@contextmanager
def memory_guard(runtime: Runtime) -> Iterator[None]:
    """Turn running out of memory, on whatever device, into OutOfMemory with a remedy."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        free_memory(runtime.device)
        raise OutOfMemory(
            f"out of memory on {runtime.device}; choose fewer samples, use a smaller photo, "
            "close other programs, or set STYLIZE_DEVICE=cpu"
        ) from error


def _request(argument: str | None, name: str, variable: str) -> tuple[str, str]:
    """Return (wish, where it came from); the wish is "auto" when nobody has one."""
    if argument is not None:
        return argument.strip().lower(), f"{name} {argument!r}"
    value = os.environ.get(variable, "").strip().lower()
    return (value, f"{variable}={value}") if value else ("auto", "")


def _pick_device(wish: str, source: str) -> tuple[torch.device, str]:
    if wish == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda"), f"CUDA: {torch.cuda.get_device_name()}"
        if torch.backends.mps.is_available():
            return torch.device("mps"), "MPS: Apple GPU"
        return torch.device("cpu"), "CPU: torch finds no GPU"
    kind, _, index = wish.partition(":")
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if kind not in counts or (":" in wish and not index.isdigit()):
        raise OptionError(f"{source} is no device; accepted are auto, cpu, cuda, cuda:N and mps")
    if int(index or 0) >= counts[kind]:
        present = ", ".join(f"{name} ({count})" for name, count in counts.items() if count)
        raise OptionError(
            f"{source} is not on this machine; torch {torch.__version__} finds {present}: use auto"
        )
    return torch.device(wish), f"{kind.upper()}: asked for by {source}"


def _pick_dtype(
    device: torch.device, wish: str, source: str, trains: bool
) -> tuple[torch.dtype, str]:
    if wish == "auto":
        return _native_dtype(device, trains)
    if wish not in DTYPES:
        accepted = ", ".join(DTYPES)
        raise OptionError(f"{source} is no number format; accepted are auto, {accepted}")
    if wish == "float16" and device.type == "cpu":
        raise OptionError(
            f"{source} is slow and overflows on a CPU; "
            "accepted there are float32 and bfloat16: use auto"
        )
    return DTYPES[wish], f"{wish}: asked for by {source}"


def _native_dtype(device: torch.device, trains: bool) -> tuple[torch.dtype, str]:
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if trains and capability >= (8, 0):
            return torch.bfloat16, "bfloat16: native since compute capability 8.0"
        if not trains and capability >= (7, 0):
            return torch.float16, "float16: native, and nearer to float32 than bfloat16"
        return torch.float32, "float32: this GPU has no fast format for this"
    if device.type == "mps":
        return torch.float32, "float32: the safe format on MPS"
    instructions = _bfloat16_instructions()
    if instructions:
        return torch.bfloat16, f"bfloat16: the processor has {instructions}"
    return torch.float32, "float32: the processor has no native bfloat16"


def _bfloat16_instructions() -> str:
    """Name the instructions that make bfloat16 fast here, or "".

    oneDNN also answers yes where it only emulates bfloat16 with AVX-512, slower than float32.
    """
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return ""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "Arm BF16"
    if torch.cpu._is_amx_tile_supported():
        return "AMX"
    return "AVX512-BF16" if torch.cpu._is_avx512_bf16_supported() else ""


def _cgroup_processors(cgroup: Path) -> float | None:
    """Read the quota of a container in processors, cgroup v2 or v1; None if unlimited."""
    try:
        if (cgroup / "cpu.max").exists():
            quota, period = (cgroup / "cpu.max").read_text().split()
        else:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        return int(quota) / int(period) if quota not in ("max", "-1") else None
    except (OSError, ValueError):  # no such files, or a format we do not know: no visible limit
        return None
