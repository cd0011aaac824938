"""The Video tab without a browser: facts, people, a second, stopped, gone on, back after reload."""

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from demo import reels
from demo.reels import Reel, job_of, left_behind, people_in
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.video import BACK, VideoTab, shelf
from demo.tabs.video_parts import ticket_state
from demo.tabs.video_people import ALONE, AS_ALL, choose_person, wish_for
from engine.errors import MediaError, OptionError
from engine.provenance import read_mark
from motion.media import probe
from motion.temporal_options import TemporalOptions
from tests.motion.films import RATE, make_clip

from .page import TabVisitor, face


@pytest.fixture
def stops() -> Stops:
    return Stops()


@pytest.fixture
def visitor(studio: Studio, cache: Path, stops: Stops, detector) -> TabVisitor:
    detector.faces = (face(32, 20, 12),)
    return visitor_of(studio, stops)


def visitor_of(studio: Studio, stops: Stops) -> TabVisitor:
    with gr.Blocks():
        tab = VideoTab(studio, stops, ticket_state())
    return TabVisitor(tab).set(ticket="", style="comic", look_ahead=1)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "My holiday!.mp4", 2.5, sound=True)


def opened(visitor: TabVisitor, path: Path) -> TabVisitor:
    visitor.values[visitor.tab.parts.clip] = {"path": str(path)}
    inputs = {c: visitor.values[c] for c in visitor.tab.parts.inputs}
    for updates in visitor.tab.open(inputs):
        visitor.values |= updates
    spans = {name: visitor.prop(name, "value") for name in ("start", "end")}
    return visitor.set(**spans, ticket=visitor.value("ticket") or "")


def reel_of(visitor: TabVisitor) -> Reel:
    return visitor.value("reel")


def test_colours_and_eyes_begin_anew_with_another_style(visitor: TabVisitor, monkeypatch):
    tab, cards = visitor.tab, {"comic": {"color": "keep", "eyes": 1.3}, "cartoon": {}}
    plain = tab.studio.card
    monkeypatch.setattr(tab.studio, "card", lambda name: replace(plain(name), defaults=cards[name]))
    monkeypatch.setattr(tab.studio, "companions", lambda name: [])
    chosen = [
        tab.choose_style(gr.SelectData(None, {"index": number, "value": None})) for number in (0, 1)
    ]
    assert [(*one[2:5],) for one in chosen] == [(0.0, 1.0, "style"), (0.0, 1.3, "keep")]


def test_facts_and_estimate_come_first(visitor: TabVisitor, clip: Path):
    opened(visitor, clip)
    assert "64 × 48 · 2.5 s · 4 frames a second · with sound" in visitor.value("facts")
    assert "A film of 2.5 s: 10 frames, about" in visitor.value("status")
    assert visitor.prop("make", "interactive") and visitor.value("result") is None
    assert visitor.value("end") == 2.5
    told = visitor.tab.tell(reel_of(visitor), 0.5, 1.5)
    assert "A film of 1.0 s: 4 frames" in told


def test_one_second_then_all_of_it(visitor: TabVisitor, clip: Path):
    opened(visitor, clip).run("preview")
    first = Path(visitor.value("result"))
    assert "One second, made in" in visitor.value("status")
    assert probe(first).seconds == pytest.approx(1, abs=0.01)
    visitor.run("film", strength=0.5, carry=0.25)
    film = Path(visitor.value("result"))
    about = probe(film)
    assert (about.width, about.height, about.sounds) == (64, 48, 1)
    assert about.seconds == pytest.approx(2.5, abs=0.01)
    assert film.name == "My-holiday-comic.mp4" and film.parent != first.parent
    assert read_mark(film).is_generated
    assert "--strength 0.5" in visitor.value("recipe") and "--carry 0.25" in visitor.value("recipe")
    assert visitor.prop("download", "value") == str(film) and visitor.value("live") == ""


def test_the_latest_frame_is_shown(visitor: TabVisitor, clip: Path, monkeypatch):
    monkeypatch.setattr("demo.live.EVERY", 0.01)
    opened(visitor, clip)
    inputs = {c: visitor.values[c] for c in visitor.tab.parts.inputs}
    p, seen = visitor.tab.parts, []
    for updates in visitor.tab.film(inputs, visitor.request):
        seen.append((updates.get(p.live, ""), updates.get(p.status, "")))
    live = [(picture, line) for picture, line in seen if "data:image/jpeg" in picture]
    assert live and "of 10 frames" in live[-1][1] and "a second" in live[-1][1]
    assert not list(reel_of(visitor).folder.rglob("*.jpg"))


def test_stopped_it_plays_and_goes_on(visitor: TabVisitor, stops: Stops, tmp_path: Path):
    opened(visitor, make_clip(tmp_path / "long.mp4", 6))
    visitor.run("film", before=lambda: stops.stop(visitor.request))
    assert "Stopped; the first" in visitor.value("status")
    assert 0 < probe(visitor.value("result")).frames < 6 * RATE
    visitor.run("film")
    assert probe(visitor.value("result")).frames == 6 * RATE
    assert "24 frames in" in visitor.value("status")


def test_a_reload_brings_an_unfinished_film_back(
    visitor: TabVisitor, studio: Studio, stops: Stops, clip: Path, monkeypatch
):
    opened(visitor, clip)
    visitor.run("film", strength=0.4, end=2.0, before=lambda: stops.stop(visitor.request))
    reel, ticket = reel_of(visitor), visitor.value("ticket")
    assert ticket == reel.ticket
    later = visitor_of(studio, stops)
    found = dict(
        zip(
            [*later.tab.parts.controls, "clip", "status"],
            later.tab.restore(ticket, None),
            strict=True,
        )
    )
    assert found["clip"] == str(reel.file) and BACK in found["status"]
    assert found["strength"]["value"] == 0.4 and found["style"] == "comic"
    opened(later.set(ticket=ticket), Path(found["clip"]))
    assert reel_of(later).folder == reel.folder and BACK in later.value("status")
    assert later.value("end") == 2.0, "the sliders are set back too"
    reels._close_if_left(reel)
    assert reel.folder.is_dir(), "its visitor came back"
    reels._close_if_left(reel_of(later))
    assert not reel.folder.exists()


@pytest.mark.parametrize("ticket", ["", "../visits", "0" * 32, None, "a/../b"])
def test_a_made_up_ticket_opens_nothing(visitor: TabVisitor, ticket):
    assert left_behind(shelf(), ticket) is None
    assert all(update == gr.skip() for update in visitor.tab.restore(ticket, None))


def test_what_is_no_clip_is_refused(visitor: TabVisitor, tmp_path: Path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n/etc/passwd\n")
    visitor.values[visitor.tab.parts.clip] = {"path": str(tmp_path / "list.mp4")}
    for updates in visitor.tab.open({c: visitor.values[c] for c in visitor.tab.parts.inputs}):
        visitor.values |= updates
    assert "list.mp4" in visitor.value("status") and visitor.value("reel") is None
    assert not visitor.prop("make", "interactive")
    assert not shelf().exists() or not list(shelf().iterdir())


def test_people_have_styles_of_their_own(visitor: TabVisitor, studio: Studio, detector, tmp_path):
    detector.faces = (face(16, 20, 8), face(48, 20, 8))
    opened(visitor, make_clip(tmp_path / "us.mp4", 1.5))
    people = visitor.value("people")
    assert list(people) == [0, 1] and len(visitor.prop("faces", "value")) == 2
    number, shown = choose_person(people, {}, gr.SelectData(None, {"index": 1, "value": None}))
    assert number == 1 and shown["value"] == AS_ALL
    wishes, _ = wish_for(people, {}, 1, "cartoon")
    wishes, faces = wish_for(people, wishes, 0, ALONE)
    assert wishes == {1: "cartoon", 0: None}
    assert [title for _, title in faces["value"]] == [ALONE, "cartoon"]
    visitor.run("film", wishes=wishes)
    assert "--person 1=cartoon" in visitor.value("recipe")
    assert "frames in" in visitor.value("status")
    assert wish_for(people, wishes, 1, AS_ALL)[0] == {0: None}


def test_limits_are_told(visitor: TabVisitor, studio: Studio, clip: Path, monkeypatch):
    monkeypatch.setattr(reels, "MOST_SECONDS", 1)
    opened(visitor, clip)
    visitor.run("film")
    assert "up to 1 s are made here" in visitor.value("status")
    assert visitor.prop("make", "interactive")
    wish = reels.Wish("comic", studio.card("comic").options(), TemporalOptions(), 0.0, 2.5)
    with pytest.raises(OptionError):
        job_of(reel_of(visitor), wish, studio)
    monkeypatch.setattr(reels, "WEB", reels.Limits(seconds=1))
    with pytest.raises(MediaError, match="longer than 1 s"):
        reels.open_reel(str(clip), shelf())


def test_nobody_is_told(visitor: TabVisitor, detector, clip: Path, studio: Studio):
    detector.faces = ()
    opened(visitor, clip)
    assert "found nobody" in visitor.value("status")
    assert people_in(reel_of(visitor), studio.stylizer("comic"), 0) == {}
    visitor.run("preview")
    assert "4 frames without a face" in visitor.value("status")
    assert read_mark(visitor.value("result")).source is None
