"""References: which method reads them, what is framed, what is kept for the next time."""

from dataclasses import replace

import pytest
import torch

from engine.errors import Cancelled, OptionError, PackError
from engine.inversion import InversionCache
from engine.library import StyleLibrary
from engine.pipeline import Stylizer
from engine.reference import QUICK
from engine.runtime import Runtime
from tests.engine.test_methods import blendgan
from tests.engine.test_pipeline import face, photo
from tests.packs import CODE, NUM_WS, FixedFaces, write_packs

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
FEW = replace(QUICK, steps=4)


@pytest.fixture
def packs(tmp_path):
    return write_packs(tmp_path / "packs")


@pytest.fixture
def stylizer(packs):
    return Stylizer.load("cartoon", StyleLibrary([packs]), RUNTIME, FixedFaces((face(),)))


def test_inversion_finds_one_code_for_all_layers(stylizer):
    seen = []
    ws = stylizer.reference(photo(), settings=FEW, on_step=lambda n, loss: seen.append(n))
    assert ws.shape == (1, NUM_WS, CODE) and not ws.is_inference() and seen == [1, 2, 3, 4]
    assert (ws - ws[:, :1]).abs().max() == 0, "V gives one w"


def test_pictures_without_a_face_are_taken_from_their_middle(stylizer):
    framed = stylizer.reference(photo(), settings=FEW)
    whole = stylizer.reference(photo(), [], settings=FEW)
    assert not torch.equal(framed, whole)
    middle = photo()[:, 16:112]
    assert torch.equal(whole, stylizer.reference(middle, [], settings=FEW))


def test_a_reference_is_searched_for_once(stylizer, tmp_path):
    cache, steps = InversionCache(tmp_path / "cache"), []
    for _ in range(2):
        found = stylizer.reference(
            photo(), settings=FEW, cache=cache, on_step=lambda n, loss: steps.append(n)
        )
    assert len(steps) == FEW.steps
    assert torch.equal(found, stylizer.reference(photo(), settings=FEW))
    stylizer.reference(
        photo(seed=1), settings=FEW, cache=cache, on_step=lambda n, loss: steps.append(n)
    )
    assert len(steps) == 2 * FEW.steps


def test_a_style_encoder_goes_first(packs):
    stylizer = blendgan(packs)
    steps = []
    read = stylizer.reference(photo(), on_step=lambda n, loss: steps.append(n))
    assert steps == []
    searched = stylizer.reference(photo(), method="inversion", settings=FEW)
    assert not torch.equal(read, searched)


def test_what_is_wrong_is_said(stylizer, packs):
    with pytest.raises(OptionError, match="method is 'magic'; accepted: auto, encoder, inversion"):
        stylizer.reference(photo(), method="magic")
    with pytest.raises(PackError, match="has no style encoder"):
        stylizer.reference(photo(), method="encoder")
    with pytest.raises(Cancelled):
        stylizer.reference(photo(), settings=FEW, should_stop=lambda: True)
