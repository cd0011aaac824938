"""How the doctor says things: tables, sizes, licences and records in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_FREE = {
    "apache-2.0": "free to use, also commercially; keep the notice and the licence text",
    "mit": "free to use, also commercially; keep the notice",
    "bsd": "free to use, also commercially; keep the notice",
    "cc0": "public domain: free to use",
    "cc by 4.0": "free to use, also commercially; name the author",
}
_FORBIDDING = ("non-commercial", "noncommercial", "-nc", "by-nc", "research", "evaluation only")


def table(rows: Sequence[Sequence[str]], right: Sequence[str] = ()) -> str:
    """Return rows as aligned columns; those headed by a name in `right` are aligned right.

    A heading, which has nothing to its right, may be wider than its column.
    """
    last = len(rows[0]) - 1
    widths = [
        max((len(row[i]) for row in rows if i == last or any(row[i + 1 :])), default=0)
        for i in range(last + 1)
    ]
    is_right = [title in right for title in rows[0]]
    lines = []
    for row in rows:
        cells = zip(row, widths, is_right, strict=True)
        padded = (cell.rjust(width) if flag else cell.ljust(width) for cell, width, flag in cells)
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def size_in_words(size: int) -> str:
    """Return a size in bytes as people say it."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.1f} kB"


def explain_licence(licence: str) -> str:
    """Say in plain words what a licence of weights allows."""
    if not licence:
        return "not stated, so all rights are reserved: ask the author before you publish pictures"
    text = licence.lower()
    if "all rights reserved" in text:
        return f"{licence}: ask the author before you publish pictures"
    if any(word in text for word in _FORBIDDING):
        return f"{licence}: not for commercial use"
    for name, meaning in _FREE.items():
        if text.startswith(name):
            return f"{licence}: {meaning}"
    return f"{licence}: read it before you publish pictures"


def record_rows(record: Mapping[str, Any], indent: str = "") -> Iterator[tuple[str, str]]:
    """Yield (label, value) for a training record, which may be nested; labels in plain words."""
    for name, value in record.items():
        label = indent + str(name).replace("_", " ")
        if isinstance(value, Mapping):
            yield label, ""
            yield from record_rows(value, indent + "  ")
        else:
            yield label, _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value))
    return "none" if value is None else str(value)
