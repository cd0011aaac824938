"""Squared error, PSNR and SSIM by known values and against scikit-image."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from engine.errors import ImageError
from train.metrics import psnr, squared_error, ssim


def pictures(seed, size=24):
    noise = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return noise * 2 - 1


def test_known_pictures():
    x = pictures(0)
    assert ssim(x, x).tolist() == pytest.approx([1, 1])
    assert psnr(x, x).isinf().all() and squared_error(x, x).tolist() == [0, 0]
    dark, light = torch.full((1, 3, 16, 16), -0.6), torch.full((1, 3, 16, 16), 0.2)
    assert ssim(dark, light).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.4 + 1e-4))
    assert squared_error(dark, light).item() == pytest.approx(0.64)
    assert psnr(dark, light).item() == pytest.approx(10 * np.log10(4 / 0.64))
    assert ssim(x, -x).max() < 0


def test_values_out_of_range_count_as_the_ends():
    x = pictures(0)
    white = torch.ones_like(x)
    assert torch.equal(squared_error(x, white + 1), squared_error(x, white))


def test_agree_with_scikit_image():
    a, b = pictures(0), (pictures(0) + pictures(1)) / 2
    unit = ((x.double().numpy() + 1) / 2 for x in (a, b))  # SSIM sees how bright a picture is
    for i, (x, y) in enumerate(zip(*unit, strict=True)):
        settings = {"data_range": 1, "gaussian_weights": True, "sigma": 1.5, "channel_axis": 0}
        whole = structural_similarity(x, y, use_sample_covariance=False, full=True, **settings)[1]
        inside = whole[:, 5:-5, 5:-5].mean()
        assert ssim(a, b)[i].item() == pytest.approx(inside, abs=1e-6)
        expected = peak_signal_noise_ratio(x, y, data_range=1)
        assert psnr(a, b)[i].item() == pytest.approx(expected, rel=1e-6)


def test_errors_say_what_is_accepted():
    with pytest.raises(ImageError, match=r"\[2, 3, 24, 24\] and \[2, 3, 16, 16\]; both need"):
        psnr(pictures(0), pictures(0, 16))
    with pytest.raises(ImageError, match="at least 11 px"):
        ssim(pictures(0, 8), pictures(0, 8))
