"""Fixtures of the page's tests: tiny packs, a studio over them, a visitor, and a browser."""

import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import pytest

from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image import ImageTab
from demo.tabs.train_runs import open_trainings
from demo.ui import build_ui, launch_settings
from engine.library import StyleLibrary
from tests.packs import write_packs

from .browser import CHROMIUM, FLAGS, BrowserVisitor
from .page import RUNTIME, FindIn, Visitor, save_photo

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def packs(tmp_path_factory) -> Path:
    return write_packs(tmp_path_factory.mktemp("packs"))


@pytest.fixture
def detector() -> FindIn:
    return FindIn()


@pytest.fixture
def studio(packs: Path, detector: FindIn) -> Studio:
    return Studio(StyleLibrary([packs]), RUNTIME, lambda network: detector)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save_photo(tmp_path / "A photo.jpg")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def visitor(studio: Studio, cache: Path) -> Visitor:
    with gr.Blocks():
        return Visitor(ImageTab(studio, Stops()))


@dataclass
class Server:
    """The page in this process: its address, the log of what was encoded, and its detector."""

    url: str
    log: list
    detector: FindIn

    @property
    def num_encoded(self) -> int:
        return sum("encoded" in line for line in self.log)


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module")
def server(tmp_path_factory, packs: Path) -> Iterator[Server]:
    handler, log = Lines(), logging.getLogger("demo.visit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("server")))
        home = tmp_path_factory.mktemp("home")
        patch.setenv("STYLIZE_HOME", str(home))
        trainings = open_trainings("cpu", "127.0.0.1", True)
        detector = FindIn()
        library = StyleLibrary([packs, home / "packs"])
        studio = Studio(library, RUNTIME, lambda network: detector)
        page = build_ui(studio, trainings)
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio))
        yield Server(url, handler.lines, detector)
        page.close()
        if trainings is not None:
            trainings.stop_and_wait(20)
        log.removeHandler(handler)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, server: Server) -> Iterator[Callable[..., BrowserVisitor]]:
    visitors: list[BrowserVisitor] = []

    def arrive(**context) -> BrowserVisitor:
        visitors.append(BrowserVisitor(browser, server.url, **context))
        return visitors[-1]

    yield arrive
    for visitor in visitors:
        visitor.context.close()


@pytest.fixture
def app(packs: Path, tmp_path: Path) -> Iterator[tuple[str, float]]:
    """`python app.py` in its own process: its address, and the seconds until it said so."""
    command = [sys.executable, "app.py", "--packs", str(packs), "--device", "cpu"]
    environment = {**os.environ, "STYLIZE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    started = time.monotonic()
    process = subprocess.Popen(
        command, cwd=Path(__file__).parents[2], env=environment, text=True, stdout=subprocess.PIPE
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    said = process.stdout.readline()
    found = re.search(r"http://\S+", said)
    assert found, f"app.py said {said!r}"
    yield found[0], time.monotonic() - started
    watchdog.cancel()
    assert list(tmp_path.glob("stylize-*"))
    process.terminate()
    process.wait(60)
    assert not list(tmp_path.glob("stylize-*")), "pictures are left behind"
