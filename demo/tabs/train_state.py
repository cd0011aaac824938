"""What a training was asked for, and where it stands, read from the files it writes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.card import CARD_FILE
from train import oneshot, texture_config, transfer_config

PRESETS = {  # by recipe
    "transfer": transfer_config.PRESETS,
    "texture": texture_config.PRESETS,
    "oneshot": oneshot.PRESETS,
}
TAIL_BYTES = 8192
PNG_END = b"IEND\xaeB`\x82"  # a grid without it is being written
# tqdm's bar:  12%|#2   | 288/2400 [01:10<08:40,  4.06img/s]
BAR = re.compile(rb"(\d+)/(\d+) \[[\d:]+<([\d:]+|\?)")
PROBLEM = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b.*", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Order:
    """What a visitor asks for; `flags` are further settings of train.RECIPE."""

    name: str
    title: str
    preset: str
    iterations: int
    flags: dict[str, Any]
    recipe: str = "transfer"

    @property
    def images(self) -> int:
        """How many pictures are drawn until the end."""
        return self.iterations * PRESETS[self.recipe][self.preset].batch


@dataclass(frozen=True)
class State:
    """Where a training stands.

    Attributes:
        phase: "running", "stopping", "stopped", "failed" or "done".
        images: seen until now, of `order.images`.
        left: time left as the process says it, "mm:ss", or "".
        problem: what went wrong, in the words of the recipe.
        warning: the last thing the monitors said.
        samples: the latest grid of pictures, if there is one.
        statistics: the lines of stats.jsonl.
    """

    order: Order
    phase: str
    images: int = 0
    left: str = ""
    problem: str = ""
    warning: str = ""
    samples: Path | None = None
    statistics: tuple[dict[str, Any], ...] = ()

    @property
    def is_active(self) -> bool:
        """Whether its process lives."""
        return self.phase in ("running", "stopping")


def read_state(order: Order, home: Path, pack: Path, active: str) -> State:
    """Read where the training in the folder `home` stands.

    Args:
        pack: folder of its style, whether it is there already or not.
        active: "running" or "stopping" as long as its process lives, else "".
    """
    phase, problem = active or "stopped", ""
    log = _tail(home / "log.txt")
    if not active and (pack / CARD_FILE).is_file():
        phase = "done"
    elif not active and (found := PROBLEM.search(log.decode("utf-8", "replace"))):
        phase, problem = "failed", found[0].strip()
    rows = statistics_of(home)
    warnings = [row["warning"] for row in rows if "warning" in row]
    bars = [bar for bar in BAR.findall(log) if int(bar[1]) == order.images]
    images, left = (int(bars[-1][0]), bars[-1][2].decode()) if bars else (0, "")
    grids = [p for p in sorted((home / "run").glob("samples-*.png")) if _tail(p).endswith(PNG_END)]
    return State(
        order,
        phase,
        order.images if phase == "done" else images,
        left.replace("?", ""),
        problem,
        warnings[-1] if warnings else "",
        grids[-1] if grids else None,
        tuple(row for row in rows if "warning" not in row),
    )


def statistics_of(home: Path) -> list[dict[str, Any]]:
    """Return the lines of a training's stats.jsonl; the last one may be half-written."""
    file = home / "run" / "stats.jsonl"
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _tail(file: Path) -> bytes:
    """The last bytes of a file, b"" without one."""
    if not file.is_file():
        return b""
    with file.open("rb") as stream:
        stream.seek(max(0, stream.seek(0, 2) - TAIL_BYTES))
        return stream.read()
