"""A student learns from what its teacher draws of photos, resumes exactly, ends in the pack."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.align import face_quad
from engine.card import STUDENT_FILE
from engine.errors import OptionError
from engine.library import StyleLibrary
from engine.live import RECORD, student_of
from engine.pack import load_pack
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from train import distill
from train.data import load_images
from train.distill import Lessons, jitter_matrices, moved
from train.distill_config import DistillConfig
from train.losses import drawing_losses
from train.teacher import drawn_by, face_filling, teach

from .tiny import assert_same_state, write_tiny

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny(tmp_path, pictures=8)


def small(folder: Path, **more) -> DistillConfig:
    defaults = {
        "style": str(folder / "packs" / "tuned"),
        "data": str(folder / "pictures"),
        "test": str(folder / "pictures"),
        "width": 2,
        "images": 16,
        "batch": 4,
        "sample_every": 8,
    }
    return DistillConfig(**defaults | more)


def test_resumes_bit_for_bit_and_ends_in_the_pack(folder: Path, tmp_path: Path):
    whole = small(folder, out=str(tmp_path / "whole"))
    distill.train(whole)
    halves = dataclasses.replace(whole, out=str(tmp_path / "halves"))
    half = dataclasses.replace(halves, images=8)
    with pytest.MonkeyPatch.context() as patch:  # the learning rate falls at the end of a run
        patch.setattr(distill, "cosine_fall", lambda progress: 1.0)
        distill.train(dataclasses.replace(whole, out=str(tmp_path / "flat")))
        distill.train(half)
        distill.train(halves)
    assert_same_state(tmp_path / "flat", tmp_path / "halves")
    style = StyleLibrary().load(whole.style, RUNTIME)
    assert student_of(style) is not None
    record = style.card.training[RECORD]
    assert style.card.options().surroundings == 1.0, "a student draws all of a photo"
    assert record["recipe"] == "train.distill" and record["images_seen"] == 16
    assert record["against_its_teacher"]["psnr_8"] > 0
    assert list((tmp_path / "whole").glob("samples-*.png"))
    lines = (tmp_path / "whole" / "stats.jsonl").read_text().splitlines()
    assert {"l1", "test_psnr"} <= json.loads(lines[-1]).keys()


def test_learns_to_draw_as_its_teacher(folder: Path, tmp_path: Path):
    """Of so few pictures the loss must fall by a third."""
    config = small(folder, out=str(tmp_path / "run"), images=360, width=4, jitter=0.0, noise=0.0)
    stylizer = Stylizer.load(config.style, runtime=RUNTIME)
    lessons, _ = distill.load_lessons(config, stylizer)
    x, y = lessons.all()
    distill.train(config)
    student = student_of(StyleLibrary().load(config.style, RUNTIME))
    with torch.inference_mode():
        error = (student(x) - y).abs().mean()
    assert error < 0.67 * y.abs().mean()


def test_an_earlier_student_learns_on(folder: Path, tmp_path: Path):
    config = small(folder, out=str(tmp_path / "run"))
    with pytest.raises(OptionError, match="has no student"):
        distill.first_student(dataclasses.replace(config, start_from=config.style))
    distill.train(config)
    again = dataclasses.replace(config, start_from=config.style)
    kept = load_pack(config.style).state(STUDENT_FILE)
    student = distill.first_student(again)
    assert student.training and all(p.requires_grad for p in student.parameters())
    for name, value in student.state_dict().items():
        torch.testing.assert_close(value, kept[name].to(value.dtype))
    with pytest.raises(OptionError, match="--width 2; one of --width 4"):
        distill.first_student(dataclasses.replace(again, width=4))


def test_parts_of_a_batch_have_the_gradients_of_the_whole(folder: Path):
    torch.manual_seed(0)
    drawn, wanted = torch.randn(2, 4, 3, 8, 8)
    whole = drawing_losses(drawn, wanted, None)["l1"]
    parts = [drawing_losses(drawn[i::2], wanted[i::2], None)["l1"] for i in (0, 1)]
    torch.testing.assert_close(whole, sum(parts) / 2)


def test_the_teacher_sees_the_photo_as_it_is():
    face = face_filling(64, margin=16)
    corners = np.array([[15.5, 15.5], [15.5, 79.5], [79.5, 79.5], [79.5, 15.5]])
    np.testing.assert_allclose(face_quad(face.landmarks), corners, atol=1e-4)


def test_the_teacher_is_the_style_as_its_users_see_it(folder: Path):
    stylizer = Stylizer.load(str(folder / "packs" / "tuned"), runtime=RUNTIME)
    photos = load_images(folder / "pictures", 64)
    photo = photos.images[0].permute(1, 2, 0).numpy()
    drawn = teach(stylizer, photo)
    padded = np.pad(photo, ((16, 16), (16, 16), (0, 0)), mode="reflect")
    [portrait] = stylizer.encode(padded, [face_filling(64, 16)])
    assert np.array_equal(drawn, stylizer.render(portrait))
    inside = portrait.face.crop[4:-4, 4:-4].astype(int)
    seen = photo.reshape(32, 2, 32, 2, 3).mean((1, 3))[4:-4, 4:-4]
    assert np.abs(inside - seen).mean() < 8


def test_drawings_are_kept_until_the_teacher_changes(folder: Path, tmp_path: Path):
    stylizer = Stylizer.load(str(folder / "packs" / "tuned"), runtime=RUNTIME)
    photos, file = load_images(folder / "pictures", 64), tmp_path / "teacher.safetensors"
    drawings = drawn_by(stylizer, photos, file)
    written = file.stat().st_mtime_ns
    assert torch.equal(drawn_by(stylizer, photos, file), drawings)
    assert file.stat().st_mtime_ns == written
    fewer = dataclasses.replace(photos, images=photos.images[:2], files=photos.files[:2])
    assert len(drawn_by(stylizer, fewer, file)) == 2


def test_photo_and_drawing_move_together():
    generator = torch.Generator().manual_seed(0)
    matrix = jitter_matrices(6, 0.1, generator)
    x = torch.rand(6, 3, 32, 32, generator=generator)
    torch.testing.assert_close(moved(x, matrix)[::2], x[::2])  # every second one is left alone
    assert (moved(x, matrix)[1::2] - x[1::2]).abs().mean() > 0.05
    square = moved(x, matrix, (3, 5, 8))
    torch.testing.assert_close(square, moved(x, matrix)[..., 3:11, 5:13])
    config = DistillConfig(batch=6, jitter=0.1, noise=0.0)
    smooth = torch.nn.functional.interpolate(x[:, :, ::4, ::4], scale_factor=8, mode="bilinear")
    photos = (smooth * 255).byte()
    half = torch.nn.functional.avg_pool2d(photos.float(), 2).byte()
    photo, drawing = Lessons(photos, half).at(0, config, generator)
    assert (photo - drawing).abs().mean() < 0.02


def test_settings_are_checked(folder: Path):
    with pytest.raises(OptionError, match="--jitter 2"):
        DistillConfig(jitter=2)
    with pytest.raises(OptionError, match="at most 5 MB are accepted"):
        distill.train(small(folder, width=64))
