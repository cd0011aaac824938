"""The page without a browser: built, its callbacks called directly, as Gradio would."""

import logging
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from app import parse_arguments
from demo import visit as visits
from demo.controls import option_control, uploaded_path
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image import ImageTab, summary
from demo.tabs.image_people import AS_ALL
from demo.ui import build_ui, launch_settings, open_studio
from engine.errors import DetectorError, ImageError, PackError
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from tests.packs import FixedFaces, write_packs

from .page import RUNTIME, TWO_FACES, FindIn, Visitor, save_photo
from .test_statement import XMP


def test_page_is_built_without_reading_weights(studio: Studio, monkeypatch):
    monkeypatch.setattr(studio.library, "load", lambda *a: pytest.fail("weights were read"))
    page = build_ui(studio)
    assert [f.api_name for f in page.fns.values() if f.api_visibility == "public"] == [
        "stylize_image",
        "vary",
        "apply_reference",
        "stylize_batch",
        "edit",
        "stylize_video",
        "animate",
    ]


def test_no_styles_is_said_clearly(tmp_path: Path):
    with pytest.raises(PackError, match="no style pack found.*--packs"):
        Studio(StyleLibrary([tmp_path]), RUNTIME)


def test_studio_opens_only_styles_on_offer(studio: Studio, packs: Path):
    for name in (str(packs / "comic"), "../packs/comic", "base", ""):
        with pytest.raises(PackError, match="choose one of cartoon, comic"):
            studio.stylizer(name)
    assert studio.stylizer("comic") is studio.stylizer("comic")


def test_visitors_do_not_learn_where_broken_weights_lie(tmp_path: Path, caplog):
    folder = write_packs(tmp_path, ["cartoon"])
    (folder / "cartoon" / "generator.safetensors").write_bytes(b"altered")
    with pytest.raises(PackError, match="cartoon cannot be loaded here") as error:
        Studio(StyleLibrary([folder]), RUNTIME).stylizer("cartoon")
    assert str(tmp_path) not in str(error.value)
    assert str(tmp_path) in caplog.text and "was altered" in caplog.text


def test_warm_up_draws_once(studio: Studio, detector: FindIn, caplog):
    with caplog.at_level(logging.INFO):
        studio.warm_up()
    assert detector.calls and "warmed up" in caplog.text


def test_launch_keeps_everything_on_the_machine(studio: Studio):
    settings = launch_settings(studio)
    off = ("run_history", "enable_monitoring", "show_error", "ssr_mode", "share")
    assert not any(settings[name] for name in off)
    assert settings["blocked_paths"] and settings["allowed_paths"] == []
    assert not any(url for url in settings["theme"]._stylesheets)


@pytest.mark.parametrize("name", ["strength", "truncation_psi", "samples", "output_size"])
def test_sliders_follow_the_options(name: str):
    option, slider = StylizeOptions.describe()[name], option_control(name)
    assert (slider.minimum, slider.maximum) == (option.minimum, option.maximum)
    assert (slider.step, slider.value) == (option.step, option.default)


def test_app_arguments():
    arguments = parse_arguments(["--packs", "there", "--port", "7999"])
    assert arguments.host == "127.0.0.1" and arguments.port == 7999


def test_studio_from_arguments(packs: Path):
    studio = open_studio(parse_arguments(["--packs", str(packs), "--device", "cpu"]))
    assert {"cartoon", "comic"} <= set(studio.names()) and studio.default_style == "pencil", (
        "the order of the cards"
    )


def test_photo_is_drawn_and_encoded_once(visitor: Visitor, detector: FindIn, photo: Path):
    visitor.upload(photo)
    before, after = visitor.pictures()
    assert before.shape == after.shape == (150, 200, 3) and (before != after).any()
    visitor.draw(strength=0.5).draw(truncation_psi=0.5).draw(style="comic").draw(attribute="second")
    assert len(detector.calls) == 1
    assert (visitor.pictures()[1] != after).any()


def test_download_is_the_result_as_png(visitor: Visitor, photo: Path):
    visitor.upload(photo)
    path = Path(visitor.prop("download", "value"))
    assert path.name == "A-photo-cartoon.png"
    with Image.open(path) as image:
        assert image.format == "PNG" and set(image.info) == XMP
        assert (np.array(image) == visitor.pictures()[1]).all()


def test_large_photo_is_shown_smaller_and_downloaded_in_full(visitor: Visitor, tmp_path: Path):
    rgb = np.random.default_rng(0).integers(0, 256, (120, 2000, 3), np.uint8)
    Image.fromarray(rgb).save(tmp_path / "wide.png")
    visitor.upload(tmp_path / "wide.png")
    assert [p.shape for p in visitor.pictures()] == [(96, 1600, 3)] * 2
    assert Image.open(visitor.prop("download", "value")).size == (2000, 120)


def test_transparent_photo_stays_transparent(visitor: Visitor, tmp_path: Path):
    rgba = np.full((150, 200, 4), 200, np.uint8)
    rgba[:40, :, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "cut.png")
    visitor.upload(tmp_path / "cut.png")
    before, after = visitor.pictures()
    assert (after[..., 3] == rgba[..., 3]).all() and before.shape == after.shape


def test_face_only(visitor: Visitor, photo: Path):
    visitor.upload(photo).draw(whole_photo=False)
    assert [p.shape for p in visitor.pictures()] == [(32, 32, 3)] * 2


def test_faces_to_choose_from(visitor: Visitor, photo: Path):
    visitor.upload(photo)
    tiles = visitor.prop("faces", "value")
    assert [caption for _, caption in tiles] == ["All 2", "Face 1", "Face 2"]
    both = visitor.pictures()[1]
    people = visitor.tab.parts.people
    event = gr.SelectData(None, {"index": 2, "value": None})
    clicked = people.choose({}, 0.7, event)
    assert (clicked[people.chosen], clicked[people.person]) == ("1", 1)
    assert (clicked[people.style], clicked[people.strength]) == (AS_ALL, 0.7)
    event.index = 0
    assert people.choose({}, 1, event)[people.chosen] == "all"
    before, second = visitor.draw(chosen="1").pictures()
    assert (second[:, :70] == before[:, :70]).all() and (both[:, :70] != before[:, :70]).any()


def test_samples_to_choose_from(visitor: Visitor, photo: Path):
    visitor.upload(photo).draw(samples=3, chosen="0")
    assert len(visitor.prop("gallery", "value")) == 3
    typical = visitor.pictures()[1]
    results = [
        visitor.draw(sample=visits.PickedSample(0, 3, 0, number)).pictures()[1]
        for number in range(3)
    ]
    assert any((result == typical).all() for result in results)
    assert any((result != typical).any() for result in results)
    assert visitor.prop("gallery", "selected_index") == 2
    visitor.draw(seed=5)  # the picked sample belongs to another seed: the most typical again
    new, number = visitor.prop("gallery", "value"), visitor.prop("gallery", "selected_index")
    first = Path(new[number][0]).read_bytes()
    visitor.draw(sample=visits.PickedSample(0, 3, 5, number))
    assert Path(visitor.prop("gallery", "value")[number][0]).read_bytes() == first


def test_no_face_asks_to_mark_one(visitor: Visitor, tmp_path: Path):
    visitor.upload(save_photo(tmp_path / "sky.jpg", (80, 120, 220)))
    assert (
        visitor.shown[visitor.tab.parts.marker] and visitor.shown[visitor.tab.parts.result] is None
    )
    assert "Mark it by hand" in visitor.shown[visitor.tab.parts.status]
    assert "1 of 3: click on the left eye" in visitor.shown[visitor.tab.parts.hint]
    visit = visitor.visit
    for point in ((80, 60), (120, 60), (100, 100)):
        visit = visits.mark(visit, *point)
    assert visit.is_marked and visits.unmark(visit, -1).marks == visit.marks[:2]
    visitor.draw(visitor.tab.draw_marked, visit=visit)
    before, after = visitor.pictures()
    assert (before != after).any() and visitor.shown[visitor.tab.parts.marker] is None


def test_marks_on_one_spot_are_refused(visitor: Visitor, tmp_path: Path):
    visitor.upload(save_photo(tmp_path / "sky.jpg", (80, 120, 220)))
    visit = visitor.visit
    for _ in range(3):
        visit = visits.mark(visit, 50, 50)
    visitor.draw(visitor.tab.draw_marked, visit=visit)
    assert visitor.shown[visitor.tab.parts.marker] and visitor.visit.marks == ()


def test_marks_are_scaled_from_the_shown_picture(visitor: Visitor, tmp_path: Path):
    Image.new("RGB", (3200, 100), (80, 120, 220)).save(tmp_path / "wide.png")
    visitor.upload(tmp_path / "wide.png")
    assert visits.mark(visitor.visit, 100, 10).marks == ((200, 20),)


def test_broken_file_is_a_message(visitor: Visitor, tmp_path: Path):
    (tmp_path / "letter.png").write_text("Dear Sir <script>")
    visitor.upload(tmp_path / "letter.png")
    line = visitor.shown[visitor.tab.parts.status]
    assert "letter.png" in line and "picture" in line and str(tmp_path) not in line
    assert visitor.visit is None and visitor.shown[visitor.tab.parts.result] is None
    assert visitor.shown[visitor.tab.parts.photo] is None


def test_other_errors_leave_the_picture_where_it_is(visitor: Visitor, photo: Path):
    picture = visitor.upload(photo).shown[visitor.tab.parts.result]
    visitor.draw(attribute="third")
    assert "attribute is" in visitor.shown[visitor.tab.parts.status]
    assert visitor.shown[visitor.tab.parts.result] == picture and visitor.visit is not None


def test_photo_browsers_cannot_show_is_replaced(visitor: Visitor, detector: FindIn, tmp_path: Path):
    visitor.upload(save_photo(tmp_path / "scan.tiff"))
    shown = visitor.shown[visitor.tab.parts.photo]
    assert shown.endswith("scan.png") and Image.open(shown).size == (200, 150)
    visitor.draw(photo={"path": shown})  # what the browser then sends
    assert len(detector.calls) == 1


def test_new_photo_and_clearing_delete_the_old_files(visitor: Visitor, photo: Path, tmp_path: Path):
    first = visitor.upload(photo).visit.folder
    second = visitor.upload(save_photo(tmp_path / "b.jpg")).visit.folder
    assert not first.exists() and second.exists()
    visitor.draw(photo=None)
    assert not second.exists() and visitor.visit is None


def test_only_the_last_files_of_a_visit_are_kept(visitor: Visitor, photo: Path):
    visitor.upload(photo)
    for step in range(10):
        visitor.draw(strength=step / 10)
    assert len(list(visitor.visit.folder.iterdir())) <= visits.FILES_KEPT
    assert visitor.visit.view.exists()


def test_forgotten_visit_is_read_again(visitor: Visitor, detector: FindIn, photo: Path):
    visitor.upload(photo).draw(visit=None, strength=0.5)
    assert len(detector.calls) == 2 and visitor.visit.portraits


def test_page_works_without_a_detector(packs: Path, cache: Path, photo: Path):
    def find(network):
        raise DetectorError("no weights here")

    with gr.Blocks():
        visitor = Visitor(ImageTab(Studio(StyleLibrary([packs]), RUNTIME, find), Stops()))
    assert visitor.upload(photo).shown[visitor.tab.parts.marker]


def test_summary_counts(visitor: Visitor, photo: Path):
    line = summary(visitor.upload(photo).visit, (150, 200, 3), 0.25)
    assert line.startswith("2 faces read in") and line.endswith("200 × 150 px")


def test_uploaded_path_needs_a_file(visitor: Visitor):
    with pytest.raises(ImageError, match="without a file"):
        uploaded_path({"url": "data:image/png;base64,AAAA"})
    visitor.draw(photo={"url": "data:,"})
    assert "without a file" in visitor.shown[visitor.tab.parts.status]


def test_fixed_faces_is_enough_for_a_studio(packs: Path):
    studio = Studio(StyleLibrary([packs]), RUNTIME, lambda network: FixedFaces(TWO_FACES))
    assert len(studio.stylizer("cartoon").detect(np.zeros((150, 200, 3), np.uint8))) == 2


def test_examples_are_offered_where_there_are_some(studio: Studio, tmp_path: Path, monkeypatch):
    def num_datasets() -> int:
        with gr.Blocks() as page:
            ImageTab(studio, Stops())
        return sum(isinstance(block, gr.Dataset) for block in page.blocks.values())

    monkeypatch.setattr("demo.tabs.pieces.ASSETS", tmp_path)
    assert num_datasets() == 0
    save_photo(tmp_path / "example_1.jpg")
    assert num_datasets() == 1
