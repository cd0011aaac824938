"""Films end to end, as `motion.benchmark` measures them: by stage, and as clips become longer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from demo.benchmark.pictures import make_clip
from engine.benchmark.machine import peak_memory
from engine.pipeline import Stylizer
from motion.benchmark import WAYS, time_film, time_stages

RATE = 2  # frames a second of the clips: what counts is how many there are
STAGE_SECONDS = 6.0
HEIGHT = 480  # pixels of the clips


def film_stage_rows(stylizer: Stylizer, height: int = HEIGHT) -> list[dict[str, Any]]:
    """Return a row per stage of a film `height` pixels high: medians on one thread."""
    with TemporaryDirectory() as folder:
        clip = make_clip(Path(folder) / "clip.mp4", STAGE_SECONDS, RATE, height)
        stages = time_stages(stylizer, clip, STAGE_SECONDS)
    return [{"stage": name, "ms a frame": 1000 * seconds} for name, seconds in stages.items()]


def length_rows(
    stylizer: Stylizer, lengths: Sequence[float], way: str = "as it is", height: int = HEIGHT
) -> list[dict[str, Any]]:
    """Return a row per length of a clip `height` pixels high, the shortest first.

    `way` is one of WAYS. Memory is the most this process had so far, so it grows down the rows or
    not at all.
    """
    made = []
    for seconds in sorted(lengths):
        with TemporaryDirectory() as folder:
            clip = make_clip(Path(folder) / "clip.mp4", seconds, RATE, height)
            speed = time_film(stylizer, clip, seconds, **WAYS[way])
        frames = round(seconds * RATE)
        made.append(
            {
                "clip seconds": seconds,
                "frames": frames,
                "seconds": frames / speed.rate,
                "frames a second": speed.rate,
                "processor seconds": frames * speed.work,
                "MB at most": peak_memory(),
            }
        )
    return made
