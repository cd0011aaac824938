"""The examples of docs/api.md run as they stand, one after the other, and leave what they say."""

import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from demo.studio import Studio
from demo.ui import build_ui, launch_settings
from engine.library import StyleLibrary
from motion.media import probe
from motion.pack import MotionCard, save_motion_pack
from tests.motion.films import make_clip
from tests.motion.fomm import tiny
from tests.test_readme import ROOT, blocks

from .page import RUNTIME, FindIn, face, save_photo

PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
SERVED = "http://127.0.0.1:7860"
SLOWLY = "httpx_kwargs={'timeout': 120}, verbose=False"  # the machine may be busy


@pytest.fixture(scope="module")
def url(tmp_path_factory, packs: Path) -> Iterator[str]:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("server")))
        patch.setenv("STYLIZE_HOME", str(home))
        networks = (tiny.detector(), tiny.generator())
        save_motion_pack(home / "packs" / "tiny", MotionCard("tiny", tiny.SIZE), *networks)
        finder = FindIn((face(32, 20, 12),))
        studio = Studio(StyleLibrary([packs]), RUNTIME, lambda network: finder)
        page = build_ui(studio)
        _, url, _ = page.launch(prevent_thread_lock=True, **launch_settings(studio))
        yield url.rstrip("/")
        page.close()


@pytest.fixture
def files(tmp_path: Path, monkeypatch) -> Path:
    save_photo(tmp_path / "me.jpg")
    save_photo(tmp_path / "look.png", (230, 90, 40))
    make_clip(tmp_path / "clip.mp4", 1, sound=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_examples_in_python_run(url: str, files: Path):
    names: dict = {}
    left = {}
    for code in blocks(PAGE, "python"):
        exec(code.replace(f'"{SERVED}"', f'"{url}", {SLOWLY}'), names)
        endpoint = code.split('api_name="/')[1].split('"')[0]
        left[endpoint] = {key: names.get(key) for key in ("picture", "looks", "packed", "film")}
    served = names["client"].view_api(return_format="dict")["named_endpoints"]
    assert {f"/{endpoint}" for endpoint in left} == set(served), "each endpoint has its example"
    for endpoint in ("stylize_image", "apply_reference", "edit"):
        assert Image.open(left[endpoint]["picture"]).size == (200, 150)
    assert len({Path(look).read_bytes() for look in left["vary"]["looks"]}) == 3
    with zipfile.ZipFile(left["stylize_batch"]["packed"]) as packed:
        assert {"me.png", "me.json", "look.png"} <= set(packed.namelist())
    for endpoint in ("stylize_video", "animate"):
        assert probe(left[endpoint]["film"]).sounds == 1
    assert names["job"].done()


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_example_for_a_shell_runs(url: str, files: Path):
    [script] = blocks(PAGE, "sh")
    subprocess.run(["sh", "-euc", script.replace(SERVED, url)], check=True, timeout=120)
    assert Image.open("me.png").size == (200, 150)


def test_health_and_descriptions_are_served(url: str):
    assert httpx.get(f"{url}/health").json() == {"status": "ok", "styles": 2}
    assert set(httpx.get(f"{url}/gradio_api/info").json()["named_endpoints"]) > {"/stylize_image"}
