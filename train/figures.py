"""Figures of an evaluation, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train.evaluate import Evaluation


def save_evaluation(file: str | Path, rows: Sequence[Evaluation]) -> None:
    """Write one PNG: a plane of codes per base, then all styles on style against content.

    The planes are AgileGAN's Figure 2: grey is the prior, colour the codes of photos. In the last
    panel a style is the better the further it lies to the lower right: more of the style, more of
    the photo.
    """
    from matplotlib.figure import Figure  # half a second to import, and only figures need it

    bases = [row for row in rows if row.kind == "base"]
    styles = [row for row in rows if row.kind != "base"]
    panels = len(bases) + bool(styles)
    figure = Figure(figsize=(5 * panels, 5), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for axis, base in zip(axes, bases, strict=False):
        _draw_plane(axis, base)
    if styles:
        _draw_styles(axes[-1], styles)
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _draw_plane(axis: Any, base: Evaluation) -> None:
    for label, colour in (("prior", "0.75"), ("codes", "tab:blue")):
        x, y = base.plane[label].T.tolist()
        axis.scatter(x, y, s=6, color=colour, label=f"{label} ({len(x)})")
    axis.set_title(f"{base.name}: W+ by t-SNE, overlap {base.number('overlap'):.2f}")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.legend()


def _draw_styles(axis: Any, styles: Sequence[Evaluation]) -> None:
    for row in styles:
        x, y = row.number("content similarity"), row.number("style fraction")
        axis.scatter([x], [y], label=row.name)
        axis.annotate(row.name, (x, y), xytext=(5, 4), textcoords="offset points")
    axis.set_xlabel("content similarity (1: the photo)")
    axis.set_ylabel("style fraction (0: the exemplars, 1: a photo)")
    axis.set_title("styles")
    axis.margins(0.25)
