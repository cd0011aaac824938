"""What strangers may send and ask for: nothing of it is opened as it wishes, or given away."""

import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from gradio_client import Client, handle_file
from PIL import Image

from demo.forgetting import delete_upload, forget_session
from demo.reels import open_reel
from demo.studio import Studio
from demo.tabs.pieces import ASSETS
from demo.tabs.train_runs import training_folder
from demo.ui import build_ui, launch_settings
from engine.library import StyleLibrary
from tests.motion.films import make_clip

from .page import RUNTIME, FindIn, Visitor, save_photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def client(tmp_path_factory, folder: Path, packs: Path) -> Iterator[Client]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("STYLIZE_HOME", str(tmp_path_factory.mktemp("home")))
        secret = training_folder() / "mine" / "data" / "me.jpg"
        secret.parent.mkdir(parents=True)
        save_photo(secret)
        studio = Studio(StyleLibrary([packs]), RUNTIME, lambda network: FindIn())
        page = build_ui(studio)
        _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio))
        client = Client(url, verbose=False, download_files=tmp_path_factory.mktemp("downloads"))
        client.secret = secret
        yield client
        page.close()


def bomb() -> bytes:
    """A PNG of a few kB that says it has 30000 x 30000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9**6)))


def polyglot() -> bytes:
    """A real GIF that is a script too."""
    file = io.BytesIO()
    Image.new("RGB", (200, 150), (180, 140, 120)).save(file, "GIF")
    return file.getvalue() + b"/*<script>alert(1)</script>*/"


HOSTILE = {
    "page.png": b"<!doctype html><script>alert(document.cookie)</script>",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "drawing.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "bomb.png": bomb(),
    "print.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file",
    "empty.jpg": b"",
    "pickle.png": b"\x80\x04\x95cos\nsystem\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_picture_is_refused(client: Client, tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(HOSTILE[name])
    with pytest.raises(Exception, match=f"{name}|megapixel|pixels") as refusal:
        client.predict(handle_file(tmp_path / name), api_name="/stylize_image")
    assert "Traceback" not in str(refusal.value) and str(tmp_path) not in str(refusal.value)


def test_a_picture_that_is_a_script_too_is_only_a_picture(client: Client, tmp_path: Path):
    (tmp_path / "both.gif").write_bytes(polyglot())
    drawn = Path(client.predict(handle_file(tmp_path / "both.gif"), api_name="/stylize_image"))
    assert Image.open(drawn).format == "PNG" and b"<script" not in drawn.read_bytes()


def test_what_is_served_of_uploads_cannot_act_as_a_page(client: Client, tmp_path: Path):
    for name in ("page.png", "drawing.svg"):
        sent = httpx.post(f"{client.src}gradio_api/upload", files={"files": (name, HOSTILE[name])})
        got = httpx.get(f"{client.src}gradio_api/file={sent.json()[0]}")
        inert = got.headers["content-type"].startswith("image/png") and b"<svg" not in got.content
        is_download = "attachment" in got.headers.get("content-disposition", "")
        assert got.status_code != 200 or inert or is_download, (name, dict(got.headers))


LISTS = {
    "list.mp4": b"ffconcat version 1.0\nfile /etc/passwd\n",
    "list.mov": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n",
    "list.webm": b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>",
}


@pytest.mark.parametrize("name", LISTS)
def test_playlists_are_no_clips_whatever_they_are_called(client: Client, tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(LISTS[name])
    with pytest.raises(Exception, match=name):
        client.predict(handle_file(tmp_path / name), "comic", api_name="/stylize_video")


NAMES = (
    "../../../../etc/cron.d/me.jpg",
    "..\\..\\windows\\me.jpg",
    "-rf --help.jpg",
    "$(touch hacked)`id`.jpg",
    "我的照片 🖍️.jpg",
    "a" * 300 + ".jpg",
    "me.jpg\0.exe",
    "CON.jpg",
)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_lead_nowhere(client: Client, folder: Path, tmp_path: Path, name: str):
    photo = save_photo(tmp_path / "photo.jpg").read_bytes()
    sent = httpx.post(f"{client.src}gradio_api/upload", files={"files": (name, photo)})
    assert sent.status_code < 500
    if sent.status_code == 200:
        path = Path(sent.json()[0]).resolve()
        assert folder.resolve() in path.parents and path.read_bytes() == photo
    assert not Path("hacked").exists()


def ask(client: Client, **photo) -> httpx.Response:
    data = {"photo": {**photo, "meta": {"_type": "gradio.FileData"}}}
    url = f"{client.src}gradio_api/call/v2/stylize_image"
    started = httpx.post(url, json=data)
    if started.status_code != 200:
        return started
    event = started.json()["event_id"]
    return httpx.get(f"{client.src}gradio_api/call/stylize_image/{event}", timeout=60)


def test_only_what_was_sent_is_opened(client: Client, packs: Path):
    for path in ("/etc/hostname", str(client.secret), str(packs / "comic" / "preview.jpg")):
        answer = ask(client, path=path)
        assert "event: complete" not in answer.text and ".png" not in answer.text
    for url in ("file:///etc/hostname", "http://127.0.0.1:9/", "http://169.254.169.254/meta"):
        assert "event: complete" not in ask(client, path=url, url=url).text


def test_packs_trainings_and_jobs_are_out_of_reach(client: Client, folder: Path, packs: Path):
    job = folder / "reels" / ("0" * 32) / "jobs" / "job.json"
    paths = [client.secret, packs / "comic" / "style.json", ASSETS.parent / "ui.py", job]
    paths += [packs / "base" / "encoder.safetensors", folder / ".." / "home" / "x"]
    for path in paths:
        for way in (str(path), f"{folder}/../{os.path.relpath(path, folder.parent)}"):
            answer = httpx.get(f"{client.src}gradio_api/file={way}")
            assert answer.status_code in (400, 403, 404), way
    listed = httpx.get(f"{client.src}gradio_api/file={folder}")
    assert listed.status_code in (400, 403, 404)
    assert "password" not in json.dumps(client.config)


def test_forgetting_takes_everything_but_the_examples(visitor: Visitor, photo: Path, cache: Path):
    upload, example = cache / "a" / "me.jpg", cache / "b" / "example_1.png"
    for path, content in ((upload, photo), (example, ASSETS / "example_1.png")):
        path.parent.mkdir(parents=True)
        path.write_bytes(content.read_bytes())
    for path in (upload, example, Path("/etc/hostname"), cache):
        delete_upload(path)
    assert not upload.parent.exists() and example.is_file() and cache.is_dir()
    visitor.upload(photo)
    reel = open_reel(str(make_clip(photo.parent / "me.mp4", 1)), cache / "reels")
    kept = {visitor.visit.folder, reel.folder}
    assert all(path.is_dir() for path in kept)

    class Session:
        state_components = [(None, visitor.visit, False), (None, reel, False)]

    class Holder:
        session_data = {"me": Session}

        def delete_state(self, session: str) -> None:
            """As Gradio does: the callbacks of the states; that of a reel only waits."""
            visitor.tab.parts.visit.delete_callback(visitor.visit)

    page = type("Page", (), {"state_holder": Holder()})()
    forget_session(page, "somebody else")
    assert all(path.is_dir() for path in kept)
    forget_session(page, "me")
    assert not any(path.exists() for path in kept)
