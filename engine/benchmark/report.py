"""Tables of a measurement, as Markdown to read and as JSON to compute with: the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import StylizeError


@dataclass(frozen=True)
class Table:
    """Rows of equal columns; a cell is a number, a text, or None for nothing."""

    title: str
    rows: Sequence[Mapping[str, Any]]
    about: str = ""

    def markdown(self) -> str:
        """Return the table under its title."""
        columns = list(self.rows[0]) if self.rows else []
        lines = [
            _line(columns),
            _line(["---"] * len(columns)),
            *(_line([format_cell(row.get(column)) for column in columns]) for row in self.rows),
        ]
        parts = [f"## {self.title}", *([self.about] if self.about else []), "\n".join(lines)]
        return "\n\n".join(parts)


@dataclass(frozen=True)
class Report:
    """What one command measured on one machine.

    Attributes:
        title, command: what it is about, and how to measure it again.
        machine: from `engine.benchmark.machine.describe`.
        notes: sentences to know before the numbers.
        figures: files beside the report, by what they show.
    """

    title: str
    command: str
    machine: Mapping[str, Any]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    figures: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """Return the report as a page."""
        machine = "\n".join(f"- {name}: {format_cell(v)}" for name, v in self.machine.items())
        figures = "\n\n".join(f"![{about}]({file})" for about, file in self.figures.items())
        parts = [
            f"# {self.title}",
            f"```bash\n{self.command}\n```",
            *self.notes,
            machine,
            *(table.markdown() for table in self.tables),
            figures,
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    def json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    def write(self, folder: Path, name: str) -> None:
        """Write `name`.md and `name`.json; raises StylizeError where that is not possible."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.md").write_text(self.markdown(), "utf-8")
            (folder / f"{name}.json").write_text(self.json(), "utf-8")
        except OSError as error:
            raise StylizeError(
                f"cannot write {name}.md into {folder}: {error.strerror}; a folder with free space "
                "is accepted: choose another with --out"
            ) from error


def format_cell(value: Any) -> str:
    """Return a cell as text: three digits that count, however large or small the number is."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(format_cell, value))
    return str(value).replace("|", "\\|")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
