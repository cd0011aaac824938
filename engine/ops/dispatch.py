"""Which implementation of an operation runs: plain PyTorch, or the CUDA kernel.

On a CPU this is one comparison, and nothing of the kernels is imported. On a GPU the first use of
an operation in a number format builds its kernel and compares it with plain PyTorch on a small
tensor; whatever goes wrong sends `auto` back to plain PyTorch once and for all, with a warning
that says why.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch

from engine.errors import KernelError

Impl = Literal["auto", "ref", "cuda"]
IMPLS = ("auto", "ref", "cuda")

# Numbers in the picture from which on `auto` takes the kernel (docs/kernels.md). Called one by one,
# the activation pays from 8 million on; in a CUDA graph, where a launch is cheap, from far fewer.
PAYS_FROM = {
    "bias_act": 1 << 16,
    "modulate": 1,  # small pictures have large weights
    "upfirdn2d (4 taps, up 1, down 1)": 1 << 12,
    "upfirdn2d (4 taps, up 2, down 1)": 1 << 20,  # of RGB bilinear interpolation is faster below
    "upfirdn2d (4 taps, up 1, down 2)": 1 << 12,
}

log = logging.getLogger(__name__)
_forced: ContextVar[Impl | None] = ContextVar("forced", default=None)
_refusals: dict[tuple, str] = {}  # (operation, dtype, device, layout) -> "" where its kernel works


def fir_name(num_taps: int, up: int, down: int) -> str:
    """The name of `upfirdn2d` with some factors, as in PAYS_FROM."""
    return f"upfirdn2d ({num_taps} taps, up {up}, down {down})"


def uses_kernel(op: str, impl: Impl, x: torch.Tensor) -> bool:
    """Decide for operation `op` on `x`.

    Args:
        op: a key of PAYS_FROM; there are no kernels for others.
        impl: what the caller asks for; `forced` overrides "auto".
        x: the picture [N, C, H, W]; kernels are tried once per dtype, device and layout.

    Raises:
        KernelError: "cuda" is asked for and cannot be had.
        ValueError: there is no such `impl`.
    """
    if impl not in IMPLS:
        raise ValueError(f"impl is {impl!r}; accepted are {', '.join(IMPLS)}")
    if impl == "ref" or (impl == "auto" and x.device.type != "cuda"):
        return False
    if impl == "auto":
        if op not in PAYS_FROM or x.ndim != 4:
            return False
        impl = _forced.get() or "auto"
    if impl == "auto":
        # A compiler fuses elementwise work by itself, and must not trace through a build.
        pays = x.numel() >= PAYS_FROM[op] and not torch.compiler.is_compiling()
        return pays and not _refusal(op, x)
    if impl == "cuda" and (reason := _refusal(op, x)):
        raise KernelError(f"{op} cannot run with impl='cuda': {reason}; use impl='auto'")
    return impl == "cuda"


@contextmanager
def forced(impl: Impl) -> Iterator[None]:
    """Within the block, operations on CUDA tensors that are left to "auto" run as `impl`."""
    token = _forced.set(impl)
    try:
        yield
    finally:
        _forced.reset(token)


def _refusal(op: str, x: torch.Tensor) -> str:
    """Why the kernel cannot run on tensors like `x`; "" if it can. Warns once of each."""
    if x.device.type != "cuda":
        return f"the tensor is on {x.device}, kernels run on CUDA GPUs"
    if x.ndim != 4:
        return f"the tensor is {list(x.shape)}, kernels take four dimensions"
    if op not in PAYS_FROM:
        return f"there are kernels for {', '.join(PAYS_FROM)} only"
    key = (op, x.dtype, x.device, x.is_contiguous())
    if key not in _refusals:
        _refusals[key] = _first_use(op, x)
        if _refusals[key]:
            log.warning("%s runs without its kernel: %s", op, _refusals[key])
    return _refusals[key]


def _first_use(op: str, x: torch.Tensor) -> str:
    if torch.version.hip:
        return "this torch is built for ROCm, kernels are built with NVRTC"
    from engine.ops.custom import disagreement

    try:
        return disagreement(op, x)
    except (KernelError, OSError, RuntimeError) as error:
        return str(error)
