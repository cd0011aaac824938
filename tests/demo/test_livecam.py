"""The visitor's camera: frames in as data URIs, pictures out as HTML, nothing on the disk."""

import base64
import io
import re
import threading
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
import torch
from PIL import Image

from demo.livecam import LONGEST_SIDE, NO_FACE, LiveCamera, Viewer, frame_of
from demo.studio import Studio
from demo.tabs.live import LivePart
from engine.errors import DetectorError, ImageError
from engine.library import StyleLibrary
from motion.live import LiveSettings
from motion.stream import workers
from tests.engine.test_student import give_student
from tests.packs import write_base, write_style

from .page import RUNTIME, TWO_FACES, FindIn


def uri(rgb: np.ndarray, kind: str = "jpeg") -> dict:
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, kind)
    data = base64.b64encode(file.getvalue()).decode()
    return {"path": None, "url": f"data:image/{kind};base64,{data}"}


def shown(picture: str) -> np.ndarray:
    data = re.search(r"base64,([^\"]+)", picture)[1]
    return np.array(Image.open(io.BytesIO(base64.b64decode(data))))


class Follow(FindIn):
    """Finds two faces, and again those it is shown."""

    def again(self, rgb: np.ndarray, faces: list) -> list:
        return list(faces)


PHOTO = np.full((150, 200, 3), (180, 140, 120), np.uint8)
PHOTO[::7] //= 2


@pytest.fixture
def camera(tmp_path: Path, monkeypatch) -> LiveCamera:
    card = write_base(tmp_path, detector=True)
    for name in ("comic", "cartoon"):
        write_style(tmp_path, card, name)
    give_student(tmp_path / "comic")
    monkeypatch.setattr("demo.livecam.QuickDetector", lambda network: Follow())
    return LiveCamera(Studio(StyleLibrary([tmp_path]), RUNTIME))


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_frames_are_read_and_made_small(kind: str):
    rgb = np.zeros((900, 1200, 3), np.uint8)
    assert frame_of(uri(rgb, kind)).shape == (480, LONGEST_SIDE, 3)
    assert frame_of(uri(PHOTO, kind)).shape == PHOTO.shape
    assert frame_of(None) is None and frame_of({"url": None}) is None


def test_other_things_are_refused():
    for url, message in (
        ("file:///etc/passwd", "comes as a data URI"),
        ("http://127.0.0.1/x.png", "comes as a data URI"),
        ("data:image/jpeg;base64,@@@", "is damaged"),
        ("data:image/jpeg;base64,AAAA", "no picture"),
        ("data:image/jpeg;base64," + "A" * 4_000_001, "at most 4000000 are accepted"),
    ):
        with pytest.raises(ImageError, match=message):
            frame_of({"url": url})


def test_a_face_is_drawn_and_the_rate_told(camera: LiveCamera):
    viewer = Viewer()
    for _ in range(3):
        picture, line = camera.draw(PHOTO, "comic", viewer, LiveSettings())
    assert shown(picture).shape == (32, 32, 3) and "You, as Comic" in picture
    assert re.fullmatch(r"\d+ pictures a second", line) and viewer.rate > 0
    picture, _ = camera.draw(PHOTO, "comic", viewer, LiveSettings(whole_photo=True))
    assert shown(picture).shape == PHOTO.shape


def test_without_a_face_the_frame_is_shown(camera: LiveCamera):
    blue = np.full((60, 80, 3), (20, 40, 200), np.uint8)
    picture, line = camera.draw(blue, "comic", Viewer(), LiveSettings())
    assert line == NO_FACE
    assert np.abs(shown(picture).astype(int) - blue).mean() < 6


def test_what_is_slow_is_said(camera: LiveCamera):
    assert "follows you smoothly" in camera.explain("comic")
    assert "a few pictures a second" in camera.explain("cartoon")
    picture, _ = camera.draw(PHOTO, "cartoon", Viewer(), LiveSettings())
    assert shown(picture).shape == (32, 32, 3)


def test_visitors_do_not_share_their_faces(camera: LiveCamera):
    one, other = Viewer(), Viewer()
    camera.draw(PHOTO, "comic", one, LiveSettings())
    assert one.face._face is TWO_FACES[0] and other.face._face is None
    assert not any(isinstance(v, Viewer) for v in vars(camera).values())


def test_a_base_without_detector_says_so(camera: LiveCamera):
    style = camera.studio.stylizer("comic").style
    object.__setattr__(style.base, "detector", None)
    with pytest.raises(DetectorError, match="finds no faces by itself"):
        camera.draw(PHOTO, "comic", Viewer(), LiveSettings())


def test_the_callback_leaves_nothing_on_the_disk(camera: LiveCamera, cache: Path):
    with gr.Blocks():
        part = LivePart(camera.studio, gr.State("comic"))
    picture, line, viewer = part.draw(uri(PHOTO), "comic", None, False)
    assert shown(picture).shape == (32, 32, 3) and "role" in line
    assert not cache.exists() or not any(p.is_file() for p in cache.rglob("*"))
    again = part.draw({"url": "data:image/jpeg;base64,AAAA"}, "comic", viewer, False)
    assert "problem" in again[1] and again[2] is viewer
    assert part.draw(None, "comic", viewer, False)[2] is viewer


def test_live_pictures_are_drawn_on_one_processor_each():
    before = torch.get_num_threads()
    pool = workers(2)
    assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
    assert torch.get_num_threads() == before
    counted = []
    thread = threading.Thread(target=lambda: counted.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert counted == [before], "a thread of another tab starts with all processors"
