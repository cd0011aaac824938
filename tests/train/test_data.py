"""Training pictures and their order."""

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import DataError
from train.data import batch_at, draw, load_images


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        Image.new("RGB", (8, 8), (i * 100, 0, 0)).save(tmp_path / f"{i}.png")
    (tmp_path / "data.csv").write_text("file,attribute\nx/0.png,a\nx/1.png,b\n", "utf-8-sig")
    return tmp_path


def test_pictures_and_attributes(folder):
    data = load_images(folder, 4)
    assert data.images.shape == (3, 3, 4, 4) and data.images.dtype == torch.uint8
    assert data.attributes == ("a", "b", "")
    assert data.of("b").files == ("1.png",)
    with pytest.raises(DataError, match=r"attribute 'c'; the set has \['', 'a', 'b'\]"):
        data.of("c")


def test_every_epoch_shows_every_picture_and_its_mirror():
    index, flip = batch_at(count=5, cur_nimg=10, batch=10, seed=0)
    shown = sorted(zip(index.tolist(), flip.tolist(), strict=True))
    assert shown == [(i, mirrored) for i in range(5) for mirrored in (False, True)]
    again, _ = batch_at(count=5, cur_nimg=10, batch=10, seed=0)
    other, _ = batch_at(count=5, cur_nimg=20, batch=10, seed=0)
    assert torch.equal(index, again) and not torch.equal(index, other)


def test_order_does_not_depend_on_where_batches_begin():
    whole, _ = batch_at(3, 0, 12, seed=1)
    parts = torch.cat([batch_at(3, start, 4, seed=1)[0] for start in (0, 4, 8)])
    assert torch.equal(whole, parts)


def test_drawn_pictures_are_in_range_and_mirrored(tmp_path):
    ramp = np.zeros((4, 4, 3), np.uint8)
    ramp[:, 3] = 255
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    both = draw(load_images(tmp_path, 4), 0, 2, seed=0)
    assert both.min() == -1 and both.max() == 1
    assert torch.equal(both[0], both[1].flip(2))


def test_what_cannot_be_trained_on(tmp_path):
    with pytest.raises(DataError, match="no pictures in .*train.prepare"):
        load_images(tmp_path, 4)
    Image.new("RGB", (4, 8)).save(tmp_path / "tall.png")
    with pytest.raises(DataError, match="tall.png is 4x8; aligned pictures are square"):
        load_images(tmp_path, 4)
    (tmp_path / "tall.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="tall.png cannot be read"):
        load_images(tmp_path, 4)


def test_sets_without_color_are_known(tmp_path):
    shades = np.random.default_rng(0).integers(0, 255, (8, 8), np.uint8)
    Image.fromarray(shades).convert("RGB").save(tmp_path / "a.jpg")
    assert load_images(tmp_path, 8).is_gray
    Image.new("RGB", (8, 8), (200, 150, 120)).save(tmp_path / "b.png")
    assert not load_images(tmp_path, 8).is_gray
