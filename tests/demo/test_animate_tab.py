"""The Animate part of the Video tab without a browser, and the endpoints that make films."""

from pathlib import Path

import gradio as gr
import pytest

from demo.api_films import animate, stylize_video
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.animate import AnimateTab, has_weights
from demo.tabs.pieces import visit_state
from engine.errors import OptionError, PackError, StylizeError
from engine.options import StylizeOptions
from engine.provenance import COMPOSITE, GENERATED, read_mark
from motion.animate_options import AnimateOptions
from motion.media import probe
from motion.pack import MotionCard, save_motion_pack
from motion.temporal_options import TemporalOptions
from tests.motion.films import RATE, make_clip
from tests.motion.fomm import tiny

from .page import TabVisitor, face

COUNT = 6


@pytest.fixture
def home(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def weights(home: Path) -> Path:
    networks = (tiny.detector(), tiny.generator())
    return save_motion_pack(home / "packs" / "tiny", MotionCard("tiny", tiny.SIZE), *networks)


@pytest.fixture
def driving(tmp_path: Path, detector) -> Path:
    detector.faces = (face(32, 20, 12),)
    return make_clip(tmp_path / "nod.mp4", COUNT / RATE, sound=True)


@pytest.fixture
def stops() -> Stops:
    return Stops()


@pytest.fixture
def visitor(studio: Studio, cache: Path, home: Path, stops: Stops) -> TabVisitor:
    with gr.Blocks():
        return TabVisitor(AnimateTab(studio, visit_state(), stops)).set(style="comic")


def animated(visitor: TabVisitor, photo: Path, driving: Path, **changes) -> TabVisitor:
    given = {"photo": {"path": str(photo)}, "clip": {"path": str(driving)}}
    return visitor.run("animate", **given, **changes)


def test_a_drawn_portrait_moves_with_sound(weights, visitor: TabVisitor, photo, driving):
    animated(visitor, photo, driving)
    film = Path(visitor.value("result"))
    about = probe(film)
    assert about.frames == COUNT and about.sounds == 1 and about.width == about.height
    assert "Made in" in visitor.value("status") and film.name == "animated-clip-comic.mp4"
    assert read_mark(film).source == GENERATED
    whole = probe(animated(visitor, photo, driving, in_photo=True, drawn=False).value("result"))
    assert (whole.width, whole.height) == (200, 150)
    assert read_mark(whole.path).source == COMPOSITE


def test_it_can_be_stopped(weights, visitor: TabVisitor, photo, driving, stops: Stops):
    given = {"photo": {"path": str(photo)}, "clip": {"path": str(driving)}}
    visitor.run("animate", before=lambda: stops.stop(visitor.request), **given)
    assert "Stopped" in visitor.value("status") and visitor.value("result") is None
    assert not list(visitor.value("reel").folder.glob("*animated*"))
    assert visitor.prop("make", "interactive")


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    """As if no motion pack was shipped."""
    monkeypatch.setattr("motion.pack.search_folders", lambda: [tmp_path / "nowhere"])


def test_without_weights_it_says_what_to_do(no_weights, visitor: TabVisitor, photo, driving):
    hint, button = has_weights()
    assert hint["visible"] and not button["interactive"]
    animated(visitor, photo, driving)
    assert "python -m demo.doctor fetch" in visitor.value("status")


def test_weights_are_seen_when_the_tab_is_opened(weights):
    hint, button = has_weights()
    assert not hint["visible"] and button["interactive"]


def test_it_waits_for_both_files(visitor: TabVisitor, photo):
    visitor.run("animate", photo={"path": str(photo)}, clip=None)
    assert "driving clip" in visitor.value("status")


def test_endpoint_stylizes_a_part_of_a_clip(studio: Studio, cache, driving: Path, detector):
    options = (StylizeOptions(strength=0.5), TemporalOptions(look_ahead=1))
    film = stylize_video(studio, str(driving), "comic", 0.25, 1.0, *options)
    about = probe(film)
    assert about.sounds == 1 and about.seconds == pytest.approx(0.75, abs=0.01)
    assert read_mark(film).source == COMPOSITE
    with pytest.raises(OptionError, match="start"):
        stylize_video(studio, str(driving), "comic", 9.0, 0.0, *options)
    for start, end in (("soon", 0.0), (0.0, "the end"), (None, 1.0), (0.0, float("nan"))):
        with pytest.raises(OptionError, match="a number of seconds, 0 or more, is accepted"):
            stylize_video(studio, str(driving), "comic", start, end, *options)
    with pytest.raises(StylizeError, match="no clip was sent"):
        stylize_video(studio, None, "comic", 0.0, 0.0, *options)
    detector.faces = ()
    with pytest.raises(StylizeError, match="no face found in nod.mp4"):
        stylize_video(studio, str(driving), "comic", 0.0, 0.5, *options)


def test_endpoint_animates(weights, studio: Studio, cache, photo: Path, driving: Path):
    film = animate(studio, str(photo), str(driving), "", AnimateOptions())
    assert probe(film).frames == COUNT and read_mark(film).source == GENERATED


def test_endpoint_names_the_missing_weights(
    no_weights, home, studio: Studio, cache, photo: Path, driving
):
    with pytest.raises(PackError, match="demo.doctor fetch"):
        animate(studio, str(photo), str(driving), "comic", AnimateOptions())
