"""What the Train tab shows of a set and of a training: findings, a bar, curves, pairs of faces."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from demo.tabs.train_set import PictureSet
from demo.tabs.train_state import State
from demo.words import say
from train.findings import FINE, NOTE, SEVERITIES, STOP, WARNING, Finding

MARKS = {FINE: ("✓", "Fine"), NOTE: ("i", "Note"), WARNING: ("!", "Mind"), STOP: ("×", "Stop")}
NAMED = 3  # files of a finding
COLUMNS = 12  # faces in a row of a sample grid (train.transfer)
WIDTH, HEIGHT = 220, 64  # of a curve, in units of its own
CURVES = {
    "style": ("Distance to your style", "from 1 towards 0"),
    "likeness": ("Likeness lost", "0 everyone, 1 nobody can be told"),
    "diversity": ("Variety", "near 1 is good, 0 all faces alike"),
    "nearest": ("Distance to your pictures", "below 0.4 they are copied"),
    "loss_D": ("Discriminator", "its loss"),
    "loss_G": ("Generator", "its loss"),
    "sim": ("Change of structure", "against the photo"),
    "img_per_s": ("Speed", "pictures a second"),
}
PHASES = {
    "running": "Training",
    "stopping": "Stopping: it saves first",
    "stopped": "Stopped and saved",
    "failed": "Something went wrong",
    "done": "Finished",
}


def findings_html(found: PictureSet, missing: Sequence[Finding] = ()) -> str:
    """What the data doctor says and what is missing, the worst first, what is fine folded away."""
    ordered = sorted([*found.findings, *missing], key=lambda f: -SEVERITIES.index(f.severity))
    told = [_finding(finding) for finding in ordered if finding.severity != FINE]
    fine = [_finding(finding) for finding in ordered if finding.severity == FINE]
    kind = "pictures of the style" if found.holds == "exemplars" else "photos"
    checks = say(f"{len(fine)} checks are fine")
    folded = f"<details><summary>{checks}</summary>{''.join(fine)}</details>"
    head = f"<strong>{html.escape(say(f'{found.count} {kind} ready'))}</strong>"
    return f'<div class="findings">{head}{"".join(told)}{folded if fine else ""}</div>'


def _finding(finding: Finding) -> str:
    mark, word = MARKS[finding.severity]
    more = len(finding.files) - NAMED
    names = ", ".join(finding.files[:NAMED]) + (f" and {more} more" if more > 0 else "")
    remedy = f"<br><em>{_sentence(finding.remedy)}</em>" if finding.remedy else ""
    files = f'<br><span class="files">{html.escape(names)}</span>' if names else ""
    return (
        f'<div class="finding {finding.severity}"><b title="{word}" aria-label="{word}">{mark}</b>'
        f"<span>{_sentence(finding.text)}{remedy}{files}</span></div>"
    )


def _sentence(text: str) -> str:
    return html.escape(say(text[:1].upper() + text[1:]))


def progress_html(state: State) -> str:
    """Title, bar and what is left of a training."""
    order = state.order
    share = min(1.0, state.images / order.images)
    steps = round(share * order.iterations)
    line = f"step {steps} of {order.iterations}"
    if state.phase == "running" and not state.images:
        line = "getting ready: the pictures are looked at once more"
    elif state.phase == "running" and share == 1:
        line = "writing the style"
    elif state.phase == "running" and state.left:
        line += f" · {duration(_seconds(state.left))} left · closing the page does not stop it"
    problem = f'<p class="worry">{html.escape(state.problem[:600])}</p>' if state.problem else ""
    if state.warning and not state.problem:
        problem = f'<p class="worry">{_sentence(state.warning)}</p>'
    return (
        f'<div class="training is-{state.phase}"><div class="head">'
        f"<strong>{html.escape(order.title)}</strong><span>{say(PHASES[state.phase])}</span></div>"
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{100 * share:.0f}"><i style="width:{share:.1%}"></i></div>'
        f"<p>{_sentence(line)}</p>{problem}</div>"
    )


def curves_html(rows: Sequence[dict[str, Any]]) -> str:
    """A small line chart per number of stats.jsonl that has two values, "" if there is none."""
    charts = []
    for name, (title, meaning) in CURVES.items():
        for key in _keys(rows, name):
            points = [(row["cur_nimg"], row[key]) for row in rows if _is_number(row.get(key))]
            if len(points) > 1:
                path = key.removeprefix(name).replace("_", " ")
                charts.append(_chart(title + path, meaning, points))
    return f'<div class="curves">{"".join(charts)}</div>' if charts else ""


def _keys(rows: Sequence[dict[str, Any]], name: str) -> list[str]:
    """The number itself, or those of the attribute paths: loss_D_female, loss_D_male."""
    found = {key for row in rows for key in row}
    return [name] if name in found else sorted(k for k in found if k.startswith(f"{name}_"))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _chart(title: str, meaning: str, points: Sequence[tuple[float, float]]) -> str:
    low, high = (pick(y for _, y in points) for pick in (min, max))
    first, last = points[0][0], points[-1][0]
    places = (
        f"{(x - first) / ((last - first) or 1) * WIDTH:.1f},"
        f"{HEIGHT - 4 - (y - low) / ((high - low) or 1) * (HEIGHT - 8):.1f}"
        for x, y in points
    )
    return (
        f"<figure><figcaption><span>{html.escape(title)}</span><b>{points[-1][1]:.3g}</b>"
        f'</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(title)}, from {points[0][1]:.3g} to {points[-1][1]:.3g}">'
        f'<polyline points="{" ".join(places)}"/></svg><small>{meaning}</small></figure>'
    )


def pairs(grid: Path) -> list[np.ndarray]:
    """Cut a sample grid into its faces, each beside what the style makes of it.

    The grid has the base's faces in the first row and a row per attribute path below; of each
    column comes a picture uint8 [R, (1 + paths) R, 3].
    """
    with Image.open(grid) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    side = sheet.shape[1] // COLUMNS
    rows = [sheet[y : y + side] for y in range(0, sheet.shape[0], side)]
    columns = [slice(x * side, (x + 1) * side) for x in range(COLUMNS)]
    return [np.hstack([row[:, column] for row in rows]) for column in columns]


def estimate(seconds: tuple[float, float] | None) -> str:
    """How long a training will take, in words."""
    if seconds is None:
        return "How long it takes was not measured here yet; the first minute will tell."
    least, most = seconds
    if least == most:
        return f"About {duration(least)}, as measured on this machine."
    return f"About {duration(least)} on two idle processor cores, {duration(most)} on busy ones."


def duration(seconds: float) -> str:
    """A time in words: 40 seconds, 12 minutes, 3.5 hours."""
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"


def _seconds(clock: str) -> float:
    """'08:40' or '1:08:40' -> seconds."""
    return sum(int(part) * 60**i for i, part in enumerate(reversed(clock.split(":"))))
