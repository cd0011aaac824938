"""Lent GPUs, with a stand-in for the `spaces` package that carries everything to and fro."""

import pickle
import sys
from dataclasses import replace
from types import ModuleType

import gradio as gr
import numpy as np
import pytest
import torch

from demo import zerogpu
from demo.studio import Studio
from demo.zerogpu import FIRST_GUESS, LONGEST, SPENT, BorrowingStylizer, Lender, lender
from engine.errors import Cancelled
from engine.library import StyleLibrary
from engine.options import StylizeOptions

from .page import RUNTIME, FindIn

RGB = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)


class Spaces(ModuleType):
    """Lends until it is spent; arguments and results go through pickle, as between processes."""

    def __init__(self) -> None:
        super().__init__("spaces")
        self.is_spent, self.asked = False, []

    def GPU(self, duration):  # noqa: N802
        def decorate(work):
            def call(*arguments):
                self.asked.append(duration(*arguments))
                if self.is_spent:
                    raise gr.Error("You have exceeded your GPU quota", title="ZeroGPU")
                return pickle.loads(pickle.dumps(work(*pickle.loads(pickle.dumps(arguments)))))

            return call

        return decorate


@pytest.fixture
def spaces() -> Spaces:
    return Spaces()


@pytest.fixture
def borrowing(packs, spaces: Spaces) -> Studio:
    return Studio(StyleLibrary([packs]), RUNTIME, lambda network: FindIn(), Lender(spaces))


def test_nobody_lends_outside_of_a_space_or_without_the_package(monkeypatch, spaces: Spaces):
    lender.cache_clear()
    assert lender() is None
    lender.cache_clear()
    monkeypatch.setenv("SPACE_ID", "someone/stylize")
    monkeypatch.setitem(sys.modules, "spaces", None)
    assert lender() is None
    lender.cache_clear()
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    assert isinstance(lender(), Lender)
    lender.cache_clear()


def test_a_lent_gpu_draws_the_same(borrowing: Studio, studio: Studio, spaces: Spaces):
    lent, own = borrowing.stylizer("comic"), studio.stylizer("comic")
    assert isinstance(lent, BorrowingStylizer) and not isinstance(own, BorrowingStylizer)
    for options in (StylizeOptions(), StylizeOptions(samples=3, whole_photo=False, variation=4)):
        assert np.array_equal(lent(RGB, options), own(RGB, options))
    assert len(spaces.asked) == 2 + 4 + 1 + 2  # detect; encode, draw each of two; typical; once
    portrait = lent.encode(RGB)[0]
    assert torch.equal(lent.look(portrait, options).ws, own.look(portrait, options).ws)
    read = lent.reference(RGB, on_step=print, should_stop=lambda: False)
    assert read.ws.shape == portrait.ws.shape and read.palette.shape == (2, 3)


def test_it_asks_for_what_such_work_took_before(borrowing: Studio, spaces: Spaces):
    stylizer = borrowing.stylizer("comic")
    stylizer.encode(RGB)
    portrait = stylizer.encode(RGB)[0]
    first = spaces.asked[1]
    assert first == zerogpu.STARTING + 2 * 2 * FIRST_GUESS["encode"], "two faces"
    assert spaces.asked[3] < first and max(spaces.asked) <= LONGEST
    few, many = len(spaces.asked), StylizeOptions(samples=16)
    stylizer.render(portrait, StylizeOptions())
    stylizer.render(portrait, many)
    assert spaces.asked[few] < spaces.asked[few + 1] <= LONGEST


def test_once_the_share_is_used_up_the_processor_draws(
    borrowing: Studio, studio: Studio, spaces: Spaces, monkeypatch
):
    told = []
    monkeypatch.setattr(gr, "Warning", told.append)
    spaces.is_spent = True
    picture = borrowing.stylizer("comic")(RGB, StylizeOptions())
    assert np.array_equal(picture, studio.stylizer("comic")(RGB, StylizeOptions()))
    assert told == [SPENT] and len(spaces.asked) == 1, "asked and told once"
    monkeypatch.setattr(zerogpu.time, "monotonic", lambda: 1e9)
    spaces.is_spent = False
    borrowing.stylizer("comic").detect(RGB)
    assert len(spaces.asked) == 2, "after a while it is asked again"


def test_long_work_never_holds_a_gpu(borrowing: Studio, spaces: Spaces):
    stylizer = borrowing.stylizer("comic", is_long=True)
    stylizer(RGB, StylizeOptions())
    assert not isinstance(stylizer, BorrowingStylizer) and spaces.asked == []
    assert str(stylizer.runtime.device) == "cpu"
    with pytest.raises(Cancelled):
        borrowing.stylizer("comic").encode(RGB, should_stop=lambda: True)


def test_what_surrounds_faces_is_drawn_on_the_processor(borrowing: Studio, monkeypatch):
    used = []
    monkeypatch.setattr(
        "engine.compose.is_drawn_around", lambda style, options: used.append(style) or False
    )
    stylizer, options = borrowing.stylizer("comic"), StylizeOptions(surroundings=1.0)
    spare = borrowing.stylizer("cartoon", is_long=True)  # to be told from the one that is lent
    monkeypatch.setattr(stylizer, "spare", lambda: spare)
    stylizer(RGB, options)
    portraits = stylizer.encode(RGB)
    stylizer.paste(RGB, portraits, [stylizer.render(p, options) for p in portraits], options)
    assert len(used) == 2 and all(style is spare.style for style in used)
    made_finer = []
    monkeypatch.setattr(
        "engine.pipeline.enlarged", lambda drawing, base: made_finer.append(base) or drawing
    )
    crop = replace(options, whole_photo=False, output_size=1024)
    stylizer.crop(portraits[0], stylizer.render(portraits[0], crop), crop)
    assert made_finer == [spare.style.base]
