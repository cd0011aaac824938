"""The Space and the container: what they are laid out from, checked as far as can be from here."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app import parse_arguments
from demo.space import COPIED, HEADER, ROOT, lay_out
from engine.errors import OptionError

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which comes with Gradio")
NEEDED = {
    *("title", "emoji", "colorFrom", "colorTo", "sdk", "sdk_version", "python_version", "app_file"),
    *("short_description", "license", "suggested_hardware", "fullWidth", "header", "pinned"),
}
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


def header(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8").split("---\n")[1])


def test_a_space_is_laid_out_and_starts(tmp_path: Path):
    lay_out(tmp_path / "space")
    lay_out(tmp_path / "space")  # over an earlier one
    found = {path.name for path in (tmp_path / "space").iterdir()}
    assert found == {*COPIED, "README.md", "packages.txt"}
    assert not list((tmp_path / "space").rglob("__pycache__"))
    command = [sys.executable, "app.py", "--help"]
    subprocess.run(command, cwd=tmp_path / "space", check=True, capture_output=True)
    (tmp_path / "thesis.odt").write_text("mine")
    with pytest.raises(OptionError, match="holds space, thesis.odt"):
        lay_out(tmp_path)


def test_the_header_says_what_a_space_needs():
    found = header(HEADER / "README.md")
    assert set(found) >= NEEDED and found["sdk"] == "gradio" and found["header"] == "mini"
    assert (ROOT / found["app_file"]).is_file() and isinstance(found["python_version"], str)
    assert {found["colorFrom"], found["colorTo"]} <= COLORS
    assert len(found["short_description"]) <= 60 and found["license"] == "apache-2.0"
    [least] = re.findall(r"^gradio>=([\d.]+)", (ROOT / "requirements.txt").read_text(), re.M)
    assert found["sdk_version"].startswith(least), "the Space runs what the project needs"
    assert not (ROOT / "README.md").read_text("utf-8").startswith("---")


def test_on_a_space_everyone_reaches_the_page_and_nobody_trains(monkeypatch):
    assert parse_arguments([]).host == "127.0.0.1"
    monkeypatch.setenv("SPACE_ID", "someone/stylize")
    assert parse_arguments([]).host == "0.0.0.0" and parse_arguments([]).train is None


def test_the_container_runs_as_nobody_special_with_all_it_needs():
    text = (ROOT / "deploy" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines() if line and line[0] != "#"]
    kinds = [kind for kind, _ in steps]
    assert kinds[0] == "FROM" and ":" in steps[0][1] and "latest" not in steps[0][1]
    assert kinds.index("USER") < kinds.index("CMD") and ["USER", "root"] not in steps
    assert "HEALTHCHECK" in kinds and "ADD" not in kinds
    copied = {word for kind, rest in steps if kind == "COPY" for word in rest.split()[:-1]}
    assert copied >= set(COPIED) and all((ROOT / path).exists() for path in copied)
    last = steps[-1][1]
    assert last.startswith("[") and parse_arguments(json.loads(last)[2:]).host == "0.0.0.0"
    for kind, rest in steps[kinds.index("USER") :]:
        assert "install" not in rest and kind != "RUN", "nothing is fetched after the build"
