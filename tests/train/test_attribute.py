"""The recipe of the attribute classifier: what it learns, what it measures, where it goes."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from engine.card import ATTRIBUTE_FILE
from engine.errors import DataError, OptionError
from engine.models.attribute import attribute_from_state
from engine.pack import load_pack
from tests.packs import write_base
from train.attribute import (
    AttributeConfig,
    Labelled,
    accuracy,
    cross_validated,
    fit,
    labelled_codes,
    main,
    train,
)
from train.packs import load_source


def separable(count: int = 40) -> Labelled:
    """Codes whose second layer leans one way or the other."""
    mu = torch.randn(count, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    names = tuple("left" if i % 2 else "right" for i in range(count))
    mu[:, :, 1, 0] += torch.tensor([4.0 if name == "left" else -4.0 for name in names])[:, None]
    return Labelled(mu, names)


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A tiny base pack, and dark and bright pictures; one picture has no label."""
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    write_base(tmp_path)
    (tmp_path / "photos").mkdir()
    rows, random = ["file,attribute"], np.random.default_rng(0)
    for i in range(13):
        low = 0 if i % 2 else 128
        tile = random.integers(low, low + 127, (32, 32, 3), np.uint8)
        Image.fromarray(tile).save(tmp_path / "photos" / f"{i:02}.png")
        rows.append(f"{i:02}.png,{('bright', 'dark')[i % 2] if i < 12 else ''}")
    (tmp_path / "photos.csv").write_text("\n".join(rows))
    photos = str(tmp_path / "photos")
    return AttributeConfig(data=photos, test=photos, base=str(tmp_path / "base"), folds=3)


def test_finds_what_tells_them_apart():
    photos = separable()
    classifier = fit(photos, weight_decay=0.1)
    assert classifier.names == ("left", "right")
    assert accuracy(classifier, photos) == 1.0
    assert cross_validated(photos, 0.1, folds=4) == 1.0
    strongest = classifier.weight.abs().sum(0).argmax().item()
    assert strongest == 8  # layer 1, element 0


def test_left_out_photos_are_not_learned_by_heart():
    """Labels without any connection to the codes: learned by heart, guessed when left out."""
    mu = torch.randn(60, 1, 3, 64, generator=torch.Generator().manual_seed(1))
    photos = dataclasses.replace(separable(60), mu=mu.expand(-1, 2, -1, -1))
    assert accuracy(fit(photos, 1e-3), photos) == 1.0
    assert cross_validated(photos, 1e-3, folds=4) < 0.7


def test_weight_decay_keeps_weights_small():
    strong, weak = (fit(separable(), decay).weight.norm() for decay in (10.0, 0.01))
    assert strong < 0.2 * weak


def test_codes_are_of_labelled_photos_and_their_mirror_images(config):
    photos = labelled_codes(load_source(config.base), config.data)
    assert photos.mu.shape == (12, 2, 8, 16)
    assert photos.attributes[:2] == ("bright", "dark")
    assert not torch.equal(photos.mu[:, 0], photos.mu[:, 1])


def test_recipe_ends_in_the_base_pack(config, capsys):
    main(["--data", config.data, "--test", config.test, "--base", config.base, "--folds", "3"])
    pack = load_pack(config.base)
    classifier = attribute_from_state(pack.state(ATTRIBUTE_FILE))
    assert classifier.names == ("bright", "dark")
    record = pack.card.training[ATTRIBUTE_FILE]
    assert record["photos"] == {"bright": 6, "dark": 6}
    assert record["accuracy_test_12"] == 1.0 and "accuracy_left_out" in record
    assert '"accuracy_test_12": 1.0' in capsys.readouterr().out


def test_data_that_cannot_be_learned_is_refused(config, tmp_path):
    with pytest.raises(OptionError, match="--weight-decay -1"):
        dataclasses.replace(config, weight_decay=-1)
    (tmp_path / "photos.csv").write_text("file,attribute\n00.png,bright\n")
    with pytest.raises(DataError, match=r"the attribute \['bright'\] only"):
        train(config)
    (tmp_path / "photos.csv").write_text("file,attribute\n00.png,\n")
    with pytest.raises(DataError, match="no photo of .* has an attribute"):
        train(config)
    classifier = fit(separable(), 1.0)
    with pytest.raises(DataError, match=r"attributes \['up'\] are none of \['left', 'right'\]"):
        accuracy(classifier, dataclasses.replace(separable(), attributes=("up",) * 40))
