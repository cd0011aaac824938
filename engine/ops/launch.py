"""What to launch: source text, entry point, grid and arguments of the kernels in `kernels/`.

Pure bookkeeping on shapes and addresses, so that tests check it on a CPU: they compile the same
source with a host compiler and run the same grid with the same arguments.
"""

import ctypes
import math
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.errors import KernelError

KERNELS = Path(__file__).parent / "kernels"
CPP_NAMES = {
    torch.float16: "Half",
    torch.bfloat16: "Bfloat",
    torch.float32: "float",
    torch.float64: "double",
}
BLOCK = 128  # threads; MODULATE_BLOCK in modulate.cu is the same
ROWS = 4  # as in fir_act.cu
VECTOR_BYTES = 16  # the widest load of a GPU
MAX_SAMPLES = 65535  # the largest second dimension of a grid
FACTORS = ((1, 1), (2, 1), (1, 2))  # (up, down) that fir_act.cu has


@dataclass(frozen=True)
class Launch:
    """One kernel launch: `body` of the entry point, C++ type and bytes of its only argument."""

    file: str
    body: str
    argument: str
    arguments: ctypes.Structure
    grid: tuple[int, int]

    def source(self, entry: str = "entry") -> str:
        """The entry point, in C++."""
        return f'extern "C" __global__ void {entry}(const {self.argument} a) {{ {self.body}(a); }}'


def kernel_source(*files: str) -> str:
    """The text of kernel files with what they need in front; entry points go behind it."""
    return "".join((KERNELS / file).read_text("utf-8") for file in ("numbers.cuh", *files))


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """What kernels compute in, and want scales, biases and noise in: float32, or float64."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def memory_format(x: torch.Tensor) -> torch.memory_format:
    """The layout of a result: channels_last if that of `x` [N, C, H, W] is, else contiguous."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _structure(fields: str, reals: str, real: type) -> type[ctypes.Structure]:
    """A C struct of pointers (p_...), ints and real numbers; `taps` are four."""
    kinds = [(name, ctypes.c_void_p if name[:2] == "p_" else ctypes.c_int) for name in fields]
    numbers = [(name, real * 4 if name == "taps" else real) for name in reals]
    return type("Arguments", (ctypes.Structure,), {"_fields_": [*kinds, *numbers]})


_ACT_FIELDS = (
    *("p_x", "p_y", "p_scale", "p_bias", "p_noise", "p_saved"),
    *("channels", "in_height", "in_width", "out_height", "out_width"),
    *("before", "threads", "noise_step"),
)
_ACT_REALS = ("taps", "slope", "gain", "clamp")
_MODULATE_FIELDS = ("p_weight", "p_styles", "p_y", "channels", "num_taps")
_REALS = {torch.float32: ctypes.c_float, torch.float64: ctypes.c_double}
ACT_ARGUMENTS = {d: _structure(_ACT_FIELDS, _ACT_REALS, r) for d, r in _REALS.items()}
MODULATE_ARGUMENTS = {
    d: _structure(_MODULATE_FIELDS, ("gain", "epsilon"), r) for d, r in _REALS.items()
}


@dataclass(frozen=True)
class Epilogue:
    """What follows the filter: `clamp(gain * leaky_relu(scale * x + bias + noise, slope))`.

    Tensors are in `compute_dtype`: scale [N, C], bias [C], noise [N or 1, 1, H, W].
    """

    scale: torch.Tensor | None = None
    bias: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    slope: float = 1.0
    gain: float = 1.0
    clamp: float | None = None


def plan_fir_act(
    x: torch.Tensor,
    y: torch.Tensor,
    taps: list[float],
    factors: tuple[int, int],
    before: int,
    epilogue: Epilogue,
    *,
    saved: torch.Tensor | None = None,
) -> Launch:
    """Plan the filter and what follows it, or what follows it alone where `taps` is [1].

    Args:
        x: [N, C, H, W], dense, in the layout of `y`.
        y: [N, C, H', W'], written.
        taps: four, applied along both axes, flipped; or [1.0].
        factors: (up, down).
        before: zeros before the first row and column.
        epilogue: what follows.
        saved: the result of the forward pass: `x` is the gradient of it, and `y` that of what
            came before the activation.

    Raises:
        KernelError: there is no kernel for this.
    """
    if len(taps) not in (1, 4) or factors not in FACTORS:
        raise KernelError(
            f"there is no kernel for {len(taps)} taps, up {factors[0]}, down {factors[1]}; "
            f"accepted are 4 taps and (up, down) in {FACTORS}: use impl='ref'"
        )
    last = not (x.is_contiguous() and y.is_contiguous())  # one pixel is in both layouts
    filters = len(taps) == 4
    lanes = _lanes([x, y, *([] if saved is None else [saved])], last, filters)
    threads = math.prod(y.shape[1:]) // lanes
    if filters:
        strips = -(-y.shape[2] // ROWS)
        threads = y.shape[1] // lanes * strips * y.shape[3]
    _check_size(x, y)
    name, flag = CPP_NAMES[y.dtype], str(last).lower()
    body = f"act<{name}, {lanes}, {flag}, {str(saved is not None).lower()}>"
    if filters:
        body = f"fir_act<{name}, {factors[0]}, {factors[1]}, {lanes}, {flag}>"
    noise = epilogue.noise
    compute = compute_dtype(y.dtype)
    arguments = ACT_ARGUMENTS[compute](
        *map(_address, (x, y, epilogue.scale, epilogue.bias, noise, saved)),
        *(y.shape[1], *x.shape[2:], *y.shape[2:]),
        before,
        threads,
        y.shape[2] * y.shape[3] if noise is not None and noise.shape[0] > 1 else 0,
        tuple(taps) if filters else (0.0,) * 4,
        epilogue.slope,
        epilogue.gain,
        math.inf if epilogue.clamp is None else epilogue.clamp,
    )
    grid = (-(-threads // BLOCK), y.shape[0])
    return Launch("fir_act.cu", body, f"FirAct<Sum<{name}>>", arguments, grid)


def plan_modulate(
    weight: torch.Tensor, styles: torch.Tensor, y: torch.Tensor, gain: float, epsilon: float
) -> Launch:
    """Plan the modulated weight `y` [O, I, k, k] of `weight` (contiguous) and `styles` [I]."""
    last = memory_format(y) == torch.channels_last
    arguments = MODULATE_ARGUMENTS[compute_dtype(y.dtype)](
        *map(_address, (weight, styles, y)),
        weight.shape[1],
        weight.shape[2] * weight.shape[3],
        gain,
        epsilon,
    )
    name = CPP_NAMES[y.dtype]
    body = f"modulate<{name}, {str(last).lower()}>"
    return Launch("modulate.cu", body, f"Modulate<Sum<{name}>>", arguments, (weight.shape[0], 1))


def _address(x: torch.Tensor | None) -> int | None:
    return None if x is None else x.data_ptr()


def _lanes(tensors: list[torch.Tensor], last: bool, filters: bool) -> int:
    """How many neighbours in memory one thread moves: as many as fit all tensors, or 1."""
    lanes = VECTOR_BYTES // tensors[0].element_size()
    channels, area = tensors[0].shape[1], math.prod(tensors[0].shape[2:])
    fits = channels % lanes == 0 if last else not filters and area % lanes == 0
    aligned = all(x.data_ptr() % VECTOR_BYTES == 0 for x in tensors)
    return lanes if fits and aligned else 1


def _check_size(x: torch.Tensor, y: torch.Tensor) -> None:
    sample = max(math.prod(x.shape[1:]), math.prod(y.shape[1:]))
    if sample >= 2**31 - BLOCK or not 0 < y.shape[0] <= MAX_SAMPLES:
        raise KernelError(
            f"{list(x.shape)} -> {list(y.shape)} is too large for a kernel; accepted are "
            f"1 .. {MAX_SAMPLES} samples of fewer than 2^31 numbers: use impl='ref'"
        )
