"""What results say about how they were made, and how the doctor and the page read it back."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from demo import doctor
from demo.statement import SILENT, read_statement, write_picture
from engine.errors import ImageError
from engine.provenance import COMPOSITE, GENERATED, PNG_KEY

PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
XMP = {"xmp", PNG_KEY}  # all the metadata a result has


@pytest.mark.parametrize("source", [GENERATED, COMPOSITE])
def test_a_result_says_how_it_was_made(tmp_path: Path, source: str):
    write_picture(tmp_path / "a.png", PICTURE, None, source)
    rows = dict(read_statement(tmp_path / "a.png"))
    assert source in rows["Made"] and "trained network" in rows["Made"]
    assert rows["Program"] == "stylize" and rows["Content credentials"] == "none"
    with Image.open(tmp_path / "a.png") as image:
        assert set(image.info) == XMP


def test_the_switch_and_photos_left_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_picture(tmp_path / "a.png", PICTURE, None, None)
    monkeypatch.setenv("STYLIZE_MARK", "off")
    write_picture(tmp_path / "b.png", PICTURE)
    for name in ("a.png", "b.png"):
        assert dict(read_statement(tmp_path / name))["Made"] == SILENT


def test_a_key_without_its_files_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STYLIZE_C2PA_CERT", str(tmp_path / "none.pem"))
    monkeypatch.setenv("STYLIZE_C2PA_KEY", str(tmp_path / "none.pem"))
    with pytest.raises(ImageError, match="STYLIZE_C2PA_CERT"):
        write_picture(tmp_path / "a.png", PICTURE)
    monkeypatch.setenv("STYLIZE_MARK", "off")
    write_picture(tmp_path / "a.png", PICTURE)


def test_the_doctor_reads_files(tmp_path: Path, capsys):
    write_picture(tmp_path / "a.png", PICTURE)
    (tmp_path / "b.png").write_text("Dear Sir")
    assert doctor.main(["verify", str(tmp_path / "a.png")]) == 0
    assert "parts that a trained network drew" in capsys.readouterr().out
    assert doctor.main(["verify", *(str(tmp_path / n) for n in ("b.png", "a.png"))]) == 1
    said = capsys.readouterr()
    assert "b.png cannot be read" in said.err and "Program" in said.out
