"""`python -m demo.sheet`: one row per photo, one column per style."""

import numpy as np
import pytest
from PIL import Image

from demo import sheet
from engine.detect import face_from_points
from engine.pipeline import Stylizer
from tests.packs import write_packs


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    face = face_from_points((24, 18), (40, 18), (32, 32))
    monkeypatch.setattr(Stylizer, "detect", lambda self, rgb: [face] if rgb.any() else [])
    packs = write_packs(tmp_path / "packs")

    def run(*words):
        setup = ("--packs", str(packs), "--device", "cpu", "--dtype", "float32", "--tile", "32")
        code = sheet.main([str(tmp_path / "sheet.png"), *map(str, words), *setup])
        return code, capsys.readouterr()

    return run


def test_rows_and_columns(run, tmp_path):
    Image.new("RGB", (64, 48), (180, 120, 90)).save(tmp_path / "a.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "b.png")
    styles = ("-s", "cartoon", "-s", "comic:second", "-s", "comic")
    code, output = run(*styles, tmp_path / "a.png", tmp_path / "b.png")
    assert code == 1 and "2 photos, 1 without a result" in output.out
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    step = 32 + sheet.GAP
    assert picture.shape == (sheet.HEADER_HEIGHT + 2 * step, sheet.LABEL_WIDTH + 5 * step, 3)
    tiles = [
        picture[sheet.HEADER_HEIGHT :][:32, sheet.LABEL_WIDTH + i * step :][:, :32]
        for i in range(5)
    ]
    assert len({tile.tobytes() for tile in tiles}) == 5


def test_unknown_attribute(run, tmp_path):
    Image.new("RGB", (64, 48), (180, 120, 90)).save(tmp_path / "a.png")
    code, output = run("-s", "comic:third", tmp_path / "a.png")
    assert code == 2 and "style comic has first, second" in output.err
