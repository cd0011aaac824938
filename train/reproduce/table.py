"""A table of a paper beside ours, and which of its orderings ours has: computed, never written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from train.measures import Result

Rows = Mapping[str, Mapping[str, Result]]  # row -> column -> our number
Published = Mapping[str, Mapping[str, Mapping[str, float]]]  # column -> data set -> row -> number


@dataclass(frozen=True)
class Claim:
    """The paper says that row `less` has a smaller number than row `more` in a column."""

    column: str
    less: str
    more: str


@dataclass(frozen=True)
class Verdict:
    """Whether our numbers have the order of a claim.

    Attributes:
        ours: numbers of the rows `less` and `more`.
        holds: whether the first is the smaller one.
        clear: whether they differ by more than the noise of both, as far as that is known.
        reason: why not, where it is known.
    """

    claim: Claim
    ours: tuple[float, float]
    holds: bool
    clear: bool
    reason: str = ""


@dataclass(frozen=True)
class Table:
    """One table or figure of a paper, and ours.

    Attributes:
        title: what is compared.
        source: where the paper has it.
        rows: our numbers.
        paper: published numbers, for the columns and rows that have some.
        proxies: our further columns that ought to have the order of a published one.
        claims: what a paper says or shows without numbers.
        reasons: why a claim may fail here; shown where it does.
        notes: what a reader has to know.
        figure: file name beside the report, and what its rows show.
    """

    title: str
    source: str
    rows: Rows
    paper: Published = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    claims: Sequence[Claim] = ()
    reasons: Mapping[Claim, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    figure: tuple[str, str] | None = None

    @property
    def columns(self) -> list[str]:
        """Names of our columns, in order."""
        return list(dict.fromkeys(name for row in self.rows.values() for name in row))

    def verdicts(self) -> list[Verdict]:
        """Judge every ordering of the paper whose two rows we have."""
        claims = [*self.claims]
        for column in self.columns:
            published = self.paper.get(self.proxies.get(column, column), {})
            claims += published_orderings(column, published)
        known = [c for c in claims if self._has(c.less, c.column) and self._has(c.more, c.column)]
        return [self._judge(claim) for claim in known]

    def _has(self, row: str, column: str) -> bool:
        return column in self.rows.get(row, {})

    def _judge(self, claim: Claim) -> Verdict:
        less, more = (self.rows[row][claim.column] for row in (claim.less, claim.more))
        holds = less.value < more.value
        clear = abs(less.value - more.value) > math.hypot(noise(less), noise(more))
        reason = "" if holds else self.reasons.get(claim, "")
        return Verdict(claim, (less.value, more.value), holds, clear, reason)


def published_orderings(
    column: str, published: Mapping[str, Mapping[str, float]]
) -> Iterator[Claim]:
    """Every pair of rows with the same order in all data sets of the paper, neighbours first.

    Pairs that the paper itself orders differently from one data set to the next are left out.
    """
    sets = list(published.values())
    if not sets:
        return
    ranked = sorted(sets[0], key=sets[0].get)  # the order of the first data set
    pairs = combinations(range(len(ranked)), 2)
    for i, j in sorted(pairs, key=lambda pair: (pair[1] - pair[0], pair)):
        less, more = ranked[i], ranked[j]
        if all(numbers[less] < numbers[more] for numbers in sets):
            yield Claim(column, less, more)


def noise(result: Result) -> float:
    """How far a number is to be trusted: 0 where that is not known (distances of models).

    A deviation between pictures shrinks with their number; those of FID and KID are between sets of
    half the size, and too large, also because all rows are measured on the same photos.
    """
    if result.deviation is None:
        return 0.0
    if result.metric in ("fid", "kid"):
        return result.deviation
    return result.deviation / math.sqrt(result.counts[0])
