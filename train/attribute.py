"""Recipe: which attribute path suits a face, learned from labelled photos in seconds.

    python -m train.attribute --data sets/photos --test sets/test --base packs/base

The photos that have a name in the `attribute` column of their CSV file are encoded with the base's
encoder, as they are and mirrored; a logistic regression with weight decay on the posterior means
goes into the base pack. Photos that nobody labelled do no harm. How well it works is measured on
parts of the data left out in turn, as labelled photos are few, and on the test photos.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from engine.card import ATTRIBUTE_FILE
from engine.errors import DataError, OptionError, PackError
from engine.models.attribute import AttributeClassifier, unit_codes
from engine.runtime import pick_runtime
from train.config import run_recipe
from train.data import ImageSet, load_images
from train.encoder import posteriors
from train.packs import Source, load_source, save_base


@dataclass(frozen=True)
class AttributeConfig:
    """Settings of train.attribute."""

    data: str = field(default="", metadata={"help": "folder of aligned photos, some labelled"})
    test: str = field(default="", metadata={"help": "folder of other ones to measure on, or none"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to read and update"})
    weight_decay: float = field(
        default=1.0, metadata={"help": "factor of half the squared weights"}
    )
    folds: int = field(default=8, metadata={"help": "parts of the data that are left out in turn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.weight_decay < 0 or self.folds < 2:
            raise OptionError(
                f"--weight-decay {self.weight_decay} and --folds {self.folds} are not possible: "
                "use 0 or more, and 2 or more"
            )


PRESETS = {"default": AttributeConfig()}


@dataclass(frozen=True)
class Labelled:
    """Codes of photos that have an attribute.

    mu: [N, 2, L, z_dim], of the photo and of its mirror image; attributes: N names.
    """

    mu: torch.Tensor
    attributes: tuple[str, ...]

    def rows(self, chosen: torch.Tensor) -> "Labelled":
        """The photos where `chosen` (bool [N]) holds."""
        names = tuple(self.attributes[i] for i in chosen.nonzero()[:, 0].tolist())
        return Labelled(self.mu[chosen], names)


def train(config: AttributeConfig) -> dict[str, Any]:
    """Train the classifier, put it into the base pack, and return what was measured."""
    source = load_source(config.base)
    photos = labelled_codes(source, config.data)
    classifier = fit(photos, config.weight_decay)
    record = {
        "recipe": "train.attribute",
        **asdict(config),
        "photos": dict(Counter(photos.attributes)),
        "accuracy_left_out": cross_validated(photos, config.weight_decay, config.folds),
    }
    if config.test:
        test = labelled_codes(source, config.test)
        record[f"accuracy_test_{len(test.attributes)}"] = accuracy(classifier, test)
    save_base(config.base, {ATTRIBUTE_FILE: classifier}, record)
    return record


def labelled_codes(source: Source, folder: str) -> Labelled:
    """Encode the labelled photos of a folder.

    Raises:
        PackError: the base has no variational encoder.
        DataError: no photo has an attribute.
    """
    if source.E is None or not source.E.variational:
        raise PackError(f"{source.pack.folder} has no encoder into Z+: run python -m train.encoder")
    data = load_images(folder, source.G.resolution)
    rows = [i for i, name in enumerate(data.attributes) if name]
    if not rows:
        raise DataError(
            f"no photo of {folder} has an attribute: name one per file in the columns file and "
            f"attribute of {folder}.csv"
        )
    names, files = ([column[i] for i in rows] for column in (data.attributes, data.files))
    E = source.E.to(pick_runtime().device)
    sides = (data.images[rows], data.images[rows].flip(3))
    mu = [posteriors(E, ImageSet(side, tuple(names), tuple(files)))[0] for side in sides]
    return Labelled(torch.stack(mu, dim=1), tuple(names))


def fit(photos: Labelled, weight_decay: float) -> AttributeClassifier:
    """The logistic regression of photos: a convex problem, solved by L-BFGS.

    Raises:
        DataError: fewer than two attributes.
    """
    names = sorted(set(photos.attributes))
    if len(names) < 2:
        raise DataError(f"the photos have the attribute {names} only; two or more are needed")
    classifier = AttributeClassifier(*photos.mu.shape[2:], names)
    codes = unit_codes(photos.mu.flatten(0, 1))
    wanted = _indices(photos.attributes, names).repeat_interleave(2)
    parameters = [classifier.weight, classifier.bias]
    optimizer = torch.optim.LBFGS(
        parameters, max_iter=200, tolerance_grad=1e-4, line_search_fn="strong_wolfe"
    )

    def objective() -> torch.Tensor:
        optimizer.zero_grad()
        likelihood = nn.functional.cross_entropy(classifier.logits(codes), wanted)
        loss = likelihood + weight_decay / 2 * classifier.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(objective)
    return classifier.eval().requires_grad_(False)


def accuracy(classifier: AttributeClassifier, photos: Labelled) -> float:
    """Share of the photos (not mirrored) whose most likely attribute is their own."""
    wanted = _indices(photos.attributes, classifier.names)
    found = classifier(photos.mu[:, 0]).argmax(dim=1)
    return round((found == wanted).float().mean().item(), 4)


def cross_validated(photos: Labelled, weight_decay: float, folds: int) -> float:
    """Accuracy on every photo of a classifier that was fitted without its fold."""
    fold = torch.arange(len(photos.attributes)) % folds
    total = 0.0
    for k in fold.unique():
        left_out = photos.rows(fold == k)
        classifier = fit(photos.rows(fold != k), weight_decay)
        total += accuracy(classifier, left_out) * len(left_out.attributes)
    return round(total / len(fold), 4)


def _indices(attributes: Sequence[str], names: Sequence[str]) -> torch.Tensor:
    unknown = sorted(set(attributes) - set(names))
    if unknown:
        raise DataError(f"attributes {unknown} are none of {list(names)}, those trained on")
    return torch.tensor([names.index(name) for name in attributes])


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line, train, and print what was measured."""

    def train_and_tell(config: AttributeConfig) -> None:
        print(json.dumps(train(config), indent=2))

    run_recipe(AttributeConfig, PRESETS, train_and_tell, __doc__, argv)


if __name__ == "__main__":
    main()
