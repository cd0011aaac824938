"""Shares and means of the answers, with 95 % confidence intervals. Pure.

Shares of "best" have Wilson's score interval (Wilson 1927), which takes answers as independent.
Mean ratings have a percentile bootstrap over participants (Efron 1979), who are resampled with all
their answers, since one person's ratings are alike; with one participant the answers are resampled.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Z_95 = 1.959964
RESAMPLES = 4000
SCALES = ("quality", "fidelity")


@dataclass(frozen=True)
class Score:
    """A method's `value` (a share in [0, 1] or a mean in [0, 5]) and its interval, of `count`
    answers.
    """

    method: str
    count: int
    value: float
    low: float
    high: float


def wilson(successes: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % score interval of a share, within [0, 1]; (0, 1) if count is 0."""
    if count == 0:
        return 0.0, 1.0
    share, z2 = successes / count, Z_95**2
    center = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    half = Z_95 * spread / (1 + z2 / count)
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap_mean(groups: Sequence[Sequence[float]], seed: int = 0) -> tuple[float, float]:
    """Return the percentile bootstrap's 95 % interval of the mean of all values.

    Whole groups (participants) are resampled; a single group's values one by one.
    """
    if len(groups) == 1:
        groups = [[value] for value in groups[0]]
    sums = np.array([sum(group) for group in groups], np.float64)
    counts = np.array([len(group) for group in groups], np.float64)
    drawn = np.random.default_rng(seed).integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)  # [RESAMPLES]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def preferences(answers: Sequence[dict[str, Any]]) -> list[Score]:
    """Return each method's share of the questions that showed it, the best first."""
    shown: dict[str, int] = defaultdict(int)
    chosen: dict[str, int] = defaultdict(int)
    for answer in answers:
        chosen[answer["best"]] += 1
        for method in answer["shown"]:
            shown[method] += 1
    scores = [Score(m, n, chosen[m] / n, *wilson(chosen[m], n)) for m, n in shown.items()]
    return _ranked(scores)


def mean_ratings(answers: Sequence[dict[str, Any]], scale: str) -> list[Score]:
    """Return each method's mean on a scale, the best first; answers without it do not count."""
    given: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        if answer.get(scale) is not None:
            given[answer["shown"][0]][answer["participant"]].append(float(answer[scale]))
    scores = []
    for method, people in given.items():
        values = [value for group in people.values() for value in group]
        interval = bootstrap_mean(list(people.values()))
        scores.append(Score(method, len(values), sum(values) / len(values), *interval))
    return _ranked(scores)


def _ranked(scores: Sequence[Score]) -> list[Score]:
    return sorted(scores, key=lambda score: (-score.value, score.method))
