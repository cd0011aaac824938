"""The Image tab's grids, its sliders for the face, and many photos at once."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from demo.batch import MOST_PHOTOS, UNCHANGED, stylize_all, write_zip
from demo.edits import direction_names, edits_text
from demo.tabs.image_batch import summary
from demo.tabs.image_grids import STRENGTHS
from demo.tabs.verify import answer_for
from engine.errors import OptionError
from engine.options import StylizeOptions
from engine.provenance import GENERATED, read_mark

from .page import Visitor, save_photo


def click(number: int) -> gr.SelectData:
    return gr.SelectData(None, {"index": number, "value": None})


def test_every_style_is_drawn_and_a_click_takes_it(visitor: Visitor, photo: Path):
    tab, parts = visitor.tab, visitor.tab.parts
    visitor.upload(photo).draw(tab.grids.draw_styles)
    tiles = visitor.prop("grid", "value")
    assert [title for _, title in tiles] == ["Cartoon", "Comic"]
    first, second = (np.array(Image.open(path)) for path, _ in tiles)
    assert first.shape == (32, 32, 3) and (first != second).any()
    assert read_mark(tiles[0][0]).source == GENERATED
    chosen = tab.choose_tile(visitor.shown[parts.offered], click(1))
    assert chosen[parts.style] == "comic" and chosen[parts.styles]["selected_index"] == 1


def test_strengths_are_drawn_and_a_click_takes_one(visitor: Visitor, photo: Path):
    tab, parts = visitor.tab, visitor.tab.parts
    visitor.upload(photo).draw(tab.grids.draw_strengths, strength=0.5)
    assert [title for _, title in visitor.prop("grid", "value")] == [
        "0",
        "0.25",
        "0.5",
        "0.75",
        "1",
    ]
    assert visitor.prop("grid", "selected_index") == 2
    assert tab.choose_tile(visitor.shown[parts.offered], click(3)) == {parts.strength: 0.75}
    assert tab.choose_style(click(0))[parts.grid] == [], "strengths of another style go away"
    assert len(STRENGTHS) == 5


def test_colours_and_eyes_begin_anew_with_another_style(visitor: Visitor, monkeypatch):
    """A comic that keeps the colours of the photo leaves none of them to the next style."""
    tab, parts = visitor.tab, visitor.tab.parts
    cards = {"comic": {"color": "keep", "eyes": 1.3}, "cartoon": {}}
    plain = tab.studio.card
    monkeypatch.setattr(tab.studio, "card", lambda name: replace(plain(name), defaults=cards[name]))
    cartoon, comic = (tab.choose_style(click(number)) for number in (0, 1))
    assert (comic[parts.color], comic[parts.eyes]) == ("keep", 1.3)
    assert (cartoon[parts.color], cartoon[parts.eyes]) == ("style", 1.0)


def test_without_a_photo_grids_do_nothing(visitor: Visitor):
    assert visitor.draw(visitor.tab.grids.draw_styles).shown == {}


def test_sliders_move_the_face(visitor: Visitor, photo: Path):
    plain = visitor.upload(photo).pictures()[1]
    visitor.values[visitor.tab.parts.edits[1]] = 6
    assert (visitor.draw().pictures()[1] != plain).any()
    visitor.values[visitor.tab.parts.edits[1]] = 0
    assert (visitor.draw().pictures()[1] == plain).all()


def test_edits_are_written_as_options():
    assert edits_text([0, 0]) == "none"
    text = edits_text([0, -2.5, 3])
    assert text == "1:-2.5,2:3"
    assert StylizeOptions(edits=text).list_edits() == [(1, -2.5, None), (2, 3.0, None)]
    assert direction_names(["Light"])[:2] == ["Light", "Direction 1"]


def run_batch(visitor: Visitor, *paths: Path, stop_after: int = 99) -> dict:
    """Run the batch on files; returns what is shown at the end, by component."""
    batch, values = visitor.tab.batch, dict(visitor.values)
    values |= {batch.parts.files: [{"path": str(p)} for p in paths], batch.parts.folder: None}
    request, shown = gr.Request(session_hash="me"), {}
    for updates in batch.draw(values, request):
        shown |= updates
        if len(shown.get(batch.parts.gallery) or []) >= stop_after:
            batch.stops.stop(request)
    return {
        name: shown.get(getattr(batch.parts, name)) for name in ("status", "gallery", "download")
    }


def test_many_photos_become_a_zip_and_problems_are_listed(visitor: Visitor, tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    same = [save_photo(tmp_path / folder / "Me & you.jpg") for folder in ("a", "b")]
    (tmp_path / "letter.png").write_text("Dear Sir")
    shown = run_batch(visitor, *same, tmp_path / "letter.png")
    assert "2 of 3 photos" in shown["status"] and "letter.png (8 bytes)" in shown["status"]
    assert len(shown["gallery"]) == 2
    with zipfile.ZipFile(shown["download"]["value"]) as file:
        assert sorted(file.namelist()) == [
            *("Me-you-2.json", "Me-you-2.png", "Me-you.json", "Me-you.png", "problems.txt")
        ]
        assert json.loads(file.read("Me-you.json"))["style"] == "cartoon"
        assert b"letter.png" in file.read("problems.txt")


def test_stopping_a_batch_keeps_what_is_done(visitor: Visitor, tmp_path: Path):
    photos = [save_photo(tmp_path / f"{n}.jpg") for n in range(3)]
    shown = run_batch(visitor, *photos, stop_after=1)
    assert "1 of 3 photos" in shown["status"] and "stopped after 1" in shown["status"]
    with zipfile.ZipFile(shown["download"]["value"]) as file:
        assert file.namelist() == ["0.png", "0.json"]


def test_batches_are_bounded(visitor: Visitor, photo: Path):
    assert "51 photos in one batch" in run_batch(visitor, *[photo] * (MOST_PHOTOS + 1))["status"]
    assert "Choose some photos" in run_batch(visitor)["status"]


def test_photos_without_a_face_are_said(studio, tmp_path: Path):
    sky = save_photo(tmp_path / "sky.jpg", (80, 120, 220))
    stylizer = studio.stylizer("comic")
    outcomes = list(stylize_all(stylizer, [str(sky)], StylizeOptions(), tmp_path / "out"))
    assert outcomes[0].problem == UNCHANGED and f"sky.jpg: {UNCHANGED}" in summary(outcomes, 1)
    assert not read_mark(outcomes[0].pictures[0]).is_generated
    assert write_zip(outcomes, "comic", tmp_path).is_file()
    with pytest.raises(OptionError, match="0 photos"):
        list(stylize_all(stylizer, [], StylizeOptions(), tmp_path))


def test_the_verify_tab_escapes_what_files_say(tmp_path: Path):
    packet = b'<x xmp:CreatorTool="<script>"/><x>CreatorTool>a&b</x>'
    Image.new("RGB", (8, 8)).save(tmp_path / "a.webp", xmp=packet.replace(b'"<script>"', b'"a&b"'))
    assert "a&amp;b" in answer_for({"path": str(tmp_path / "a.webp")})
    (tmp_path / "<b>.png").write_text("no")
    assert "<b>" not in answer_for({"path": str(tmp_path / "<b>.png")})
