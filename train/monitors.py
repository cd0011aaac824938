"""What the pictures of fixed codes tell of a transfer while it runs, in numbers and plain words.

    style       MMD^2 of SqueezeNet features to the exemplars, divided by that of the source
                generator: 1 at the start, 0 where the pictures are distributed like the exemplars
    likeness    perceptual distance to the source's pictures of the same codes, divided by that of
                unrelated ones (source and exemplar): 0 at the start, 1 where nothing is kept
    diversity   mean distance of two pictures' features, divided by the source's; towards 0 all
                pictures become one (mode collapse)
    nearest     median distance to the nearest exemplar, divided by that of the exemplars to their
                own nearest; towards 0 the pictures are exemplars (memorisation)

AgileGAN's early stopping (Song et al. 2021, Section 3.3, Fig. 7) "to strike a balance between input
fidelity and stylistic fit" becomes the smallest style + weight x likeness: `Choice` keeps it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from engine.models.perceptual import PerceptualDistance, SqueezeNet
from train.data import ImageSet, as_float
from train.metrics.mmd import polynomial_kernel, squared_mmd
from train.metrics.perceptual import perceptual_distances

MOST_EXEMPLARS, BATCH = 256, 16  # looked at, of each attribute; and at a time
SIGN_OF_LEARNING, SIGN_OF_OVERFITTING = 0.5, 0.95  # adaptive augmentation aims at 0.6
GAP_OF_OVERFITTING = 0.5
LEAST_DIVERSITY, LEAST_NEAREST = 0.5, 0.4


class Judge:
    """Compares a generator's pictures of fixed codes with exemplars and with the source's.

    Args:
        net: the perceptual network.
        source: what the source draws for these codes, per attribute path [N, 3, R, R].
        exemplars: per attribute path.
    """

    def __init__(self, net: SqueezeNet, source: Sequence[Tensor], exemplars: Sequence[ImageSet]):
        self.net, self.distance = net, PerceptualDistance(net)
        self.source = [pictures.clamp(-1, 1) for pictures in source]
        shown = [as_float(part.images[:MOST_EXEMPLARS]) for part in exemplars]
        self._drawn = [self.features(pictures) for pictures in self.source]
        self._exemplars = [self.features(pictures) for pictures in shown]
        self._unrelated = [self._apart(a, b) for a, b in zip(self.source, shown, strict=True)]

    def __call__(self, pictures: Sequence[Tensor]) -> dict[str, float]:
        """The four numbers of pictures [N, 3, R, R] per path, means over the paths."""
        rows = [self._look(path, shown.clamp(-1, 1)) for path, shown in enumerate(pictures)]
        return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}

    def _look(self, path: int, pictures: Tensor) -> dict[str, float]:
        before, exemplars = self._drawn[path], self._exemplars[path]
        now = self.features(pictures)  # [N, 512]
        kept = perceptual_distances(pictures, self.source[path], self.distance).mean().item()
        return {
            "style": _mmd(now, exemplars) / _mmd(before, exemplars),
            "likeness": kept / self._unrelated[path],
            "diversity": _spread(now) / _spread(before),
            "nearest": _nearest(now, exemplars) / _nearest(exemplars),
        }

    @torch.inference_mode()
    def features(self, pictures: Tensor) -> Tensor:
        """Means of the network's last activations over [N, 3, R, R] in [-1, 1]: [N, 512]."""
        parts = pictures.split(BATCH)
        return torch.cat([self.net.features(x, ["fire9"])[0].mean((2, 3)).cpu() for x in parts])

    def _apart(self, pictures: Tensor, exemplars: Tensor) -> float:
        """Mean perceptual distance of source pictures to exemplars that show somebody else."""
        others = exemplars[torch.arange(len(pictures)) % len(exemplars)]
        return perceptual_distances(pictures, others, self.distance).mean().item()


class Choice:
    """The best of the candidates seen so far; saved and resumed with a run."""

    def __init__(self) -> None:
        self.best: dict[str, Any] = {}

    def consider(
        self, score: float, network: nn.Module, cur_nimg: int, numbers: Mapping[str, float]
    ) -> bool:
        """Keep a copy of the network if its score is the lowest; tells whether it was."""
        if self.best and score >= self.best["score"]:
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


def _mmd(rows: Tensor, exemplars: Tensor) -> float:
    """MMD^2 in units of the exemplars' features, so that no network's scale matters."""
    unit = exemplars.square().mean().sqrt().clamp_min(1e-12)
    distance = squared_mmd(rows / unit, exemplars / unit, polynomial_kernel, unbiased=False)
    return max(distance, 1e-12)


def _spread(rows: Tensor) -> float:
    return max(torch.pdist(rows).mean().item(), 1e-12)


def _nearest(rows: Tensor, others: Tensor | None = None) -> float:
    """Median distance of rows [N, F] to the nearest of `others` (None: of the other rows)."""
    distances = torch.cdist(rows, rows if others is None else others)
    if others is None:
        distances.fill_diagonal_(float("inf"))
    return max(distances.amin(dim=1).median().item(), 1e-12)
