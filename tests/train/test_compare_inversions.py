"""SSIM by known values, and the benchmark on two photos and two steps."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from train.compare_inversions import main, ssim


def test_ssim_of_known_pictures():
    x = torch.rand(2, 3, 24, 24) * 2 - 1
    assert ssim(x, x).tolist() == pytest.approx([1, 1])
    dark, light = torch.full((1, 3, 16, 16), -0.6), torch.full((1, 3, 16, 16), 0.2)
    assert ssim(dark, light).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.4 + 1e-4))
    assert ssim(x, -x).max() < 0


def test_ssim_agrees_with_scipy():
    a, b = np.random.default_rng(0).random((2, 32, 32))

    def mean(x):
        return gaussian_filter(x, 1.5, truncate=5 / 1.5)[5:-5, 5:-5]

    covariance = mean(a * b) - mean(a) * mean(b)
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    means = (2 * mean(a) * mean(b) + 1e-4) / (mean(a) ** 2 + mean(b) ** 2 + 1e-4)
    expected = (means * (2 * covariance + 9e-4) / (variances + 9e-4)).mean()
    pictures = [torch.from_numpy(x * 2 - 1).float().expand(1, 3, -1, -1) for x in (a, b)]
    assert ssim(*pictures).item() == pytest.approx(expected, abs=1e-5)


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
    assert Image.open(out / "sheet.png").size == (8 * 128, 2 * 128)


def test_missing_photos_are_explained(tmp_path, capsys):
    assert main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 1
    assert "no pictures in" in capsys.readouterr().err
