"""The Reference tab without a browser: what is read once, blended, marked by hand and stopped."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from demo import references
from demo import visit as visits
from demo.references import NUM_KEPT, Readings, blended
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.pieces import visit_state
from demo.tabs.reference import MIDDLE, ReferenceTab
from engine.reference import Reference
from tests.packs import NUM_WS

from .page import TabVisitor, save_photo


@pytest.fixture
def stops() -> Stops:
    return Stops()


@pytest.fixture
def visitor(studio: Studio, cache: Path, stops: Stops, monkeypatch) -> TabVisitor:
    monkeypatch.setitem(references.STEPS, "Quick", 3)
    with gr.Blocks():
        visitor = TabVisitor(ReferenceTab(studio, visit_state(), stops))
    return visitor.set(whole_photo=False, amount=NUM_WS)


@pytest.fixture
def look(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "look.png", rgb=(230, 90, 40))


def picture(visitor: TabVisitor) -> np.ndarray:
    return np.array(Image.open(visitor.value("result")[1]))


def test_it_waits_for_photo_and_reference(visitor: TabVisitor, photo: Path, look: Path):
    assert "Choose a photo" in visitor.run().value("status")
    assert "choose a reference" in visitor.upload(photo).value("status")
    assert visitor.upload(look, "first").value("result") is not None


def test_a_reference_is_read_once(visitor: TabVisitor, photo: Path, look: Path, monkeypatch):
    read, calls = references.read_reference, []
    monkeypatch.setattr(
        "demo.tabs.reference.read_reference", lambda *a: calls.append(a) or read(*a)
    )
    visitor.upload(photo).upload(look, "first")
    everything = picture(visitor)
    visitor.run(amount=3)
    assert (picture(visitor) != everything).any()
    visitor.run(amount=0)
    assert (picture(visitor) != everything).any()
    assert len(calls) == 1
    visitor.run(effort="Thorough", style="cartoon", amount=NUM_WS)
    assert len(calls) == 2, "another style draws other pictures"


def test_two_references_are_blended(visitor: TabVisitor, photo: Path, look: Path, tmp_path: Path):
    other = save_photo(tmp_path / "other.png", rgb=(200, 160, 60))
    visitor.upload(photo).upload(look, "first")
    alone = picture(visitor)
    visitor.upload(other, "second").run(share=0.0)
    assert np.array_equal(picture(visitor), alone)
    half = picture(visitor.run(share=0.5))
    assert (half != alone).any() and (picture(visitor.run(share=1.0)) != half).any()


def test_without_a_face_the_middle_is_taken_until_one_is_marked(
    visitor: TabVisitor, photo: Path, tmp_path: Path
):
    blue = save_photo(tmp_path / "blue.png", rgb=(20, 20, 220))
    visitor.upload(photo).upload(blue, "first")
    assert MIDDLE in visitor.value("status")
    middle, slot = picture(visitor), visitor.tab.parts.first
    visit = visitor.values[slot.visit]
    for x, y in ((60, 50), (100, 50), (80, 90)):
        visit = visits.mark(visit, x, y)
    visitor.values[slot.visit] = visit
    visitor.run()
    assert MIDDLE not in visitor.value("status") and (picture(visitor) != middle).any()


def test_a_search_can_be_stopped(visitor: TabVisitor, stops: Stops, photo: Path, look: Path):
    visitor.upload(photo)
    visitor.upload(look, "first", before=lambda: stops.stop(visitor.request))
    assert "Stopped" in visitor.value("status")
    assert visitor.value("readings") == Readings()


def test_a_broken_reference_leaves_the_photo(visitor: TabVisitor, photo: Path, tmp_path: Path):
    (tmp_path / "letter.png").write_text("Dear Sir")
    visitor.upload(photo).upload(tmp_path / "letter.png", "first")
    assert "letter.png" in visitor.value("status")
    assert visitor.values[visitor.tab.parts.first.photo] is None
    assert visitor.value("visit") is not None


def test_the_last_few_readings_are_kept():
    readings = Readings()
    for number in range(NUM_KEPT + 3):
        readings = readings.adding(str(number), Reference(torch.full((1, 2, 4), float(number))))
    assert len(readings.kept) == NUM_KEPT and readings.find("0") is None
    assert readings.find(str(NUM_KEPT + 2)).ws.mean() == NUM_KEPT + 2
    first, second = Reference(torch.zeros(1, 2, 4)), Reference(torch.ones(1, 2, 4))
    assert blended([first], 0.9) is first and blended([first, second], 0.25).ws.mean() == 0.25
