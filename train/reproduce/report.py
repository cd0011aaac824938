"""Tables as Markdown and JSON: our numbers, the paper's beside them, and which orderings hold."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from train.reproduce.settings import Settings
from train.reproduce.table import Number, Table, Verdict
from train.reproduce.workshop import Workshop

OF_THIS_MACHINE = ("out", "docs")


@dataclass(frozen=True)
class Report:
    """What one paper's module found.

    Attributes:
        name: of the module, of the files, and on the command line.
        about: docstring of the module.
        settings: everything that was chosen.
        parts: what was trained, with how many images.
        machine: where it ran.
        tables: the tables.
    """

    name: str
    about: str
    settings: Settings
    parts: Sequence[Mapping[str, Any]]
    machine: str
    tables: Sequence[Table]

    def save(self) -> list[Path]:
        """Write DOCS/NAME.md and NAME.json; returns both."""
        folder = Path(self.settings.docs)
        folder.mkdir(parents=True, exist_ok=True)
        texts = {"md": "\n".join(self.markdown()), "json": json.dumps(self.to_dict(), indent=1)}
        files = [folder / f"{self.name}.{suffix}" for suffix in texts]
        for file, text in zip(files, texts.values(), strict=True):
            file.write_text(text + "\n", encoding="utf-8")
        return files

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers under their full names, as JSON values."""
        settings = {k: v for k, v in asdict(self.settings).items() if k not in OF_THIS_MACHINE}
        head = {"settings": settings, "machine": self.machine, "parts": self.parts}
        return head | {"tables": [_table_values(table) for table in self.tables]}

    def markdown(self) -> Iterator[str]:
        """Yield the lines of the report."""
        title, *text = self.about.strip().splitlines()
        yield f"# {title}"
        yield from text
        yield from ("", "```bash", command(self.name, self.settings), "```", "")
        yield f"Machine: {self.machine}. Seed {self.settings.seed}."
        yield (
            "Every trained part saw few images (last table): this tells orders at most, not what "
            "the methods can do. Names such as `fid_squeezenet_64x200` say the extractor and the "
            "counts. Each ordering is judged on each half of the pictures too: where these "
            "disagree, so few do not decide it. One seed was run."
        )
        for table in self.tables:
            yield from _section(table)
        if self.parts:
            yield from (
                "",
                "## What was trained",
                "",
                "| run | recipe | images seen |",
                "|---|---|---|",
            )
            yield from (
                f"| {p['name']} | {p['recipe']} | {p['images'] or '-'} |" for p in self.parts
            )


def report_of(name: str, about: str, shop: Workshop, tables: Sequence[Table]) -> Report:
    """Put a report together, once all tables have been measured."""
    parts = {part.name: _anywhere(part.to_dict(), shop.settings.out) for part in shop.parts}
    machine = f"{platform.machine()}, {shop.runtime.reason}, torch {torch.__version__}"
    return Report(name, about, shop.settings, list(parts.values()), machine, tables)


def command(name: str, settings: Settings) -> str:
    """The command that makes a report with these settings, from the project's folder."""
    words = ["python -m train.reproduce", name]
    for field in fields(settings):
        value = getattr(settings, field.name)
        if value != field.default and field.name not in OF_THIS_MACHINE:
            words.append(f"--{field.name} {value}")
    return " ".join(words)


def _anywhere(part: Mapping[str, Any], out: str) -> dict[str, Any]:
    """A part's settings with OUT in place of the folder it was trained in."""
    return {k: v.replace(out, "OUT") if isinstance(v, str) else v for k, v in part.items()}


def _section(table: Table) -> Iterator[str]:
    yield from ("", f"## {table.title}", "", f"After {table.source}.", "")
    yield from _rows(table)
    verdicts = table.verdicts()
    held = sum(verdict.holds for verdict in verdicts)
    yield from ("", f"**{held} of {len(verdicts)} orderings of the paper hold.**", "")
    yield from (f"- {_sentence(verdict)}" for verdict in verdicts)
    for column, proxy in table.proxies.items():
        yield f"- {column} is judged by the paper's {proxy}."
    if table.figure:
        yield from ("", f"![{table.title}]({table.figure[0]})", "", table.figure[1])
    for note in table.notes:
        yield from ("", note)


def _rows(table: Table) -> Iterator[str]:
    heads = ["", *table.columns]
    heads += [f"paper: {column} ({' / '.join(sets)})" for column, sets in table.paper.items()]
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for row, numbers in table.rows.items():
        ours = [_text(numbers.get(column)) for column in table.columns]
        theirs = [
            " / ".join(str(numbers.get(row, "-")) for numbers in sets.values())
            for sets in table.paper.values()
        ]
        yield "| " + " | ".join([row, *ours, *theirs]) + " |"
    yield ""
    for column in table.columns:
        names = {
            numbers[column].result.name for numbers in table.rows.values() if column in numbers
        }
        yield f"- {column}: " + ", ".join(f"`{name}`" for name in sorted(names))


def _sentence(verdict: Verdict) -> str:
    claim, (less, more) = verdict.claim, verdict.ours
    sign = "<" if verdict.holds else ">" if less > more else "="
    word = "holds" if verdict.holds else "does **not** hold"
    doubt = "" if verdict.clear else ", and one half of the pictures says otherwise"
    text = (
        f"{claim.column}: {claim.less} < {claim.more} {word}{doubt} ({less:.4g} {sign} {more:.4g})"
    )
    return f"{text}: {verdict.reason}." if verdict.reason else f"{text}."


def _text(ours: Number | None) -> str:
    return "-" if ours is None else f"{ours.value:.4g}"


def _number_values(ours: Number) -> dict[str, Any]:
    return {"name": ours.result.name, "value": ours.value, "halves": ours.halves}


def _table_values(table: Table) -> dict[str, Any]:
    rows = {
        row: {column: _number_values(ours) for column, ours in numbers.items()}
        for row, numbers in table.rows.items()
    }
    verdicts = [asdict(verdict) for verdict in table.verdicts()]
    head = {"title": table.title, "source": table.source, "figure": table.figure}
    return head | {"rows": rows, "paper": table.paper, "orderings": verdicts, "notes": table.notes}
