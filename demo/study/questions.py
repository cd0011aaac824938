"""What a participant is asked: drawn from the pool, in an order that tells nothing. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["best", "ratings"]
KINDS: tuple[Kind, ...] = ("best", "ratings")


@dataclass(frozen=True)
class Question:
    """Question `number` of a participant, from 0: the results of `methods` for picture `name`.

    The methods stand in the order shown; a question for ratings has one.
    """

    number: int
    name: str
    methods: tuple[str, ...]


def draw_questions(
    kind: Kind, names: Sequence[str], methods: Sequence[str], count: int, seed: int, who: str
) -> tuple[Question, ...]:
    """Draw what participant `who` is asked: the same for the same arguments, whenever asked.

    "best": `count` pictures of the pool, every method for each, shuffled (AgileGAN, section 4.2).
    "ratings": `count` pictures, one question per method and picture, all shuffled (Lu & Zhou,
    section 4.1). A pool smaller than `count` is asked in full.
    """
    chance = random.Random(f"{seed} {who}")
    drawn = chance.sample(sorted(names), min(count, len(names)))
    if kind == "best":
        shown = [(name, _shuffled(methods, chance)) for name in drawn]
    else:
        shown = [(name, (method,)) for name in drawn for method in sorted(methods)]
        chance.shuffle(shown)
    return tuple(Question(i, name, order) for i, (name, order) in enumerate(shown))


def _shuffled(methods: Sequence[str], chance: random.Random) -> tuple[str, ...]:
    return tuple(chance.sample(sorted(methods), len(methods)))
