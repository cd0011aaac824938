"""The results of a study as plain data, and that as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from demo.study.statistics import RESAMPLES, SCALES, Score, mean_ratings, preferences

BEST_NOTE = (
    "Share of the questions in which a method was chosen as the best; chance is {chance:.0f} %. "
    "In brackets Wilson's 95 % score interval, answers taken as independent."
)
RATING_NOTE = (
    f"Mean rating from 0 to 5. In brackets the 95 % percentile bootstrap ({RESAMPLES} resamples of "
    "participants with all their answers; of single answers if there is one participant)."
)


def summarize(answers: Sequence[dict[str, Any]], num_damaged: int = 0) -> dict[str, Any]:
    """Return the numbers of a study, ready for JSON: counts, and one list per table."""
    best = [a for a in answers if a["kind"] == "best"]
    ratings = [a for a in answers if a["kind"] == "ratings"]
    tables = {"best": preferences(best)} if best else {}
    tables |= {scale: scores for scale in SCALES if (scores := mean_ratings(ratings, scale))}
    return {
        "participants": len({answer["participant"] for answer in answers}),
        "answers": len(answers),
        "pictures": len({answer["name"] for answer in answers}),
        "damaged_lines": num_damaged,
        "tables": {name: [asdict(score) for score in scores] for name, scores in tables.items()},
    }


def to_markdown(summary: dict[str, Any]) -> str:
    """Return the tables of `summarize` with a sentence on what their intervals are."""
    tables = {k: [Score(**row) for row in rows] for k, rows in summary["tables"].items()}
    lines = [
        f"Participants: {summary['participants']}, answers: {summary['answers']}, "
        f"pictures: {summary['pictures']}."
    ]
    if summary["damaged_lines"]:
        lines.append(f"{summary['damaged_lines']} damaged lines of the file were left out.")
    if best := tables.get("best"):
        rows = [[s.method, _percent(s), str(s.count)] for s in best]
        lines += ["", BEST_NOTE.format(chance=100 / len(best)), ""]
        lines += _table(["method", "chosen as the best", "questions"], rows)
    if scales := [name for name in SCALES if name in tables]:
        by_method = {name: {s.method: s for s in tables[name]} for name in scales}
        rows = [
            [s.method, *(_mean(by_method[n].get(s.method)) for n in scales), str(s.count)]
            for s in tables[scales[0]]
        ]
        lines += ["", RATING_NOTE, "", *_table(["method", *scales, "answers"], rows)]
    return "\n".join(lines) + "\n"


def _percent(s: Score) -> str:
    return f"{100 * s.value:.1f} % [{100 * s.low:.1f}, {100 * s.high:.1f}]"


def _mean(s: Score | None) -> str:
    return f"{s.value:.2f} [{s.low:.2f}, {s.high:.2f}]" if s else "-"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
