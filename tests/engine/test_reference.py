"""References: which method reads them, what is framed, what is kept for the next time."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import Cancelled, OptionError, PackError
from engine.inversion import InversionCache
from engine.library import StyleLibrary
from engine.pipeline import StylizeOptions, Stylizer
from engine.reference import QUICK, Reference
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
    ws = stylizer.reference(photo(), settings=FEW, on_step=lambda n, loss: seen.append(n)).ws
    assert ws.shape == (1, NUM_WS, CODE) and not ws.is_inference() and seen == [1, 2, 3, 4]
    assert (ws - ws[:, :1]).abs().max() == 0, "V gives one w"


def test_pictures_without_a_face_are_taken_from_their_middle(stylizer):
    framed = stylizer.reference(photo(), settings=FEW)
    whole = stylizer.reference(photo(), [], settings=FEW)
    assert not torch.equal(framed.ws, whole.ws)
    middle = photo()[:, 16:112]
    assert torch.equal(whole.ws, stylizer.reference(middle, [], settings=FEW).ws)


def test_a_reference_is_searched_for_once(stylizer, tmp_path):
    cache, steps = InversionCache(tmp_path / "cache"), []
    for _ in range(2):
        found = stylizer.reference(
            photo(), settings=FEW, cache=cache, on_step=lambda n, loss: steps.append(n)
        )
    assert len(steps) == FEW.steps
    assert torch.equal(found.ws, stylizer.reference(photo(), settings=FEW).ws)
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
    assert not torch.equal(read.ws, searched.ws)


def test_what_is_wrong_is_said(stylizer, packs):
    with pytest.raises(OptionError, match="method is 'magic'; accepted: auto, encoder, inversion"):
        stylizer.reference(photo(), method="magic")
    with pytest.raises(PackError, match="has no style encoder"):
        stylizer.reference(photo(), method="encoder")
    with pytest.raises(Cancelled):
        stylizer.reference(photo(), settings=FEW, should_stop=lambda: True)


def test_a_drawing_takes_on_the_palette_of_its_reference(stylizer):
    gray = photo().mean(2, keepdims=True).astype(np.uint8).repeat(3, axis=2)
    look, portrait = stylizer.reference(gray, settings=FEW), stylizer.encode(photo())[0]
    told = StylizeOptions(mix_layer=0)
    drawn, as_it_is, nothing = (
        stylizer.render(portrait, options, look=look)
        for options in (told, replace(told, palette=0.0), replace(told, mix_layer=NUM_WS))
    )
    assert np.ptp(drawn.astype(int), axis=2).max() <= 3, "a grey reference leaves no colour"
    assert np.ptp(as_it_is.astype(int), axis=2).max() > 10
    plain = stylizer.render(portrait, told, look=Reference(look.ws))
    assert np.array_equal(as_it_is, plain)
    colorless = stylizer.render(portrait, replace(told, mix_layer=NUM_WS), look=Reference(look.ws))
    assert np.array_equal(nothing, colorless), "no layer is painted, so no colour is taken"


def test_between_two_references_lie_their_blends():
    first = Reference(torch.zeros(1, 2, 4), np.zeros((2, 3)))
    second = Reference(torch.ones(1, 2, 4), np.full((2, 3), 8.0))
    between = first.blended(second, 0.25)
    assert between.ws.mean() == 0.25 and (between.palette == 2).all()
    assert first.blended(Reference(second.ws), 0.25).palette is None
