"""What a measurement was made on: processor, instructions, threads, versions, load, date."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from engine.runtime import Runtime, available_processors

_PROCESSORS = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")


def describe(runtime: Runtime) -> dict[str, Any]:
    """Return the machine and the moment, as JSON values."""
    has_load = hasattr(os, "getloadavg")
    accelerator = runtime.device.type != "cpu"
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "processor": processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "processors": available_processors({}),
        "threads": runtime.num_threads,
        "device": torch.cuda.get_device_name(runtime.device) if accelerator else "none",
        "runtime": runtime.reason,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load average": [round(load, 1) for load in os.getloadavg()] if has_load else None,
        "large pages": os.environ.get("THP_MEM_ALLOC_ENABLE", "0"),
        "waiting threads": os.environ.get("OMP_WAIT_POLICY", "as OpenMP likes it"),
    }


def notes(machine: Mapping[str, Any]) -> list[str]:
    """Return what to know before the numbers: that other programs ran, if there were many."""
    load = max(machine["load average"] or [0])
    if load <= machine["processors"]:
        return []
    return [
        f"Taken under load: up to {load} programs wanted the {machine['processors']} processors. "
        "Seconds by the clock hold their time too; processor seconds are this program's own."
    ]


def processor_name(cpuinfo: Path = _PROCESSORS) -> str:
    """Return what the processor calls itself, with family and model where Linux tells them."""
    if not cpuinfo.exists():
        return platform.processor() or platform.machine()
    lines = (
        line.partition(":") for line in cpuinfo.read_text("utf-8").split("\n\n")[0].split("\n")
    )
    facts = {name.strip(): value.strip() for name, _, value in lines}
    name = facts.get("model name", platform.machine())
    numbers = [f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def peak_memory(status: Path = _STATUS) -> float | None:
    """Return the most memory this process ever had, in MB; None where the system does not say.

    Linux' own count: what `getrusage` tells includes the process this one was started from.
    """
    if not status.exists():
        return None
    fields = dict(line.partition(":")[::2] for line in status.read_text("utf-8").splitlines())
    return int(fields["VmHWM"].split()[0]) / 1000 * 1.024
