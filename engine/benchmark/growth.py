"""Cost as work grows: more pictures at once, larger pictures; and the memory each takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from engine.benchmark.machine import peak_memory
from engine.benchmark.networks import codes, network
from engine.benchmark.timing import interleaved
from engine.errors import StylizeError
from engine.models.stylegan2 import Generator
from engine.runtime import Runtime, is_out_of_memory, pick_runtime


def batch_rows(
    G: Generator, batches: Sequence[int], runtime: Runtime, repeat: int
) -> list[dict[str, Any]]:
    """Return a row per size of batch, seconds per picture, until one finds no memory."""
    made = []
    for batch in batches:
        ws = codes(G, batch)
        try:
            with torch.inference_mode():
                timing = interleaved(
                    {"": lambda ws=ws: G.synthesis(ws)}, repeat, device=runtime.device
                )[""]
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        made.append({"batch": batch, "px": G.resolution, **timing.per(batch).cells()})
    return made


def size_rows(resolutions: Sequence[int], runtime: Runtime, repeat: int) -> list[dict[str, Any]]:
    """Return a row per resolution of config-f, timed in turn, with the peak of its memory."""
    calls = {}
    for resolution in resolutions:
        G = network(resolution, runtime)
        calls[str(resolution)] = partial(G.synthesis, codes(G))
    with torch.inference_mode():
        timings = interleaved(calls, repeat, device=runtime.device)
    return [
        {"px": resolution, **timings[str(resolution)].cells(), **memory_of(resolution, runtime)}
        for resolution in resolutions
    ]


def memory_of(resolution: int, runtime: Runtime) -> dict[str, float | None]:
    """Return what a new process needs to draw one picture in config-f, in MB of main memory.

    Raises:
        StylizeError: the process failed; with what it said.
    """
    arguments = [str(resolution), str(runtime.device), str(runtime.dtype).removeprefix("torch.")]
    command = [sys.executable, "-m", "engine.benchmark.growth", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StylizeError(f"cannot measure the memory of {resolution} px: {done.stderr[-500:]}")
    return json.loads(done.stdout)


def measure_memory(resolution: int, device: str, dtype: str) -> dict[str, float | None]:
    """Return the peak of this process before and after it draws a picture, in MB."""
    G = network(resolution, pick_runtime(device, dtype))
    loaded = peak_memory()
    with torch.inference_mode():
        G.synthesis(codes(G))
    return {"MB loaded": loaded, "MB at most": peak_memory()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure_memory(int(sys.argv[1]), *sys.argv[2:])))
