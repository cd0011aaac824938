"""What one waits for before anything happens: the help of a command, the page's first picture."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from engine.benchmark.timing import interleaved
from engine.errors import StylizeError

ROOT = Path(__file__).parents[2]
COMMANDS = ("demo.photo", "demo.video", "demo.animate", "demo.doctor", "demo.sheet")
READY = "Stylize runs at "
CALL = "/stylize_image"


def help_rows(repeat: int, commands: Sequence[str] = COMMANDS) -> list[dict[str, Any]]:
    """Return a row per command line: how long `--help` takes, Python's own start included."""
    calls = {
        f"python -m {name} --help": partial(_run, [sys.executable, "-m", name, "--help"])
        for name in commands
    }
    calls["python app.py --help"] = partial(_run, [sys.executable, "app.py", "--help"])
    calls["python -c pass, for comparison"] = partial(_run, [sys.executable, "-c", "pass"])
    return [{"command": n, **t.cells()} for n, t in interleaved(calls, repeat).items()]


def first_picture(photo: Path, port: int) -> dict[str, Any]:
    """Start the page as a user does and ask it for a picture at once.

    Returns the row of a table: seconds until the page answers and until the picture is there, and
    the processor seconds of its process.

    Raises:
        StylizeError: the page did not start; with what it said.
    """
    from gradio_client import Client, handle_file  # before the clock starts

    started, children = time.perf_counter(), _children()
    command = [sys.executable, "app.py", "--port", str(port), "--no-train"]
    page = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        url = next((line for line in page.stdout if READY in line), None)
        if url is None:
            raise StylizeError(f"app.py --port {port} ended before it was ready; see above")
        ready = time.perf_counter() - started
        client = Client(url.split(READY)[1].split()[0], verbose=False)
        client.predict(photo=handle_file(str(photo)), api_name=CALL)
        seconds = time.perf_counter() - started
    finally:
        page.terminate()
        page.wait()
    return {
        "seconds until the page is there": ready,
        "seconds until the first picture": seconds,
        "processor seconds": _children() - children,
    }


def _run(command: Sequence[str]) -> tuple[float, float]:
    wall, processor = time.perf_counter(), _children()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - wall, _children() - processor


def _children() -> float:
    """Processor seconds of all processes that were started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system
