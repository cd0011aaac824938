"""stats.jsonl as a picture: one small line chart per number, drawn without further packages."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

WIDTH, HEIGHT, MARGIN, COLUMNS = 320, 150, 14, 4
INK, LINE, WARNING = (40, 40, 40), (30, 90, 170), (200, 60, 40)

Point = tuple[float, float]


def plot_stats(file: str | Path, out: str | Path) -> None:
    """Draw every number of a run's stats.jsonl over the images seen; red lines are warnings.

    Nothing is written before there are two lines of statistics.
    """
    file = Path(file)
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    warned = [line["cur_nimg"] for line in lines if "warning" in line]
    series: dict[str, list[Point]] = {}
    for line in lines:
        for name, value in line.items():
            if isinstance(value, (int, float)) and name != "cur_nimg" and math.isfinite(value):
                series.setdefault(name, []).append((line["cur_nimg"], value))
    charts = {name: points for name, points in series.items() if len(points) > 1}
    if not charts:
        return
    rows = math.ceil(len(charts) / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * WIDTH, rows * HEIGHT), "white")
    for i, (name, points) in enumerate(charts.items()):
        chart = _chart(name, points, warned)
        sheet.paste(chart, (i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT))
    sheet.save(out)


def _chart(name: str, points: Sequence[Point], warned: Sequence[float]) -> Image.Image:
    """One chart [HEIGHT, WIDTH] with its extremes written beside it."""
    chart = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(chart)
    low, high = min(y for _, y in points), max(y for _, y in points)
    first, last = points[0][0], points[-1][0]
    draw.text((MARGIN, 2), f"{name}   {points[-1][1]:.4g}", fill=INK)
    draw.text((WIDTH - 110, 2), f"{low:.3g} .. {high:.3g}", fill=INK)
    draw.rectangle((MARGIN, MARGIN + 4, WIDTH - MARGIN, HEIGHT - MARGIN), outline=(210, 210, 210))

    def place(x: float, y: float) -> Point:
        across = (x - first) / ((last - first) or 1)
        up = (y - low) / ((high - low) or 1)
        bottom, height = HEIGHT - MARGIN - 4, HEIGHT - 2 * MARGIN - 12
        return MARGIN + across * (WIDTH - 2 * MARGIN), bottom - up * height

    for x in warned:
        if first <= x <= last:
            draw.line([place(x, low), place(x, high)], fill=WARNING)
    draw.line([place(x, y) for x, y in points], fill=LINE, width=2)
    return chart
