"""How fast the generator is, against the lower bound its own convolutions set.

    python -m engine.benchmark [--resolution 1024] [--dtype float32 bfloat16] [--repeat 5]

Total and convolutions alone alternate within one run, so that a noisy machine treats both alike;
medians are printed. Weights are drawn: speed does not depend on their values.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from engine.models.stylegan2 import Generator
from engine.runtime import DTYPES, pick_runtime


@dataclass(frozen=True)
class Measurement:
    """Medians in seconds per picture."""

    dtype: str
    total: float
    convolutions: float

    @property
    def ratio(self) -> float:
        """Total over convolutions alone; 1 would mean that everything else is free."""
        return self.total / self.convolutions


def measure(
    resolution: int, dtype: str, repeat: int, device: str | None = None, batch: int = 1
) -> Measurement:
    """Time config-f of `resolution` in `dtype`, and its convolutions alone.

    Raises:
        OptionError: the device or the number format is not available.
    """
    runtime = pick_runtime(device, dtype)
    G = Generator(resolution, num_layers=2).eval().to(runtime.device)
    G.synthesis.dtype = runtime.dtype
    ws = torch.randn(batch, G.num_ws, 512, device=runtime.device)
    convolutions = _convolutions(G, runtime.dtype, batch)

    def total() -> None:
        G.synthesis(ws)

    def alone() -> None:
        for convolution in convolutions:
            convolution()

    times: dict[str, list[float]] = {"total": [], "alone": []}
    with torch.inference_mode():
        for _ in range(2):  # warm up: kernels are chosen and memory is taken
            total()
            alone()
        for _ in range(repeat):
            times["total"].append(_seconds(total, runtime.device))
            times["alone"].append(_seconds(alone, runtime.device))
    medians = {name: statistics.median(values) / batch for name, values in times.items()}
    return Measurement(dtype, medians["total"], medians["alone"])


def _convolutions(G: Generator, dtype: torch.dtype, batch: int) -> list[Callable[[], object]]:
    """Every convolution of the synthesis network on its own, with ready-made operands."""
    device = G.mapping.w_avg.device
    calls: list[Callable[[], object]] = []
    for resolution in G.synthesis.resolutions:
        block = G.synthesis.block(resolution)
        layers = [block.conv1] if resolution == 4 else [block.conv0, block.conv1]
        for layer in layers:
            weight = layer.weight.detach().to(dtype)
            size = resolution // 2 if layer.upsample else resolution
            x = torch.randn(batch, weight.shape[1], size, size, device=device).to(dtype)
            x = x.contiguous(memory_format=torch.channels_last)
            calls.append(_bind(x, weight, layer.upsample))
    return calls


def _bind(x: torch.Tensor, weight: torch.Tensor, upsample: bool) -> Callable[[], object]:
    if upsample:
        transposed = weight.transpose(0, 1)
        return lambda: F.conv_transpose2d(x, transposed, stride=2)
    return lambda: F.conv2d(x, weight, padding=1)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    _synchronize(device)
    start = time.perf_counter()
    call()
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line per number format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resolution", type=int, default=1024, help="power of two, default 1024")
    parser.add_argument("--dtype", nargs="+", choices=sorted(DTYPES), default=None)
    parser.add_argument("--repeat", type=int, default=5, help="timed runs, default 5")
    parser.add_argument("--batch", type=int, default=1, help="pictures at once, default 1")
    parser.add_argument("--device", default=None, help="auto, cpu, ... (default auto)")
    args = parser.parse_args(argv)
    write = sys.stdout.write
    write(f"config-f {args.resolution} px, {pick_runtime(args.device).reason}\n")
    write("dtype       total s   convolutions s   ratio\n")
    for dtype in args.dtype or ["float32", "bfloat16"]:
        m = measure(args.resolution, dtype, args.repeat, args.device, args.batch)
        write(f"{dtype:10s}  {m.total:7.3f}   {m.convolutions:14.3f}   {m.ratio:5.2f}\n")


if __name__ == "__main__":
    main()
