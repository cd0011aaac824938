"""train.style_encoder on 32 px: exact resume, a pack that loads, the features of a file."""

import dataclasses

import pytest
import torch

from engine.errors import CheckpointError, OptionError
from engine.library import StyleLibrary
from engine.models.blendgan import StyleEncoder
from engine.runtime import pick_runtime
from tests.packs import CODE
from tests.train.tiny import assert_same_state, parts_of, write_tiny
from train import style_encoder
from train.style_encoder import StyleEncoderConfig, new_encoder

NARROW = {"widths": (2, 3), "depths": (1, 1), "hidden": (8,)}


def write_looks(folder):
    """A tiny folder of packs and pictures with "looks", which train.style_encoder made."""
    write_tiny(folder)
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        style_encoder.train(encoder_config(folder, folder / "run", pack=folder / "packs" / "looks"))
    return folder


def make_small(patch):
    patch.setenv("STYLIZE_DTYPE", "float32")
    patch.setenv("STYLIZE_DEVICE", "cpu")
    patch.setattr(style_encoder, "NARROW", NARROW)


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    make_small(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_looks(tmp_path_factory.mktemp("looks"))


def encoder_config(folder, out, pack=""):
    return StyleEncoderConfig(
        data=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        out=str(out),
        pack=str(pack),
        iterations=4,
        batch=3,
        sample_every=4,
    )


def test_style_encoder_resumes_bit_for_bit(folder, tmp_path):
    config = encoder_config(folder, tmp_path / "halves")
    style_encoder.train(dataclasses.replace(config, iterations=2))
    style_encoder.train(config)
    assert_same_state(folder / "run", tmp_path / "halves")
    assert list((folder / "run").glob("samples-*.png"))


def test_style_encoder_ends_in_a_style(folder):
    style = StyleLibrary([folder / "packs"]).load("looks", pick_runtime())
    trained = parts_of(folder / "run")["parts"]["encoder"]
    z = style.style_encoder(torch.zeros(1, 3, 32, 32))
    assert z.shape == (1, CODE)
    name = "mlp.0.weight"
    torch.testing.assert_close(
        style.style_encoder.state_dict()[name], trained[name], atol=1e-2, rtol=1e-2
    )
    ws = style.base.generator.ws(torch.randn(1, CODE))
    torch.testing.assert_close(  # it still draws photos
        style.synthesize(ws), style.base.generator.synthesis(ws).detach(), atol=0.02, rtol=0.02
    )


def test_vgg_features_are_taken_and_frozen(tmp_path):
    torch.manual_seed(0)
    tiny = {"widths": (4, 4, 4, 4, 4), "depths": (2, 2, 4, 4, 4), "hidden": (8,)}
    features = StyleEncoder(**tiny).features.state_dict()
    file = tmp_path / "vgg19.pth"
    torch.save({f"features.{name}": x for name, x in features.items()}, file)
    pictures = torch.rand(1, 3, 16, 16)
    with pytest.MonkeyPatch.context() as patch:
        make = style_encoder.StyleEncoder
        patch.setattr(style_encoder, "StyleEncoder", lambda style_dim: make(**tiny, input_size=16))
        encoder = new_encoder(str(file), CODE, pictures)
    assert torch.equal(encoder.features[0].weight, features["0.weight"])
    assert not encoder.features[0].weight.requires_grad and encoder.mlp[0].weight.requires_grad
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "bad.pth")
    with (
        pytest.raises(CheckpointError, match="vgg19-dcbb9e9d.pth"),
        pytest.MonkeyPatch.context() as p,
    ):
        p.setattr(style_encoder, "StyleEncoder", lambda style_dim: make(**tiny, input_size=16))
        new_encoder(str(tmp_path / "bad.pth"), CODE, pictures)


def test_bad_settings_are_refused():
    with pytest.raises(OptionError, match="--batch 1 at least 2"):
        StyleEncoderConfig(batch=1)
    with pytest.raises(OptionError, match="--temperature 0"):
        StyleEncoderConfig(temperature=0)
