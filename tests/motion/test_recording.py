"""Recorded motion: smoothing, and templates that are safe to read."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.errors import MediaError
from motion.fomm import Keypoints
from motion.recording import Motion, load_motion, save_motion

COUNT, RATE = 30, Fraction(30000, 1001)


def motion(noise: float = 0.0) -> Motion:
    random = torch.Generator().manual_seed(0)
    path = torch.linspace(-0.2, 0.3, COUNT)[:, None, None].expand(-1, 3, 2)
    value = path + noise * torch.randn(COUNT, 3, 2, generator=random)
    jacobian = torch.eye(2).expand(COUNT, 3, 2, 2).clone()
    times = tuple(i / RATE for i in range(COUNT))
    return Motion(Keypoints(value, jacobian), times, COUNT / RATE, 64, "ab" * 32)


def test_smoothing_has_no_delay_and_removes_jitter():
    steady = motion()
    assert torch.allclose(
        steady.smoothed(0.1).keypoints.value, steady.keypoints.value, atol=1e-5
    ), "even movement stays"
    shaking = motion(noise=0.02)
    before = (shaking.keypoints.value - steady.keypoints.value).square().mean()
    after = (shaking.smoothed(0.1).keypoints.value - steady.keypoints.value).square().mean()
    assert after < 0.3 * before
    assert shaking.smoothed(0.0) is shaking


def test_a_template_is_read_back_exactly(tmp_path):
    original = motion(noise=0.02)
    save_motion(original, tmp_path / "nod.safetensors")
    again = load_motion(tmp_path / "nod.safetensors")
    assert torch.equal(again.keypoints.value, original.keypoints.value)
    assert torch.equal(again.keypoints.jacobian, original.keypoints.jacobian)
    assert replace(again, keypoints=original.keypoints) == original
    assert again.rate == pytest.approx(29.97, abs=0.001)
    assert len(list(tmp_path.iterdir())) == 1, "no partial file remains"


def test_templates_cannot_be_written_everywhere(tmp_path):
    with pytest.raises(MediaError, match="cannot write the template"):
        save_motion(motion(), tmp_path / "none" / "nod.safetensors")


def changed(path, tensors: dict, metadata: dict) -> None:
    save_motion(motion(), path)
    with safe_open(str(path), framework="pt") as file:
        old = {name: file.get_tensor(name) for name in file.keys()}
        about = file.metadata()
    new = {name: value for name, value in {**old, **tensors}.items() if value is not None}
    save_file(new, path, {**about, **metadata})


@pytest.mark.parametrize(
    "tensors, metadata, message",
    [
        ({}, {"format": "other"}, "its format is 'other'"),
        ({}, {"version": "2"}, "its format is"),
        ({}, {"size": "0"}, "its size is '0'"),
        ({}, {"size": "9" * 999}, "its size is '999"),
        ({"value": None}, {}, "it holds jacobian, times"),
        ({"more": torch.zeros(1)}, {}, "it holds jacobian, more"),
        ({"value": torch.zeros(COUNT, 4, 2)}, {}, "its tensors have the shapes"),
        ({"value": torch.zeros(COUNT)}, {}, "of 0 keypoints"),
        ({"value": torch.full((COUNT, 3, 2), torch.nan)}, {}, "beyond 100"),
        ({"value": torch.full((COUNT, 3, 2), 1e9)}, {}, "beyond 100"),
        ({"value": torch.zeros(COUNT, 3, 2, dtype=torch.float64)}, {}, "float64"),
        ({"times": torch.zeros(COUNT + 1, 2, dtype=torch.int64)}, {}, "no fractions"),
        ({"times": torch.ones(COUNT + 1, 2, dtype=torch.int64)}, {}, "do not grow"),
        ({"times": torch.ones(COUNT + 1, 2)}, {}, "no fractions"),
        ({"times": torch.ones(0, 2, dtype=torch.int64)}, {}, "-1 frames"),
    ],
)
def test_templates_that_are_refused(tmp_path, tensors, metadata, message):
    changed(tmp_path / "x.safetensors", tensors, metadata)
    with pytest.raises(MediaError, match=f"is no motion template: {message}|{message}"):
        load_motion(tmp_path / "x.safetensors")


def test_files_that_are_no_templates(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"\xff" * 100)
    for path in (tmp_path / "x.safetensors", tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(MediaError, match="is no motion template"):
            load_motion(path)
