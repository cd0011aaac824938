"""The Variations tab without a browser: many looks, one locked, a walk; each can be drawn again."""

from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demo import looks as looks_of
from demo.looks import PLAIN, Look, command, looks_near, some_looks
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.multimodal import MultimodalTab, begin_walk
from demo.tabs.pieces import visit_state
from engine.options import MAXIMUM_SEED, StylizeOptions
from motion.media import probe

from .page import FindIn, TabVisitor, save_photo


@pytest.fixture
def stops() -> Stops:
    return Stops()


@pytest.fixture
def visitor(studio: Studio, cache: Path, stops: Stops) -> TabVisitor:
    with gr.Blocks():
        visitor = TabVisitor(MultimodalTab(studio, visit_state(), stops))
    return visitor.set(count=3, whole_photo=False)


def tiles(visitor: TabVisitor) -> list[np.ndarray]:
    return [np.array(Image.open(path)) for path, _ in visitor.prop("tiles", "value")]


def titles(visitor: TabVisitor) -> list[str]:
    return [title for _, title in visitor.prop("tiles", "value")]


def test_looks_have_numbers_and_look_different(visitor: TabVisitor, photo: Path):
    visitor.upload(photo)
    assert titles(visitor) == ["As it is", "1", "2", "3"]
    plain, first, second, third = tiles(visitor)
    assert (first != plain).any() and (first != second).any() and (second != third).any()
    assert np.array_equal(np.array(Image.open(visitor.value("result")[1])), first)
    visitor.run(seed=3)
    assert np.array_equal(tiles(visitor)[1], third)


def test_the_photo_is_read_once(visitor: TabVisitor, detector: FindIn, photo: Path):
    visitor.upload(photo).run(style_psi=0.5).run(mix_layer=6).run(style="cartoon")
    assert len(detector.calls) == 1


def test_others_lie_around_a_locked_look(visitor: TabVisitor, photo: Path):
    visitor.upload(photo)
    looks = visitor.value("looks")
    locked, chosen = visitor.tab.lock(looks, 2)
    far = tiles(visitor)[2]
    visitor.run(locked=locked, chosen=chosen, share=0.1)
    assert titles(visitor) == ["2", "2 › 1", "2 › 2", "2 › 3"]
    assert np.array_equal(tiles(visitor)[0], far)
    near = np.abs(tiles(visitor)[1].astype(int) - far).mean()
    visitor.run(share=0.9)
    assert near < np.abs(tiles(visitor)[1].astype(int) - far).mean()
    assert visitor.tab.lock(looks, 0)[0] is None, "the style as it is cannot be locked"


def test_a_walk_is_a_clip_there_and_back(visitor: TabVisitor, photo: Path, monkeypatch):
    monkeypatch.setattr(looks_of, "FRAMES", 4)
    visitor.upload(photo).run("walk")
    clip = probe(visitor.prop("clip", "value"))
    assert (clip.width, clip.height) == (512, 512) and clip.frames == 6
    start, button, _ = begin_walk(visitor.value("looks"), 1)
    assert start == Look(1) and not button["interactive"]


def test_a_stop_ends_the_work_of_this_visitor_only(visitor: TabVisitor, stops: Stops, photo: Path):
    other = gr.Request(session_hash="other")
    with stops.watch(other) as others_stop:
        visitor.upload(photo, before=lambda: stops.stop(visitor.request))
        assert "Stopped" in visitor.value("status") and not others_stop()
    visitor.run()
    assert len(tiles(visitor)) == 4


def test_without_a_face_the_image_tab_is_named(visitor: TabVisitor, tmp_path: Path):
    visitor.upload(save_photo(tmp_path / "blue.jpg", rgb=(20, 20, 220)))
    assert "Mark it by hand in the Image tab" in visitor.value("status")
    assert visitor.value("visit") is not None, "the Image tab goes on with it"


def test_a_broken_file_is_put_away(visitor: TabVisitor, tmp_path: Path, photo: Path):
    (tmp_path / "letter.png").write_text("Dear Sir")
    visitor.upload(photo).upload(tmp_path / "letter.png")
    assert "letter.png" in visitor.value("status") and visitor.value("photo") is None
    assert visitor.value("visit") is None and visitor.value("tiles") == []


def test_numbers_stay_within_the_options():
    assert some_looks(0, 2) == [PLAIN, Look(MAXIMUM_SEED), Look(1)]
    look = looks_near(Look(5), 7, 1, 0.3)[1]
    options = look.applied(StylizeOptions())
    assert (options.variation, options.variation_steps) == (5, "7:0.30")
    assert look.near(9, 0.2).title == "5 › 7 › 9"


def test_the_command_draws_the_same(studio: Studio):
    options = StylizeOptions(variation=5, whole_photo=False, style_psi=0.5)
    words = command(studio.card("comic"), options)
    assert words.endswith("--style comic --no-whole-photo --variation 5 --style-psi 0.5")
