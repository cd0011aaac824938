"""Where the time of a picture goes, by operation; on a CPU the processor time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from engine.benchmark.networks import codes, network
from engine.benchmark.timing import timed
from engine.runtime import Runtime


class Profiler(TorchDispatchMode):
    """Adds up the seconds of every operation that is called inside, by what it does."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device
        self.seconds: dict[str, list[float]] = defaultdict(list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, and note how long it took."""
        returned: list[Any] = []
        wall, busy = timed(lambda: returned.append(func(*args, **(kwargs or {}))), self.device)
        seconds = busy if self.device.type == "cpu" else wall
        self.seconds[describe_call(func._schema.name, args)].append(seconds)
        return returned[0]


def describe_call(name: str, args: tuple[Any, ...]) -> str:
    """Return what an operation of aten does: convolutions are told apart by their kind."""
    name = name.removeprefix("aten::")
    if name != "convolution":
        return name
    weight, transposed, groups = args[1], args[6], args[8]
    size = f"{weight.shape[2]}x{weight.shape[3]}"
    if groups > 1:
        return f"FIR {size}"
    return f"{'up-convolution' if transposed else 'convolution'} {size}"


def table_rows(seconds: Mapping[str, list[float]], repeat: int) -> list[dict[str, Any]]:
    """Return a row per operation, the longest first, for one of `repeat` pictures."""
    total = sum(map(sum, seconds.values()))
    longest = sorted(seconds.items(), key=lambda item: -sum(item[1]))
    return [
        {
            "operation": name,
            "calls": len(values) // repeat,
            "seconds": sum(values) / repeat,
            "share": sum(values) / total,
        }
        for name, values in longest
    ]


def rows(resolution: int, runtime: Runtime, repeat: int, batch: int = 1) -> list[dict[str, Any]]:
    """Return where the synthesis of config-f spends its time, as the rows of a table."""
    G = network(resolution, runtime)
    ws, profiler = codes(G, batch), Profiler(runtime.device)
    with torch.no_grad():  # inference_mode hides what conv2d and linear call
        G.synthesis(ws)
        with profiler:
            for _ in range(repeat):
                G.synthesis(ws)
    return table_rows(profiler.seconds, repeat)
