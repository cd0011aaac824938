"""Fixtures of the page's tests: tiny packs, a studio over them, a visitor."""

from pathlib import Path

import gradio as gr
import pytest

from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image import ImageTab
from engine.library import StyleLibrary
from tests.packs import write_packs

from .page import RUNTIME, FindIn, Visitor, save_photo


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
