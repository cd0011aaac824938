"""train.upscale: resumes exactly, learns to be sharper than bicubic, ends in a pack."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch

from engine.base import read_base
from engine.card import UPSCALER_FILE
from engine.errors import OptionError
from engine.pack import load_pack
from engine.runtime import pick_runtime
from tests.train.test_recipes import assert_same_state, parts_of
from train import upscale
from train.losses import drawing_losses
from train.upscale import UpscaleConfig, lesson, made_small


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def config(folder: Path) -> UpscaleConfig:
    return UpscaleConfig(
        data=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        channels=8,
        layers=1,
        images=8,
        batch=4,
        sample_every=4,
        ema_images=4,
    )


def test_it_resumes_exactly_and_the_pack_has_it(config, tmp_path, monkeypatch):
    upscale.train(dataclasses.replace(config, out=str(tmp_path / "whole")))
    halves, losses = dataclasses.replace(config, out=str(tmp_path / "halves")), upscale.lesson

    def stop_soon(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return losses(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(upscale, "lesson", stop_soon)
        upscale.train(halves)
    assert parts_of(tmp_path / "halves")["cur_nimg"] == 4
    upscale.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    assert list((tmp_path / "whole").glob("*.png"))
    base = read_base(load_pack(config.base), pick_runtime())
    assert base.upscaler(torch.zeros(1, 3, 8, 8)).shape == (1, 3, 16, 16)
    record = base.pack.card.training[UPSCALER_FILE]
    assert record["recipe"] == "train.upscale" and record["images_seen"] == 8
    assert record["measured"].keys() == {"psnr_1", "psnr_bicubic_1"}


def test_it_learns_to_be_sharper_than_bicubic(config):
    """Of stripes: half a dB at least, on some it was not shown."""
    torch.manual_seed(0)
    network = upscale.Upscaler(16, 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for step in range(150):
        generator = torch.Generator().manual_seed(step)
        small, wanted = lesson(_stripes(8, generator), config, generator)
        loss = drawing_losses(network(small), wanted, None)["l1"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = upscale.measured(network, _stripes(8, torch.Generator().manual_seed(1000)))
    assert found["psnr_8"] > found["psnr_bicubic_8"] + 0.5


def test_lessons_are_the_same_place_twice(config):
    generator = torch.Generator().manual_seed(0)
    whole = dataclasses.replace(config, part=1.0, noise=0.0)
    drawings = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    small, same = lesson(drawings, whole, generator)
    assert torch.equal(same, drawings) and small.shape == (2, 3, 32, 32)
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(made_small(flat, 0.7), flat[..., :8, :8])
    assert (made_small(drawings, 1.0).std() < made_small(drawings, 0.3).std()).item()


def test_blurs_that_are_none_are_refused():
    with pytest.raises(OptionError, match=r"--least-blur 2 and --most-blur 1"):
        UpscaleConfig(least_blur=2, most_blur=1)


def _stripes(count: int, generator: torch.Generator) -> torch.Tensor:
    """Black and white stripes of random width and direction, [N, 3, 64, 64]."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    turn, speed, start = torch.rand(3, count, 1, 1, generator=generator) * 6.28
    wave = torch.sin((x * turn.cos() + y * turn.sin()) * (0.2 + speed / 30) + start)
    return (wave * 8).clamp(-1, 1)[:, None].expand(-1, 3, -1, -1).contiguous()
