"""The GAN recipes on 16 px pictures: they run, resume exactly, and end in packs that load."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from engine.errors import DataError, OptionError, TrainingError
from engine.library import StyleLibrary
from engine.models import perceptual
from engine.pipeline import Stylizer
from engine.runtime import pick_runtime
from train import encoder, pretrain, transfer
from train.encoder import EncoderConfig
from train.packs import load_source
from train.pretrain_config import PretrainConfig
from train.transfer import TransferConfig

SIZE = 64  # the smallest that the perceptual network takes


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve pictures with an attribute each, and a perceptual network of drawn weights."""
    folder = tmp_path_factory.mktemp("data")
    pictures = folder / "pictures"
    pictures.mkdir()
    random = np.random.default_rng(0)
    rows = ["file,attribute"]
    for i in range(12):
        tile = random.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(tile).resize((SIZE, SIZE)).save(pictures / f"{i}.png")
        rows.append(f"{i}.png,{'left' if i % 2 else 'right'}")
    (pictures / "data.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(autouse=True)
def drawn_perceptual(monkeypatch):
    """The recipes ask for a file of public weights; a network of drawn ones does for a test."""

    def drawn(path):
        torch.manual_seed(0)
        return perceptual.SqueezeNet().eval().requires_grad_(False)

    monkeypatch.setattr(perceptual.SqueezeNet, "from_npz", drawn)


def small(folder, **more):
    defaults = {
        "data": str(folder / "pictures"),
        "resolution": SIZE,
        "channel_base": 256,
        "discriminator_base": 256,
        "channel_max": 16,
        "mapping_layers": 2,
        "batch": 4,
        "images": 16,
        "r1_interval": 2,
        "path_interval": 2,
        "sample_every": 8,
        "reconstruct": 1.0,
        "encoder_size": 64,
    }
    return PretrainConfig(**defaults | more)


@pytest.fixture(scope="module")
def base(folder):
    """A base pack made by train.pretrain."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(perceptual.SqueezeNet, "from_npz", lambda path: perceptual.SqueezeNet())
        patch.setenv("STYLIZE_DTYPE", "float32")
        pack = folder / "packs" / "base"
        pretrain.train(small(folder, out=str(folder / "base-run"), pack=str(pack)))
    return pack


def parts_of(out):
    return torch.load(out / "state.pt", weights_only=True)


def assert_same_state(a, b):
    first, second = parts_of(a), parts_of(b)
    assert first["cur_nimg"] == second["cur_nimg"]
    for name in first["parts"]:
        flat = dict(_leaves(first["parts"][name], name))
        for key, value in _leaves(second["parts"][name], name):
            equal = torch.equal(flat[key], value) if torch.is_tensor(value) else flat[key] == value
            assert equal, key


def _leaves(part, name):
    if isinstance(part, dict):
        for key, value in part.items():
            yield from _leaves(value, f"{name}/{key}")
    elif isinstance(part, (list, tuple)):
        for i, value in enumerate(part):
            yield from _leaves(value, f"{name}/{i}")
    else:
        yield name, part


@pytest.mark.parametrize("more", [{}, {"reconstruct": 0.0}, {"warmup": 8}])
def test_pretrain_resumes_bit_for_bit(folder, tmp_path, more):
    config = small(folder, out=str(tmp_path / "whole"), **more)
    pretrain.train(config)
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    pretrain.train(dataclasses.replace(halves, images=8))
    pretrain.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    assert json.loads((tmp_path / "halves" / "config.json").read_text())["images"] == 16
    assert list((tmp_path / "whole").glob("samples-*.png"))


@pytest.mark.parametrize("reconstruct", [0.0, 1.0])
def test_pretrain_in_parts_has_the_gradients_of_the_whole(
    folder, tmp_path, monkeypatch, reconstruct
):
    """Batch statistics apart, which are left out here."""
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: x * self.weight[:, None, None])
    more = {"batch": 8, "images": 16, "lr": 1e-6, "encoder_lr": 1e-6, "reconstruct": reconstruct}
    for count in (1, 2):
        out = str(tmp_path / str(count))
        pretrain.train(small(folder, out=out, accumulate=count, **more))
    whole, parts = (parts_of(tmp_path / name)["parts"] for name in "12")
    for name in ("opt_G", "opt_D", "opt_E"):
        for i, state in whole[name]["state"].items():
            value, other = state["exp_avg_sq"], parts[name]["state"][i]["exp_avg_sq"]
            error = (value - other).abs().max() / value.abs().max().clamp_min(1e-6)
            assert error < 1e-3, f"{name} {i}"


def test_pretrain_grows(folder, base, tmp_path):
    """The blocks of the smaller network are taken over, and the new one starts silent."""
    config = small(
        folder,
        resolution=2 * SIZE,
        grow_from=str(folder / "base-run" / "state.pt"),
        out=str(tmp_path),
    )
    nets = pretrain.Networks(config, pick_runtime())
    small_G = parts_of(folder / "base-run")["parts"]["G_ema"]
    grown = nets.G.state_dict()
    assert torch.equal(grown["synthesis.b64.conv1.weight"], small_G["synthesis.b64.conv1.weight"])
    assert not grown["synthesis.b128.torgb.weight"].any()


def test_base_pack_loads_as_it_was_trained(base):
    source = load_source(base)
    assert source.G.resolution == SIZE
    assert source.E.num_ws == source.G.num_ws == 10
    assert not source.E.training  # a posterior must not depend on the other photos of its chunk


def test_encoder_resumes_and_updates_the_pack(folder, base, tmp_path):
    config = EncoderConfig(
        data=str(folder / "pictures"), base=str(base), epochs=1, batch=4, out=str(tmp_path / "a")
    )
    before = load_source(base).E.state_dict()
    generator_hash = load_source(base).reference["sha256"]
    encoder.train(config)
    after = load_source(base)
    assert any(not torch.equal(before[k], v) for k, v in after.E.state_dict().items())
    assert after.reference["sha256"] == generator_hash  # styles of this base still fit
    assert parts_of(tmp_path / "a")["cur_nimg"] == 24  # one epoch, mirrored


@pytest.fixture(scope="module")
def style_config(folder, base):
    return TransferConfig(
        data=str(folder / "pictures"),
        base=str(base),
        photos=str(folder / "pictures"),
        attributes="left,right",
        path_until=16,
        iterations=4,
        batch=2,
        r1_interval=2,
        path_interval=2,
        sample_every=2,
        choose_every=0,
    )


def test_transfer_resumes_bit_for_bit(style_config, tmp_path):
    transfer.train(dataclasses.replace(style_config, out=str(tmp_path / "whole")))
    halves = dataclasses.replace(style_config, out=str(tmp_path / "halves"))
    transfer.train(dataclasses.replace(halves, iterations=2))
    transfer.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def test_transfer_ends_in_a_style(style_config, folder, tmp_path):
    pack = folder / "packs" / "sketch"
    config = dataclasses.replace(style_config, out=str(tmp_path), pack=str(pack))
    transfer.train(config)
    style = StyleLibrary([folder / "packs"]).load("sketch", pick_runtime())
    assert style.card.attributes == ("left", "right")
    assert style.card.training["exemplars"] == {"left": 6, "right": 6}
    ws = style.base.generator.ws(torch.randn(1, 512))
    left, right = (style.synthesize(ws, path=path) for path in (0, 1))
    assert not torch.equal(left, right)
    assert Stylizer(style).card.name == "sketch"


def test_transfer_keeps_the_mapping(style_config, base, tmp_path):
    transfer.train(dataclasses.replace(style_config, out=str(tmp_path)))
    trained = parts_of(tmp_path)["parts"]["G"]
    for name, value in load_source(base).G.state_dict().items():
        if name.startswith("mapping."):
            assert torch.equal(trained[name], value), name


def test_another_configuration_is_refused(folder, tmp_path):
    pretrain.train(small(folder, out=str(tmp_path), images=4))
    with pytest.raises(TrainingError, match="does not fit this configuration"):
        pretrain.train(small(folder, out=str(tmp_path), images=8, channel_max=8))


def test_bad_settings_are_refused(folder, style_config, tmp_path):
    with pytest.raises(OptionError, match="--resolution 48"):
        PretrainConfig(resolution=48)
    with pytest.raises(OptionError, match="--photo-share 2"):
        TransferConfig(photo_share=2)
    with pytest.raises(DataError, match="'old'"):
        config = dataclasses.replace(style_config, attributes="old", out=str(tmp_path))
        transfer.train(config)
    with pytest.raises(DataError, match="name one with --data"):
        pretrain.train(small(folder, out=str(tmp_path), data=""))
