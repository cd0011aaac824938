"""The benchmark on two photos and two steps."""

import json

import numpy as np
import pytest
from PIL import Image

from engine.pack import EMBEDDED_PACKS, read_card
from train.compare_inversions import main


@pytest.mark.slow
def test_benchmark_runs(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name in "ab":
        pixels = random.integers(0, 255, (128, 128, 3), dtype=np.uint8)
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{name}.png")
    out = tmp_path / "out"
    flags = ["--data", str(tmp_path / "photos"), "--out", str(out), "--count", "2", "--steps", "2"]
    assert main(flags) == 0
    numbers = json.loads((out / "numbers.json").read_text())
    assert len(numbers["methods"]) == 7 and len(capsys.readouterr().out.splitlines()) == 8
    side = read_card(EMBEDDED_PACKS / "base").resolution
    assert Image.open(out / "sheet.png").size == (8 * side, 2 * side)


def test_missing_photos_are_explained(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no pictures in" in capsys.readouterr().err
