"""Video, Train, Reference and Verify in the system Chromium: upload, run, stop, error, reload."""

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo.tabs.train_runs import Trainings
from tests.motion.films import make_clip

from .browser import CHROMIUM
from .page import TWO_FACES, face, save_photo

pytest.importorskip("playwright.sync_api", reason="needs playwright")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: none is installed"),
]


@pytest.fixture
def filmed(server):
    """People stand where our clips of 64 x 48 pixels show them."""
    server.detector.faces = (face(32, 20, 12),)
    server.detector.told.set()
    return server


def test_a_clip_is_tried_and_made_into_a_film(visit, filmed, tmp_path: Path):
    visitor = visit(status="#video-status")
    visitor.open("Video", "#video-clip input[type=file]", "tab")
    page = visitor.page
    page.set_input_files("#video-clip input[type=file]", make_clip(tmp_path / "me.mp4", 1.5))
    visitor.wait(lambda: "A film of 1.5 s" in visitor.status())
    assert "64 × 48" in page.locator("#video-facts").inner_text()
    page.locator("#video-preview").click()
    visitor.wait(lambda: "One second, made in" in visitor.status())
    first = page.locator("#video-result video").get_attribute("src")
    page.locator("#video-make").click()
    visitor.wait(lambda: "6 frames in" in visitor.status())
    assert page.locator("#video-result video").get_attribute("src") != first
    assert page.locator("#video-download").is_enabled()
    visitor.keep_screenshot("video")


def test_a_film_is_stopped_and_goes_on_after_a_reload(visit, filmed, tmp_path: Path):
    visitor = visit(status="#video-status")
    visitor.open("Video", "#video-clip input[type=file]", "tab")
    page, gate = visitor.page, filmed.detector.told
    meadow = make_clip(tmp_path / "meadow.mp4", 2, source="color=green:")
    page.set_input_files("#video-clip input[type=file]", meadow)
    visitor.wait(lambda: "A film of 2.0 s" in visitor.status())
    gate.clear()
    page.locator("#video-make").click()
    page.wait_for_selector("#video-stop:not([disabled])")
    page.locator("#video-stop").click()
    page.wait_for_timeout(300)
    gate.set()
    visitor.wait(lambda: "Stopped" in visitor.status())
    page.reload()
    visitor.open("Video", "#video-clip", "tab")
    visitor.wait(lambda: "unfinished film is back" in visitor.status())
    page.locator("#video-make").click()
    visitor.wait(lambda: "8 frames in" in visitor.status())


def test_what_is_no_clip_is_put_away(visit, filmed, tmp_path: Path):
    visitor = visit(status="#video-status")
    visitor.open("Video", "#video-clip input[type=file]", "tab")
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    visitor.page.set_input_files("#video-clip input[type=file]", tmp_path / "list.mp4")
    visitor.wait(lambda: "list.mp4 is a playlist" in visitor.status())
    assert visitor.page.locator("#video-make").is_disabled()


def test_a_training_is_started_watched_and_stopped(visit, filmed, tmp_path: Path, monkeypatch):
    script = "import time; print('0%| | 4/1600 [00:01<00:01, 4img/s]', flush=True); time.sleep(90)"
    monkeypatch.setattr(Trainings, "_command", lambda self, order: [sys.executable, "-c", script])
    filmed.detector.faces = (face(48, 40, 30),)
    visitor = visit(status="#train-status")
    visitor.open("Train", "#train-pictures input[type=file]", "tab")
    page = visitor.page
    (tmp_path / "letter.png").write_text("Dear Sir")
    page.set_input_files("#train-pictures input[type=file]", tmp_path / "letter.png")
    visitor.wait(lambda: "none of the 1 pictures can be used" in visitor.status())
    random, sent = np.random.default_rng(0), [tmp_path / f"{n}.png" for n in range(6)]
    for path in sent:
        tiles = Image.fromarray(random.integers(0, 255, (5, 5, 3), np.uint8))
        tiles.resize((96, 96)).save(path)
    page.wait_for_selector("#train-pictures input[type=file]", state="attached")
    page.set_input_files("#train-pictures input[type=file]", sent)
    findings, progress = page.locator("#train-findings"), page.locator("#train-progress")
    visitor.wait(lambda: "6 pictures of the style ready" in findings.inner_text())
    visitor.wait(lambda: "Give the style a name" in visitor.status())
    page.locator("#train-name").locator("input, textarea").fill("Soft Pencil")
    page.locator("#train-start").click()
    visitor.wait(lambda: "Soft Pencil" in progress.inner_text())
    page.reload()
    visitor.open("Train", "#train-progress", "tab")
    visitor.wait(lambda: "Step" in progress.inner_text())
    visitor.keep_screenshot("train")
    page.locator("#train-stop").click()
    visitor.wait(lambda: "Stopped and saved" in progress.inner_text())


def test_a_photo_is_painted_like_a_reference_and_verified(visit, filmed, tmp_path: Path):
    visitor = visit(status="#reference-status")
    visitor.open("Reference", "#reference-photo input[type=file]", "tab")
    page = visitor.page
    page.set_input_files("#reference-photo input[type=file]", save_photo(tmp_path / "me.png"))
    visitor.wait(lambda: "Now choose a reference" in visitor.status())
    look = save_photo(tmp_path / "look.png", (230, 90, 40))
    page.set_input_files("#reference-first input[type=file]", look)
    page.wait_for_selector("#reference-download:not([disabled])")
    assert "drawn in" in visitor.status()
    drawn = page.locator("#reference-result img").nth(1).get_attribute("src")
    (tmp_path / "drawn.png").write_bytes(visitor.context.request.get(drawn).body())
    visitor.open("Verify", "#verify-file input[type=file]", "tab")
    page.set_input_files("#verify-file input[type=file]", tmp_path / "drawn.png")
    answer = page.locator("#verify-answer")
    visitor.wait(lambda: "parts that a trained network drew" in answer.inner_text())


def test_the_page_speaks_chinese_to_those_who_do(visit, server, photo: Path):
    server.detector.faces = TWO_FACES
    visitor = visit(locale="zh-CN")
    for text in ("照片", "微调", "请选择照片，用相机拍摄，或粘贴。", "立即删除我的文件"):
        visitor.page.get_by_text(text, exact=True).first.wait_for()
    assert visitor.page.get_by_role("tab", name="变化").is_visible()
    visitor.upload(photo)
    visitor.wait(lambda: "秒读取 2 张人脸" in visitor.status())
    assert "更接近原照片" in visitor.page.locator("#likeness").inner_text()
    visitor.keep_screenshot("chinese")


def test_files_are_deleted_at_once(visit, filmed, photo: Path):
    visitor, observer = visit(), visit()
    result = visitor.upload(photo)
    sent = visitor.page.locator("#photo img").first.get_attribute("src")
    assert all(observer.context.request.get(url).ok for url in (result, sent))
    visitor.page.locator("#forget").click()
    visitor.wait(lambda: visitor.page.locator("#photo img").count() == 0)
    for url in (result, sent):
        observer.wait(lambda url=url: not observer.context.request.get(url).ok)


def test_one_person_gets_a_style_of_their_own(visit, server, photo: Path, tmp_path: Path):
    server.detector.faces = TWO_FACES
    visitor = visit()
    page, first = visitor.page, visitor.upload(photo)
    page.locator("#faces button.thumbnail-item").nth(2).click()
    second = visitor.wait_for_result(first)
    page.get_by_label("Style of this person").click()
    page.get_by_role("option", name="comic").click()
    third = visitor.wait_for_result(second)
    everyone, changed = (visitor.pixels(url, tmp_path) for url in (first, third))
    assert (everyone[:, :70] == changed[:, :70]).all() and (everyone != changed).any()
    page.get_by_text("2 · comic").wait_for()
    visitor.keep_screenshot("people")
