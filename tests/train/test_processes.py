"""Two processes started by torchrun (gloo) train as one process does with the same shares."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.train.test_recipes import small
from tests.train.test_transfer import assert_same_gradients, assert_same_moments
from train import encoder, pairs, pretrain, style_encoder, transfer
from train.encoder_config import EncoderConfig
from train.pairs import PairsConfig, load_pairs
from train.style_encoder import StyleEncoderConfig
from train.transfer_config import TransferConfig

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def files(folder):
    """What every recipe of these starts from."""
    return {
        "data": str(folder / "pictures"),
        "base": str(folder / "packs" / "base"),
        "perceptual": str(folder / "net.npz"),
    }


def run_processes(recipe, config, count=2):
    flags = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        flags += [f"--{field.name.replace('_', '-')}", str(value)] if value != "" else []
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(count)]
    command += ["--master-port", "0", "--standalone", "-m", f"train.{recipe}", *flags]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=280)


def test_transfer(files, tmp_path):
    more = {"batch": 8, "iterations": 2, "ada_p": 0.3, "ada_speed": 1000.0, "lr": 1e-6}
    lazy = {"r1_interval": 2, "path_interval": 2, "sample_every": 2, "choose_every": 0}
    config = TransferConfig(**files, **more, **lazy, path_until=16)
    transfer.train(dataclasses.replace(config, out=str(tmp_path / "one")))
    two = dataclasses.replace(config, out=str(tmp_path / "two"))
    for iterations in (1, 2):  # stopped in between, and resumed
        run_processes("transfer", dataclasses.replace(two, iterations=iterations))
    assert_same_gradients(tmp_path / "one", tmp_path / "two")
    lines = [
        json.loads(line) for line in (tmp_path / "two" / "stats.jsonl").read_text().splitlines()
    ]
    assert [line["cur_nimg"] for line in lines] == [8, 16]  # one process wrote


def test_encoder(files, tmp_path):
    """Batch statistics are those of a share, so that one process takes the same two."""
    config = EncoderConfig(
        **files, init="narrow", epochs=1, batch=12, sample_every=12, lr=1e-7, space="w+"
    )
    encoder.train(dataclasses.replace(config, out=str(tmp_path / "one"), accumulate=2))
    run_processes("encoder", dataclasses.replace(config, out=str(tmp_path / "two")))
    assert_same_moments(tmp_path / "one", tmp_path / "two", ["optimizer"])


def test_style_encoder(files, tmp_path):
    config = StyleEncoderConfig(
        data=files["data"], base=files["base"], iterations=2, batch=4, lr=1e-6, sample_every=2
    )
    style_encoder.train(dataclasses.replace(config, out=str(tmp_path / "one")))
    run_processes("style_encoder", dataclasses.replace(config, out=str(tmp_path / "two")))
    assert_same_moments(tmp_path / "one", tmp_path / "two", ["optimizer"])


def test_pairs(files, folder, tmp_path):
    """Each process searches its own batches; the first one puts them together."""
    tuned = str(folder / "packs" / "tuned")
    lazy = {"iterations": 1, "batch": 2, "choose_every": 0, "path_until": 16}
    transfer.train(TransferConfig(**files, **lazy, out=str(tmp_path / "style"), pack=tuned))
    config = PairsConfig(
        data=files["data"],
        tuned=tuned,
        perceptual=files["perceptual"],
        steps=2,
        refine_steps=2,
        batch=3,
        size=64,
        limit=6,
    )
    pairs.train(dataclasses.replace(config, out=str(tmp_path / "one")))
    run_processes("pairs", dataclasses.replace(config, out=str(tmp_path / "two")))
    one, two = (load_pairs(tmp_path / name) for name in ("one", "two"))
    assert one.files == two.files
    for level, codes in one.codes.items():
        torch.testing.assert_close(two.codes[level], codes, rtol=0, atol=0.01)  # Adam, rounded


def test_pretrain(files, folder, tmp_path):
    config = small(folder, batch=8, images=16, lr=1e-6, encoder_lr=1e-6)
    config = dataclasses.replace(config, perceptual=files["perceptual"])
    pretrain.train(dataclasses.replace(config, out=str(tmp_path / "one"), accumulate=2))
    run_processes("pretrain", dataclasses.replace(config, out=str(tmp_path / "two")))
    assert_same_moments(tmp_path / "one", tmp_path / "two", ["opt_G", "opt_D", "opt_E"])
