"""What the kernels are worth: every operation, plain PyTorch beside torch.compile and the kernel.

    python -m engine.ops.benchmark [--sizes 64 256 1024] [--dtype float16] [--out docs/benchmarks]

On a CUDA GPU this decides what `engine.ops.dispatch.PAYS_FROM` may contain; on a CPU there is
plain PyTorch alone, and the table says so. Implementations take turns within one run, so that a
busy machine treats them alike. "of copy" compares the least memory traffic an operation can do
(operands read once, result written once) with what copying a large tensor reaches here.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from engine.ops.bias_act import bias_act
from engine.ops.dispatch import Impl
from engine.ops.modulated_conv import modulated_conv2d, one_weight
from engine.ops.upfirdn2d import blur, downsample2d, upsample2d
from engine.runtime import DTYPES, Runtime, pick_runtime

SIZES = (64, 128, 256, 512, 1024)
COPY_NUMBERS = 1 << 26  # float32, 256 MB: more than any cache holds
LEAST_SECONDS = 5e-3  # per measurement: calls are repeated until a clock can tell

Call = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Case:
    """An operation on tensors of one size; `bytes` is the traffic it cannot do without."""

    op: str
    shape: str
    call: Callable[[Impl], torch.Tensor]
    bytes: int


@dataclass(frozen=True)
class Row:
    """A measurement: medians in microseconds, half the distance between quartiles as spread."""

    op: str
    shape: str
    dtype: str
    impl: str
    microseconds: float
    spread: float
    of_copy: float


def channels_of(size: int) -> int:
    """Channels of config-f at this resolution (Karras et al. 2020)."""
    return min(32768 // size, 512)


def cases(size: int, dtype: torch.dtype, device: torch.device) -> Iterator[Case]:
    """The operations around one resolution of config-f at a batch of one, in channels_last."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, kind: torch.dtype = dtype) -> torch.Tensor:
        x = torch.randn(shape, generator=generator).to(device, kind)
        return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x

    channels, wide = channels_of(size), torch.float32
    x = draw(1, channels, size, size)
    bias, noise = draw(channels, kind=wide), draw(1, 1, size, size, kind=wide)
    picture = f"{channels} x {size} x {size}"
    each, area = x.element_size() * channels, size * size

    yield Case(
        "bias, noise, activation, clamp",
        picture,
        lambda impl: bias_act(x, bias, noise=noise, clamp=256.0, impl=impl),
        2 * each * area,
    )
    yield Case(
        "FIR filter",
        picture,
        lambda impl: blur(x, (2, 1), impl=impl),
        2 * each * area,
    )
    yield Case(
        "FIR filter, down",
        picture,
        lambda impl: downsample2d(x, impl=impl),
        each * area * 5 // 4,
    )
    rgb = draw(1, 3, size // 2, size // 2, kind=wide)
    yield Case(
        "FIR filter, up (RGB, float32)",
        f"3 x {size // 2} x {size // 2}",
        lambda impl: upsample2d(rgb, impl=impl),
        3 * 4 * area * 5 // 4,
    )
    before = channels_of(size // 2)
    weight, styles = (
        draw(channels, before, 3, 3, kind=wide).contiguous(),
        draw(1, before, kind=wide),
    )
    yield Case(
        "modulated weight",
        f"{channels} x {before} x 3 x 3",
        lambda impl: one_weight(x, weight, styles, impl),
        weight.numel() * (4 + x.element_size()),
    )
    small = draw(1, before, size // 2, size // 2)
    yield Case(
        "modulated up-convolution",
        f"{before} x {size // 2} x {size // 2} -> {picture}",
        lambda impl: modulated_conv2d(
            small, weight, styles, bias=bias, noise=noise, upsample=True, clamp=256.0, impl=impl
        ),
        small.numel() * x.element_size() + weight.numel() * 4 + each * area,
    )


def implementations(case: Case, on_gpu: bool) -> dict[str, Call]:
    """What there is to compare on this machine."""
    calls: dict[str, Call] = {"ref": lambda: case.call("ref")}
    if on_gpu:
        calls["compile"] = torch.compile(lambda: case.call("ref"), dynamic=False)
        calls["cuda"] = lambda: case.call("cuda")
    return calls


def measure(
    case: Case, dtype: str, device: torch.device, repeat: int, bandwidth: float
) -> list[Row]:
    """Time each implementation of a case `repeat` times, in turns.

    Args:
        bandwidth: bytes a second that count as all of it, from `copy_bandwidth`.
    """
    calls = implementations(case, device.type == "cuda")
    counts = {}
    for name, call in calls.items():
        for _ in range(3):  # builds, and chooses algorithms
            seconds = _seconds(call, 1, device)
        counts[name] = max(1, round(LEAST_SECONDS / max(seconds, 1e-7)))
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            times[name].append(_seconds(call, counts[name], device))
    rows = []
    for name, taken in times.items():
        median = statistics.median(taken)
        low, _, high = statistics.quantiles(taken, n=4)
        reached = case.bytes / median / bandwidth
        values = (1e6 * median, 1e6 * (high - low) / 2, reached)
        rows.append(Row(case.op, case.shape, dtype, name, *values))
    return rows


def copy_bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of copying a tensor that fits no cache."""
    x = torch.empty(COPY_NUMBERS, device=device).fill_(1.0)
    y = torch.empty_like(x)
    times = [_seconds(lambda: y.copy_(x), 1, device) for _ in range(7)]
    return 2 * x.numel() * x.element_size() / statistics.median(times)


def _seconds(call: Call, count: int, device: torch.device) -> float:
    """Seconds per call."""
    _synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        call()
    _synchronize(device)
    return (time.perf_counter() - start) / count


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def describe(runtime: Runtime, bandwidth: float) -> dict[str, str]:
    """The machine and the versions a table belongs to."""
    on_gpu = runtime.device.type == "cuda"
    name = torch.cuda.get_device_name(runtime.device) if on_gpu else platform.processor()
    return {
        "device": f"{runtime.device.type}: {name or platform.machine()}",
        "threads": f"{torch.get_num_threads()}, load {_load()} when the table was written",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "copy": f"{bandwidth / 1e9:.1f} GB/s",
        "kernels": "measured" if on_gpu else "not measured: there is no CUDA GPU on this machine",
    }


def _load() -> str:
    """How busy the machine is, in processors; other programs slow CPU rows down."""
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def table(machine: dict[str, str], rows: Sequence[Row]) -> str:
    """Markdown: one line per operation, size and format, one column per implementation."""
    impls = list(dict.fromkeys(row.impl for row in rows))
    lines = [f"- {name}: {value}" for name, value in machine.items()]
    heads = [f"{impl}, us (of copy)" for impl in impls]
    lines += ["", "| " + " | ".join(["operation", "tensor", "format", *heads]) + " |"]
    lines.append("|---" * (3 + len(impls)) + "|")
    groups: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        cell = f"{row.microseconds:,.0f} ± {row.spread:,.0f} ({row.of_copy:.2f})"
        groups.setdefault((row.op, row.shape, row.dtype), []).append(cell)
    lines += ["| " + " | ".join([*key, *cells]) + " |" for key, cells in groups.items()]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table; with --out, also write it as Markdown and JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="default 64 .. 1024")
    parser.add_argument("--dtype", nargs="+", choices=sorted(DTYPES), default=None)
    parser.add_argument("--repeat", type=int, default=9, help="timed runs, default 9")
    parser.add_argument("--device", default=None, help="auto, cpu, ... (default auto)")
    parser.add_argument("--out", type=Path, default=None, help="folder for ops-DEVICE.md and .json")
    args = parser.parse_args(argv)
    runtime = pick_runtime(args.device)
    device = runtime.device
    formats = args.dtype or ["float32", *(["float16"] * (device.type != "cpu")), "bfloat16"]
    with torch.inference_mode():
        bandwidth = copy_bandwidth(device)
        rows = [
            row
            for dtype in formats
            for size in args.sizes
            for case in cases(size, DTYPES[dtype], device)
            for row in measure(case, dtype, device, max(2, args.repeat), bandwidth)
        ]
    machine = describe(runtime, bandwidth)
    text = table(machine, rows)
    sys.stdout.write(text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"ops-{device.type}"
        stem.with_suffix(".md").write_text(text, "utf-8")
        record = {"machine": machine, "rows": [asdict(row) for row in rows]}
        stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
