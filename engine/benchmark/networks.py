"""The generator against its floors: its own convolutions, the processor's peak, the memory's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from engine.benchmark.timing import Timing, interleaved
from engine.models.stylegan2 import Generator, SynthesisLayer, SynthesisNetwork
from engine.ops.graphs import CALLS_BEFORE_CAPTURE, replayed
from engine.runtime import Runtime, has_graphs

PEAK_SIZE, GPU_PEAK_SIZE = 1536, 8192  # of the matrices whose product shows the peak
COPY_BYTES = 128 << 20  # far more than a cache holds


@dataclass(frozen=True)
class Floors:
    """What bounds the seconds of a picture from below.

    Attributes:
        convolutions: its convolutions alone, as PyTorch computes them, with ready-made operands.
        arithmetic: its multiplications at the speed of a large matrix product.
        memory: every feature map written and read once, weights read once, at a copy's speed.
    """

    convolutions: float
    arithmetic: float
    memory: float


def network(resolution: int, runtime: Runtime) -> Generator:
    """Return a config-f generator of `resolution` with drawn weights: speed does not see them."""
    G = Generator(resolution, num_layers=2).eval().requires_grad_(False).to(runtime.device)
    G.synthesis.dtype = runtime.dtype
    return G


def codes(G: Generator, batch: int = 1) -> torch.Tensor:
    """Draw codes for a batch, [batch, num_ws, w_dim]."""
    return torch.randn(batch, G.num_ws, G.synthesis.w_dim, device=G.mapping.w_avg.device)


def measure(
    resolution: int, runtime: Runtime, repeat: int, batch: int = 1
) -> tuple[dict[str, Timing], Floors]:
    """Time the synthesis of config-f and its convolutions in turn, per picture; and its floors."""
    G = network(resolution, runtime)
    ws, alone = codes(G, batch), convolutions(G.synthesis, runtime.dtype, batch)

    def convolve() -> None:
        for convolution in alone:
            convolution()

    size = PEAK_SIZE if runtime.device.type == "cpu" else GPU_PEAK_SIZE
    calls = {
        "synthesis": lambda: G.synthesis(ws),
        **_recorded(G, ws),
        "convolutions alone": convolve,
        "peak": _product(size, runtime),
        "copy": _copy(runtime),
    }
    with torch.inference_mode():
        warm_up = 1 + CALLS_BEFORE_CAPTURE * has_graphs(runtime.device)  # records the graph
        found = interleaved(calls, repeat, device=runtime.device, warm_up=warm_up)
    peak, copy = found.pop("peak").cost(runtime.device), found.pop("copy").cost(runtime.device)
    timings = {name: timing.per(batch) for name, timing in found.items()}
    floors = Floors(
        timings["convolutions alone"].cost(runtime.device),
        multiplications(G.synthesis) / size**3 * peak,
        moved_bytes(G.synthesis, runtime.dtype, batch) / batch / (2 * COPY_BYTES) * copy,
    )
    return timings, floors


def rows(resolution: int, runtime: Runtime, repeat: int, batch: int = 1) -> list[dict[str, Any]]:
    """Return the rows of a table: total and floors, and the ratio of the total to each."""
    timings, floors = measure(resolution, runtime, repeat, batch)
    total = timings["synthesis"].cost(runtime.device)
    dtype = str(runtime.dtype).removeprefix("torch.")
    head = {"px": resolution, "format": dtype, "batch": batch}
    made = []
    for name, timing in timings.items():
        ratio = total / timing.cost(runtime.device)
        made.append({**head, "what": name, **timing.cells(), "total / this": ratio})
    column = "processor seconds" if runtime.device.type == "cpu" else "seconds"
    for name, seconds in (("arithmetic floor", floors.arithmetic), ("memory floor", floors.memory)):
        row = {**dict.fromkeys(made[0]), **head, "what": name, column: seconds}
        made.append({**row, "total / this": total / seconds})
    return made


def layers(synthesis: SynthesisNetwork) -> list[SynthesisLayer]:
    """Return the 3x3 convolutions of a synthesis network, in their order."""
    blocks = [synthesis.block(resolution) for resolution in synthesis.resolutions]
    both = [(getattr(block, "conv0", None), block.conv1) for block in blocks]
    return [layer for pair in both for layer in pair if layer is not None]


def multiplications(synthesis: SynthesisNetwork) -> int:
    """Count the multiplications of all 3x3 convolutions for one picture."""
    return sum(layer.weight.numel() * _input_size(layer) ** 2 for layer in layers(synthesis))


def moved_bytes(synthesis: SynthesisNetwork, dtype: torch.dtype, batch: int = 1) -> int:
    """Count the bytes that a batch must move if each layer read its input and wrote its output."""
    total = 0
    for layer in layers(synthesis):
        out_channels, in_channels = layer.weight.shape[:2]
        pixels = in_channels * _input_size(layer) ** 2 + out_channels * layer.resolution**2
        total += (batch * pixels + layer.weight.numel()) * dtype.itemsize
    return total


def convolutions(
    synthesis: SynthesisNetwork, dtype: torch.dtype, batch: int
) -> list[Callable[[], object]]:
    """Return every 3x3 convolution on its own, with ready-made operands."""
    calls: list[Callable[[], object]] = []
    for layer in layers(synthesis):
        weight = layer.weight.detach().to(dtype)
        size = _input_size(layer)
        x = torch.randn(batch, weight.shape[1], size, size, device=weight.device).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        calls.append(_bind(x, weight, layer.upsample))
    return calls


def _bind(x: torch.Tensor, weight: torch.Tensor, upsample: bool) -> Callable[[], object]:
    if upsample:
        transposed = weight.transpose(0, 1)
        return lambda: F.conv_transpose2d(x, transposed, stride=2)
    return lambda: F.conv2d(x, weight, padding=1)


def _input_size(layer: SynthesisLayer) -> int:
    return layer.resolution // 2 if layer.upsample else layer.resolution


def _recorded(G: Generator, ws: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The synthesis as users get it for a single picture on a CUDA GPU: a graph."""
    if len(ws) > 1 or not has_graphs(ws.device):
        return {}
    return {"synthesis as a CUDA graph": lambda: replayed(G.synthesis, ws)}


def _product(size: int, runtime: Runtime) -> Callable[[], object]:
    a = torch.randn(size, size, device=runtime.device).to(runtime.dtype)
    return lambda: a @ a


def _copy(runtime: Runtime) -> Callable[[], object]:
    source = torch.zeros(COPY_BYTES, dtype=torch.uint8, device=runtime.device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)
