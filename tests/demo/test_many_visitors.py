"""Many visitors: none sees another's picture, and what they did leaves nothing behind."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from gradio.route_utils import delete_files_created_by_app
from gradio_client import Client, handle_file
from PIL import Image

from demo import batch
from demo.studio import Studio
from demo.ui import build_ui, launch_settings
from engine.image import read_photo
from engine.library import StyleLibrary
from engine.options import StylizeOptions

from .page import RUNTIME, FindIn, save_photo

SLOW = {"timeout": 120}  # the machine may be busy
ROOMY = 48 << 20  # bytes of memory that may come and go


@dataclass
class Served:
    """A page that runs, and the folder of what its visitors send and get."""

    studio: Studio
    page: gr.Blocks
    url: str
    folder: Path

    @property
    def files(self) -> list[str]:
        return sorted(str(path) for path in self.folder.rglob("*") if path.is_file())

    def client(self, downloads: Path) -> Client:
        return Client(self.url, verbose=False, httpx_kwargs=SLOW, download_files=downloads)

    def sweep(self, monkeypatch) -> None:
        """Do now, with all that is there, what is done every few minutes with what is old."""
        delete_files_created_by_app(self.page, -1)
        monkeypatch.setattr(batch, "KEPT_SECONDS", -1)
        batch.new_folder(self.folder / "api")


@pytest.fixture
def served(tmp_path: Path, packs: Path, monkeypatch) -> Iterator[Served]:
    folder = tmp_path / "server"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    studio = Studio(StyleLibrary([packs]), RUNTIME, lambda network: FindIn())
    page = build_ui(studio)
    _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio))
    yield Served(studio, page, url, folder)
    page.close()


def test_eight_visitors_at_once_get_their_own_pictures(served: Served, tmp_path: Path):
    photos = [save_photo(tmp_path / f"{n}.png", (40 + 25 * n, 90, 60)) for n in range(8)]
    stylizer = served.studio.stylizer("comic")
    expected = [stylizer(read_photo(photo).rgb, StylizeOptions()) for photo in photos]

    def visit(photo: Path) -> np.ndarray:
        client = served.client(tmp_path / "got" / photo.stem)
        path = client.predict(handle_file(photo), "comic", api_name="/stylize_image")
        return np.array(Image.open(path))

    with ThreadPoolExecutor(8) as pool:
        for mine, drawn in zip(expected, pool.map(visit, photos), strict=True):
            assert np.array_equal(mine, drawn)


def draw_all(client: Client, photo: Path, rounds: int) -> int:
    """Call the quick endpoints in turn; returns how many calls that were."""
    picture = handle_file(photo)
    for number in range(rounds):
        client.predict(picture, "comic", seed=number, api_name="/stylize_image")
        client.predict(picture, "comic", count=2, variation=number + 1, api_name="/vary")
        client.predict(picture, "comic", "1", 2.0, api_name="/edit")
        client.predict([picture, picture], "comic", api_name="/stylize_batch")
    return 4 * rounds


def memory() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_what_was_sent_and_drawn_is_swept_away(served: Served, tmp_path: Path, monkeypatch):
    kept = served.files  # of the page itself
    client, photo = served.client(tmp_path / "got"), save_photo(tmp_path / "me.jpg")
    assert draw_all(client, photo, 1) == 4 and served.files != kept
    served.sweep(monkeypatch)
    assert set(kept) ^ set(served.files) == set()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_two_hundred_jobs_leave_memory_and_disk_where_they_were(
    served: Served, tmp_path: Path, monkeypatch
):
    kept = served.files
    client, photo = served.client(tmp_path / "got"), save_photo(tmp_path / "me.jpg")
    draw_all(client, photo, 10)  # all is loaded, all caches are full
    before = memory()
    assert draw_all(client, photo, 50) == 200
    assert memory() - before < ROOMY
    served.sweep(monkeypatch)
    assert set(kept) ^ set(served.files) == set()
