"""train.encoder: every space and optimizer resumes exactly and ends in a pack that encodes."""

import dataclasses
import os
import signal

import pytest
import torch
from torch import nn

from engine.base import read_base
from engine.errors import OptionError
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.pack import load_pack
from engine.runtime import pick_runtime
from tests.train.test_recipes import assert_same_state, parts_of
from train import encoder
from train.data import as_float, load_images
from train.encoder_config import PRESETS, EncoderConfig
from train.fitted_encoder import fit_to
from train.packs import load_source
from train.ranger import Ranger

CASES = {
    "z+": {},
    "z+ deterministic": {"variational": False, "face_weight": 0.5},
    "z": {"space": "z"},
    "w": {"space": "w", "w_norm_weight": 0.005},
    "w+ psp": {"space": "w+", "optimizer": "ranger", "w_norm_weight": 0.005},
}


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def config(folder):
    return EncoderConfig(
        data=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        init="narrow",
        epochs=1,
        batch=12,
        sample_every=12,
    )


def interrupted(config, monkeypatch):
    """Train as if Ctrl-C was pressed in the first step."""
    losses = encoder.encoder_losses

    def stop_soon(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return losses(*args)

    with monkeypatch.context() as patch:
        patch.setattr(encoder, "encoder_losses", stop_soon)
        encoder.train(config)


@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
def test_every_space_resumes_and_encodes(config, tmp_path, monkeypatch, more):
    config = dataclasses.replace(config, **more)
    encoder.train(dataclasses.replace(config, out=str(tmp_path / "whole")))
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    interrupted(halves, monkeypatch)
    assert parts_of(tmp_path / "halves")["cur_nimg"] == 12
    encoder.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")

    base = read_base(load_pack(config.base), pick_runtime())
    network = base.encoder_into(config.space)
    assert network.input_size == 64 and network.variational == config.has_posterior
    codes = base.encode(torch.zeros(1, 3, 64, 64), config.space)
    assert codes.ws.shape == (1, 10, 512)
    assert (codes.logvar is not None) == config.has_posterior


def test_shares_give_the_gradients_of_the_whole_batch(config, folder, tmp_path, monkeypatch):
    """Samples of the posterior are those of the batch; batch statistics are left out here."""
    monkeypatch.setattr(nn.BatchNorm2d, "forward", lambda self, x: x * self.weight[:, None, None])
    for count in (1, 3):
        out = str(tmp_path / str(count))
        encoder.train(dataclasses.replace(config, accumulate=count, out=out, lr=1e-7))
    first, second = (parts_of(tmp_path / name)["parts"]["optimizer"]["state"] for name in "13")
    for i, state in first.items():
        error = (second[i]["exp_avg"] - state["exp_avg"]).abs().max()
        assert error <= 1e-3 * state["exp_avg"].abs().max().clamp_min(1e-5), i


def test_other_encoders_of_the_base_stay(config, folder, tmp_path):
    before = load_source(config.base).E.state_dict()
    encoder.train(dataclasses.replace(config, space="w", out=str(tmp_path)))
    source = load_source(config.base)
    assert all(torch.equal(before[k], v) for k, v in source.E.state_dict().items())
    assert source.encoder_into("w").latent_avg is not None
    again = dataclasses.replace(config, space="w", init="pack", out=str(tmp_path / "again"))
    assert encoder.new_encoder(again, source).training


def test_heads_are_solved_for_from_the_first_encoder(config, tmp_path):
    source = load_source(config.base)
    photos = load_images(config.data, 64)
    fitted = dataclasses.replace(config, space="w+", init="fitted", epochs=0)
    E = encoder.new_encoder(fitted, source)

    def ws(codes):
        return encoder.ws_of(source.G, codes, "z+").detach()

    share = fit_to(E, source.E, photos, ws)
    assert 0.9 < share <= 1, "six photos, mirrored, and many more numbers"
    x = as_float(photos.images)
    with torch.no_grad():
        wanted, found = ws(source.E.eval()(x)), E(x)
    error = (found - wanted).square().mean() / (wanted - wanted.mean(0)).square().mean()
    assert error < 0.2
    encoder.train(dataclasses.replace(fitted, out=str(tmp_path)))
    packed = load_source(config.base).encoder_into("w+")
    torch.testing.assert_close(packed(x), found, atol=0.05, rtol=0.05)


def test_an_encoder_into_w_begins_with_the_layers_of_the_first_and_the_average(config, tmp_path):
    fitted = dataclasses.replace(config, space="w", init="fitted", epochs=0, out=str(tmp_path))
    encoder.train(fitted)
    source = load_source(config.base)
    E, x = source.encoder_into("w"), as_float(load_images(config.data, 64).images)
    average = source.G.mapping.w_avg.expand(len(x), -1)
    torch.testing.assert_close(E(x), average, atol=2e-3, rtol=1e-2)
    for mine, first in zip(E.stages(x), source.E.stages(x), strict=True):
        torch.testing.assert_close(mine, first, atol=1e-2, rtol=1e-2)


def test_an_encoder_imitates_the_first_one_in_half_drawn_pictures(config, tmp_path):
    source = load_source(config.base)
    x = as_float(load_images(config.data, source.G.resolution).images)
    imitating = dataclasses.replace(config, space="w+", imitate=64, out=str(tmp_path))

    def l2(E):
        distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual))
        terms = encoder.encoder_losses(imitating, E, source.G, x, distance, None, first=source.E)
        return terms["l2"].item()

    class Perfect(nn.Module):
        variational, input_size = False, source.E.input_size

        def forward(self, photo):
            return encoder.ws_of(source.G, source.E(photo), "z+")

    assert l2(Perfect()) < 1e-9
    torch.manual_seed(0)
    before = l2(encoder.new_encoder(imitating, source).eval())
    encoder.train(dataclasses.replace(imitating, epochs=8, lr=1e-3))
    assert l2(load_source(config.base).encoder_into("w+")) < before
    with pytest.raises(OptionError, match="--imitate 32 is none of"):
        encoder.train(dataclasses.replace(config, imitate=32, out=str(tmp_path / "b")))


def test_presets_are_the_published_ones():
    psp = PRESETS["psp"]
    weights = (psp.l2_weight, psp.perceptual_weight, psp.identity_weight, psp.w_norm_weight)
    assert weights == (1, 0.8, 0.1, 0.005) and (psp.lr, psp.batch, psp.space) == (1e-4, 8, "w+")
    agile = PRESETS["agilegan"]
    weights = (agile.l2_weight, agile.perceptual_weight, agile.identity_weight, agile.kl_weight)
    assert weights == (1, 0.8, 0.8, 5e-4) and (agile.lr, agile.batch, agile.epochs) == (
        1e-3,
        16,
        20,
    )


def test_bad_settings_are_refused(config, tmp_path):
    with pytest.raises(OptionError, match="--space 's' is none of z\\+, z, w\\+, w"):
        EncoderConfig(space="s")
    with pytest.raises(OptionError, match="no variational encoder into z\\+ to start from: use"):
        packed = load_source(config.base)
        variational = dataclasses.replace(config, init="pack")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(packed), "encoder_into", lambda self, space: None)
            encoder.new_encoder(variational, packed)
    with pytest.raises(OptionError, match="is for w\\+ and w, not for z: use"):
        EncoderConfig(space="z", init="fitted")
    with pytest.raises(OptionError, match="use --input-size 64"):
        large = dataclasses.replace(config, space="w+", init="fitted", input_size=128)
        encoder.train(dataclasses.replace(large, out=str(tmp_path)))


def test_ranger_is_radam_pulled_back():
    """On a constant gradient rectified Adam takes equal steps; a sixth of the time half is lost."""
    weights = [nn.Parameter(torch.zeros(3)) for _ in range(2)]
    fast = torch.optim.RAdam([weights[0]], 0.1, (0.95, 0.999), 1e-5)
    ranger = Ranger([weights[1]], 0.1)
    for step in range(1, 13):
        for weight, optimizer in zip(weights, (fast, ranger), strict=True):
            weight.grad = torch.ones(3)
            optimizer.step()
        if step == 5:
            assert torch.equal(*weights)
        if step == 6:
            assert torch.allclose(weights[1], weights[0] / 2)
    assert torch.allclose(ranger.state[weights[1]]["slow"], weights[1])
