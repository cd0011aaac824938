"""Curves of cost against work, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def save_curves(
    file: Path, panels: Mapping[str, Sequence[Mapping[str, Any]]], x: Sequence[str], y: str
) -> None:
    """Write one PNG with a panel per table.

    Args:
        file: the PNG to write.
        panels: the rows of each table, by its title.
        x: the column along the axis, per panel; doubling it moves as far everywhere.
        y: the column to show, numbers; its quartiles are a band where rows have them.
    """
    from matplotlib.figure import Figure  # half a second to import, and only figures need it

    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, column, (title, rows) in zip(axes, x, panels.items(), strict=True):
        at = [row[column] for row in rows]
        axis.plot(at, [row[y] for row in rows], "o-", label=y)
        if y == "seconds" and "lower quartile" in rows[0]:
            low, high = ([row[f"{name} quartile"] for row in rows] for name in ("lower", "upper"))
            axis.fill_between(at, low, high, alpha=0.25, label="quartiles")
        axis.set_xscale("log", base=2)
        axis.set_xticks(at, [f"{value:g}" for value in at])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.set_xlabel(column)
        axis.set_title(title, fontsize=10)
    axes[0].set_ylabel(y)
    figure.savefig(file, dpi=90, metadata={"Software": None})
