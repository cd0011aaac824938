"""A table of a paper beside ours, and which of its orderings ours has: computed, never written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from torch import Tensor

from train.seen import Result

Published = Mapping[str, Mapping[str, Mapping[str, float]]]  # column -> data set -> row -> number


@dataclass(frozen=True)
class Number:
    """One of our numbers, and the same of each half of the pictures, every second one."""

    result: Result
    halves: tuple[float, float]

    @property
    def value(self) -> float:
        """Of all pictures."""
        return self.result.value


Rows = Mapping[str, Mapping[str, Number]]  # row -> column -> our number


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
        clear: whether each half of the pictures by itself says the same.
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
        clear = all((a < b) == holds for a, b in zip(less.halves, more.halves, strict=True))
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


def number(
    metric: str, extractor: str, counts: Sequence[int], of: Callable[[slice], float]
) -> Number:
    """Measure all pictures, and both halves.

    Args:
        metric, extractor, counts: see `Result`.
        of: which pictures -> the number.
    """
    whole, *halves = (of(rows) for rows in (slice(None), slice(0, None, 2), slice(1, None, 2)))
    return Number(Result(metric, whole, extractor, tuple(counts)), tuple(halves))


def mean_of(metric: str, values: Tensor, extractor: str = "") -> Number:
    """The mean over pictures of values [N]."""
    return number(metric, extractor, (len(values),), lambda rows: values[rows].mean().item())
