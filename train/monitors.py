"""What the pictures of fixed codes tell of a training while it runs, in numbers and plain words.

    style       energy distance of Gram matrices to the exemplars, divided by that of the source
                generator: 1 at the start, 0 where colour and texture are those of the exemplars
    likeness    content distance to the source's picture of the same code, divided by that to its
                pictures of other codes: 0 at the start, 1 where nobody can be told apart any more
    diversity   mean distance of two pictures' features, divided by the source's; towards 0 all
                pictures become one (mode collapse)
    nearest     median distance to the nearest exemplar, divided by that of the exemplars to their
                own nearest; towards 0 the pictures are exemplars (memorisation)

AgileGAN's early stopping (Song et al. 2021, Section 3.3, Fig. 7) "to strike a balance between input
fidelity and stylistic fit" becomes the smallest style + weight x likeness of the generators that
have the style: `Choice` keeps it. What is neither clearly nearer to the style than the source nor
better in sum is no candidate, as likeness is lost first: a sum alone would stop a short run at its
start.

Both numbers look at what they are about. Deep features of all pictures, the choice before, move
away from the exemplars while the style comes (a generator in training blurs what they see): over
600 iterations on 49 oil portraits style went from 1 to 1.7 and the first candidate won; by Gram
matrices it goes from 1 to 0.3. A likeness compared with pictures of other people, too, in the new
style as well, does not count the style itself as lost likeness: drawings in pencil, to the eye the
same from iteration 200 to 600, go from 0.73 to 0.65.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from train.data import ImageSet, as_float
from train.features import Eyes
from train.loop import Run
from train.metrics import energy_distance

MOST_EXEMPLARS, LEAST_EXEMPLARS = 128, 4  # looked at, of each attribute
LEAST_APART = 0.01  # of the mean distance of two pictures; closer sets are the same to the eye
SOURCE = {"style": 1.0, "score": 1.0}  # of the generator the training starts from: likeness is 0
CLEARLY = 0.1  # of the way from the source to the exemplars: the eye sees it
SIGN_OF_LEARNING, SIGN_OF_OVERFITTING = 0.5, 0.95  # adaptive augmentation aims at 0.6
GAP_OF_OVERFITTING = 0.5
LEAST_DIVERSITY, LEAST_NEAREST = 0.5, 0.4


class Judge:
    """Compares a generator's pictures of fixed codes with exemplars and with the source's.

    Args:
        eyes: the network that looks.
        source: what the source draws for these codes, per attribute path [N, 3, R, R].
        exemplars: per attribute path, at least LEAST_EXEMPLARS.
    """

    def __init__(self, eyes: Eyes, source: Sequence[Tensor], exemplars: Sequence[ImageSet]):
        self.eyes = eyes
        shown = [as_float(part.images[:MOST_EXEMPLARS]) for part in exemplars]
        self._exemplars = [(eyes.style(x), eyes.pooled(x)) for x in shown]
        self._source = [(eyes.pooled(x), eyes.content(x)) for x in source]
        grams = [eyes.style(x) for x in source]
        self._apart = [_apart(a, b) for a, (b, _) in zip(grams, self._exemplars, strict=True)]

    def __call__(self, pictures: Sequence[Tensor]) -> dict[str, float]:
        """The four numbers of pictures [N, 3, R, R] per path, means over the paths."""
        rows = [self._look(path, shown) for path, shown in enumerate(pictures)]
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def _look(self, path: int, pictures: Tensor) -> dict[str, float]:
        grams, wanted = self._exemplars[path]
        before, content = self._source[path]
        now = self.eyes.pooled(pictures)
        return {
            "style": energy_distance(self.eyes.style(pictures), grams) / self._apart[path],
            "likeness": _own_against_others(self.eyes.content(pictures), content),
            "diversity": _spread(now) / _spread(before),
            "nearest": _nearest(now, wanted) / _nearest(wanted),
        }


class Choice:
    """The best of the candidates seen so far; saved and resumed with a run."""

    def __init__(self) -> None:
        self.best: dict[str, Any] = {}

    def consider(
        self, score: float, network: nn.Module, cur_nimg: int, numbers: Mapping[str, float]
    ) -> bool:
        """Keep a copy of the network if it is better than the best so far, at first the source.

        A style that is clearly nearer wins; where styles are about equal, the lower score.

        Returns:
            Whether it was kept.
        """
        best = self.best or SOURCE
        nearer = best["style"] - numbers["style"]
        if nearer < -CLEARLY or (nearer <= CLEARLY and score >= best["score"]):
            return False
        state = network.state_dict()
        weights = {name: value.detach().cpu().clone() for name, value in state.items()}
        self.best = {"score": score, "cur_nimg": cur_nimg, **numbers, "weights": weights}
        return True

    @property
    def record(self) -> dict[str, float]:
        """Everything but the weights, for a card."""
        return {name: value for name, value in self.best.items() if name != "weights"}

    def load_into(self, network: nn.Module) -> None:
        """Give the network the best weights, if there was a candidate."""
        if self.best:
            network.load_state_dict(self.best["weights"])

    def state_dict(self) -> dict[str, Any]:
        """For exact resume."""
        return dict(self.best)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """For exact resume."""
        self.best = dict(state)


def observe(
    run: Run,
    judge: Judge,
    pictures: Sequence[Tensor],
    network: nn.Module,
    *,
    choice: Choice | None = None,
    likeness_weight: float = 1.0,
) -> None:
    """Measure a generator, keep it if it is the best so far, warn of what goes wrong.

    Args:
        run: where numbers and warnings are written.
        judge: what measures.
        pictures: what `network` draws of the judge's codes, [N, 3, R, R] per path.
        network: the average generator.
        choice: of the candidates; None: nothing is chosen.
        likeness_weight: of likeness beside style in the score, which `choice` keeps the lowest of.
    """
    with torch.autocast(run.device.type, enabled=False):
        numbers = judge(pictures)
    scores = {}
    if choice is not None:
        scores["score"] = numbers["style"] + likeness_weight * numbers["likeness"]
        choice.consider(scores["score"], network, run.cur_nimg + run.batch, numbers)
    run.record(numbers | scores)
    for message in concerns(numbers):
        run.warn(message)


def take_best(run: Run, choice: Choice, network: nn.Module) -> None:
    """Give the network the weights of the best candidate; say so if there was none."""
    choice.load_into(network)
    if not choice.best:
        run.warn(
            "the last generator is taken: no candidate came clearly nearer to the style than the "
            "source; train longer, or give the source less weight"
        )


def overfitting(sign: float, real: float, held_out: float | None, fake: float) -> str | None:
    """What to say if the discriminator knows its exemplars by heart; None: it does not.

    Args:
        sign: mean sign of its scores of exemplars (Karras et al. 2020, arXiv 2006.06676, eq. 1).
        real, held_out, fake: mean scores of exemplars it trains on, of others, of generated ones;
            the gap of the first two, in parts of the whole, is that of their Figure 4 (r_v).
    """
    remedy = "stop here, find more exemplars, or augment: --ada-speed 50000"
    if held_out is not None and real > fake and sign > SIGN_OF_LEARNING:
        gap = (real - held_out) / (real - fake)
        if gap > GAP_OF_OVERFITTING:
            return (
                f"the discriminator takes exemplars it has never seen for fakes ({gap:.0%} of the "
                f"way): it learns its exemplars by heart; {remedy}"
            )
    if sign > SIGN_OF_OVERFITTING:
        return (
            f"the discriminator is sure of nearly every exemplar (mean sign {sign:.2f}): it may "
            f"know them by heart; {remedy}"
        )
    return None


def concerns(numbers: Mapping[str, float]) -> Iterator[str]:
    """What to say about the numbers of a `Judge`."""
    if numbers["diversity"] < LEAST_DIVERSITY:
        yield (
            f"the pictures become alike (diversity {numbers['diversity']:.0%} of the source's): "
            "mode collapse; take an earlier candidate, lower --lr or raise --sim-weight"
        )
    if numbers["nearest"] < LEAST_NEAREST:
        yield (
            f"the pictures lie {numbers['nearest']:.0%} as far from an exemplar as exemplars lie "
            "from each other: they may be copies; train shorter or with more exemplars"
        )


def _apart(rows: Tensor, others: Tensor) -> float:
    return max(energy_distance(rows, others), LEAST_APART * torch.cdist(rows, others).mean().item())


def _own_against_others(rows: Tensor, source: Tensor) -> float:
    """Mean squared distance of rows [N, F] to their own row of the source over that to the others.

    From 0 (rows did not move) to 1 (they are no nearer to their own than to any other).
    """
    squared = torch.cdist(rows, source).square()
    own, count = squared.diagonal().mean().item(), len(rows)
    others = (squared.sum().item() - count * own) / (count * (count - 1))
    return own / max(others, 1e-12)


def _spread(rows: Tensor) -> float:
    return max(torch.pdist(rows).mean().item(), 1e-12)


def _nearest(rows: Tensor, others: Tensor | None = None) -> float:
    """Median distance of rows [N, F] to the nearest of `others` (None: of the other rows)."""
    distances = torch.cdist(rows, rows if others is None else others)
    if others is None:
        distances.fill_diagonal_(float("inf"))
    return max(distances.amin(dim=1).median().item(), 1e-12)
