"""`python -m demo.doctor list` and `fetch`: what is shown, and that nothing comes unasked."""

import sys

import pytest

from demo.doctor.command import main
from engine import catalogue
from engine.catalogue import public_files
from tests.engine.download.server import serve

BODY = b"weights" * 100_000


@pytest.fixture
def site():
    with serve() as site:
        yield site


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STYLIZE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("STYLIZE_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        code = main(list(words))
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture
def thing(site, monkeypatch):
    """An entry of the catalogue that the local server has."""
    entry = catalogue.PublicFile(
        *("thing", "A thing", "thing.pt", (site.put("/thing", BODY),), "Some Licence", True),
        *("psp", "a W+ encoder", "https://example.org"),
    )
    monkeypatch.setattr(catalogue, "public_files", lambda: {"thing": entry})
    return entry


def test_the_list(run, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "ffhq.pkl").write_bytes(b"x")
    (tmp_path / "weights" / "e4e_ffhq_encode.pt").write_bytes(b"too short")
    code, text, _ = run("list")
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert code == 0 and set(public_files()) < set(lines)
    assert "1,201.6 MB  not commercial  no " in lines["e4e-ffhq"]
    assert "unknown  not commercial  yes " in lines["stylegan2-ffhq-ada"]
    assert "about 221 MB  not commercial  by hand " in lines["agilegan-oil"]
    titles = {
        line.index(public_files()[name].title)
        for name, line in lines.items()
        if name in public_files()
    }
    assert len(titles) == 1, "columns are aligned"


def test_fetch_with_consent(run, thing, site, tmp_path):
    code, text, _ = run("fetch", "thing", "--yes")
    path = tmp_path / "weights" / "thing.pt"
    assert code == 0 and path.read_bytes() == BODY
    assert "Some Licence: no commercial use" in text and site.root in text
    assert f"Next: python -m demo.doctor import {path} --kind psp" in text
    code, text, _ = run("fetch", "thing")
    assert code == 0 and f"thing is at {path}" in text, "what is there needs no consent"
    assert len(site.seen) == 1


def test_nobody_to_ask(run, thing, site):
    code, text, error = run("fetch", "thing")
    assert code == 1 and "Some Licence" in text
    assert "nobody is there to ask: run this in a terminal, or add --yes" in error
    assert site.seen == []


@pytest.mark.parametrize("answer, code", [("y", 0), ("", 1), ("no", 1)])
def test_the_question(run, thing, site, monkeypatch, answer, code):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert run("fetch", "thing")[0] == code
    assert len(site.seen) == (code == 0)


def test_failures_are_told(run, thing, site, tmp_path):
    site.put("/thing", b"<html>quota exceeded", headers={"Content-Type": "text/html"})
    code, _, error = run("fetch", "thing", "--yes", "--folder", str(tmp_path / "f"))
    assert code == 1 and "quota for this file is exhausted" in error
    assert "open https://example.org in a browser" in error
    assert run("fetch", "thinq")[2].startswith("error: no public file 'thinq' is known: did you")


def test_interrupted(run, thing, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("demo.doctor.weights.fetch", interrupt)
    assert run("fetch", "thing", "--yes")[0] == 130


def test_only_for_browsers(run):
    code, _, error = run("fetch", "agilegan-oil")
    assert code == 1 and "offered to browsers only" in error
