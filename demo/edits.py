"""Moving a face along the first semantic directions: sliders and arguments, and `options.edits`."""

from __future__ import annotations

from collections.abc import Sequence

LARGEST, STEP, MOST = 6, 0.5, 8  # beyond 6 faces fall apart; later directions change little


def direction_names(named: Sequence[str]) -> list[str]:
    """Return what MOST directions are called: as the base's card names them, or by number."""
    return [*named[:MOST], *(f"Direction {n}" for n in range(len(named), MOST))]


def edits_text(amounts: Sequence[float]) -> str:
    """Return `options.edits` for an amount per direction; zeros are left out."""
    steps = [f"{number}:{amount:g}" for number, amount in enumerate(amounts) if amount]
    return ",".join(steps) or "none"
