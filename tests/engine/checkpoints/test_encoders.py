"""Encoders of every family: written as theirs, read, and the same codes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.checkpoints import Checkpoint, Contents, read, recognise
from engine.errors import CheckpointError
from engine.models.backbone_encoder import WEncoder, WPlusEncoder
from engine.models.irse import ArcFace
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.layouts import DIM, NUM_WS, prefixed, save_flat

TRUNK = {"widths": (4, 4, 6, 8, 12), "units": (1, 2, 1, 1)}
G = layouts.tiny_generator()
PSP = {"encoder_type": "GradualStyleEncoder", "device": "cuda:0", "start_from_latent_avg": True}
MEAN = torch.randn(NUM_WS, DIM, generator=torch.Generator().manual_seed(3))


def recognised(data: object, kind: str | None = None) -> Checkpoint:
    return recognise(Contents("torch", data), kind)


def photos(side: int = 32) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(4)) * 2 - 1


def weights(encoder: torch.nn.Module) -> dict[str, Tensor]:
    """What public files keep: not the mean code, nor the stage of training."""
    beside = ("latent_avg", "progressive_stage")
    return {n: v for n, v in encoder.state_dict().items() if n not in beside}


def pair(encoder: torch.nn.Module, generator: torch.nn.Module = G) -> dict[str, Tensor]:
    decoder = layouts.rosinality_generator(generator)
    return prefixed("encoder.", weights(encoder)) | prefixed("decoder.", decoder)


def psp_file(**opts: object) -> dict:
    encoder = layouts.tiny_encoder(variational=False)
    return {"state_dict": pair(encoder), "opts": PSP | opts, "latent_avg": MEAN}


def same_codes(checkpoint: Checkpoint, encoder: torch.nn.Module) -> None:
    ours = checkpoint.build()["encoder"]
    assert not ours.training
    expected = encoder(photos(encoder.input_size))
    assert expected.abs().max() < 100  # else the mean code would not show
    torch.testing.assert_close(ours(photos(ours.input_size)), expected)


@pytest.mark.parametrize("kind, space", [("psp", "w+"), ("psp-zplus", "z+")])
def test_psp(tmp_path: Path, kind: str, space: str):
    torch.save(psp_file(), tmp_path / "psp.pt")
    checkpoint = read(tmp_path / "psp.pt", kind)
    assert (checkpoint.kind, checkpoint.config["encoder_space"]) == (kind, space)
    same_codes(checkpoint, layouts.tiny_encoder(variational=False, latent_avg=MEAN))
    z = torch.randn(2, DIM)
    torch.testing.assert_close(checkpoint.build()["generator"](z), G(z))
    assert ["estimated" in note for note in checkpoint.notes] == [True]


def test_the_mean_code_is_added_only_if_the_options_say_so():
    plain = layouts.tiny_encoder(variational=False)
    same_codes(recognised(psp_file(start_from_latent_avg=False), "psp"), plain)
    bare = {"state_dict": psp_file()["state_dict"], "opts": {"learn_in_w": False}}
    same_codes(recognised(bare, "psp"), plain)
    bare |= {"latent_avg": MEAN[None]}
    same_codes(recognised(bare, "psp"), layouts.tiny_encoder(variational=False, latent_avg=MEAN))


def test_one_mean_for_all_layers_is_the_centre_of_truncation():
    for mean in (MEAN[0], MEAN[:1], MEAN[:1].expand(NUM_WS, -1)):
        checkpoint = recognised(psp_file() | {"latent_avg": mean}, "psp")
        assert torch.equal(checkpoint.parts["generator"]["mapping.w_avg"], MEAN[0])
        wide = layouts.tiny_encoder(variational=False, latent_avg=MEAN[:1])
        same_codes(checkpoint, wide)
    in_z = recognised(psp_file() | {"latent_avg": MEAN[:1]}, "psp-zplus")
    assert not torch.equal(in_z.parts["generator"]["mapping.w_avg"], MEAN[0])


def test_a_mean_that_the_options_promise_is_made_up_for():
    file = psp_file()
    del file["latent_avg"]
    checkpoint = recognised(file, "psp")
    w_avg = checkpoint.parts["generator"]["mapping.w_avg"]
    assert torch.equal(checkpoint.parts["encoder"]["latent_avg"], w_avg[None])
    with pytest.raises(CheckpointError, match="no latent_avg to add"):
        recognised(file, "psp-zplus")


def test_names_that_fit_several_kinds_ask_for_the_flag():
    with pytest.raises(CheckpointError, match="--kind psp: .*--kind psp-zplus: ") as error:
        recognised(psp_file())
    assert "e4e" not in str(error.value)
    without = {"state_dict": psp_file()["state_dict"]}
    with pytest.raises(CheckpointError, match="--kind psp: .*--kind psp-zplus: .*--kind e4e: "):
        recognised(without)
    with pytest.raises(CheckpointError, match="this is no e4e .* fit psp, psp-zplus"):
        recognised(psp_file(), "e4e")


@pytest.mark.parametrize("opts", [{"encoder_type": "Encoder4Editing"}, {"stylegan_size": 32}])
def test_e4e(opts: dict):
    theirs = layouts.tiny_encoder(variational=False, latent_avg=MEAN, progressive_stage=NUM_WS - 1)
    file = {"state_dict": pair(theirs), "opts": opts, "latent_avg": MEAN, "global_step": 5}
    checkpoint = recognised(file)
    assert (checkpoint.kind, checkpoint.config["encoder_space"]) == ("e4e", "w+")
    same_codes(checkpoint, theirs)


@pytest.mark.parametrize("encoder, space", [(WEncoder, "w"), (WPlusEncoder, "w+")])
def test_backbone_encoders(encoder: type, space: str):
    """Theirs are told apart by names; the mean of W is one row."""
    torch.manual_seed(0)
    sizes = (DIM,) if encoder is WEncoder else (NUM_WS, DIM)
    theirs = layouts.jittered(encoder(*sizes, latent_avg=MEAN[:1], **TRUNK), MEAN[:1])
    file = {"state_dict": pair(theirs), "opts": PSP, "latent_avg": MEAN[:1].expand(NUM_WS, -1)}
    checkpoint = recognised(file)
    assert (checkpoint.kind, checkpoint.config["encoder_space"]) == ("psp", space)
    same_codes(checkpoint, theirs)


def test_encoder_without_a_generator():
    """BlendGAN's psp_encoder.pt: bare names or encoder.*, and the mean code."""
    theirs = layouts.tiny_encoder(variational=False, latent_avg=MEAN)
    for state in (weights(theirs), prefixed("encoder.", weights(theirs))):
        for file in ({"state_dict": state, "latent_avg": MEAN}, state | {"latent_avg": MEAN}):
            checkpoint = recognised(file, "psp")
            assert set(checkpoint.parts) == {"encoder"}
            same_codes(checkpoint, theirs)


def test_encoder_as_safetensors(tmp_path: Path):
    theirs = layouts.tiny_encoder(variational=False, latent_avg=MEAN, progressive_stage=NUM_WS - 1)
    opts = {"opts": '{"encoder_type": "Encoder4Editing", "start_from_latent_avg": true}'}
    save_flat(pair(theirs) | {"latent_avg": MEAN}, tmp_path / "e4e.safetensors", opts)
    checkpoint = read(tmp_path / "e4e.safetensors")
    assert checkpoint.kind == "e4e"
    same_codes(checkpoint, theirs)
    save_flat(pair(theirs), tmp_path / "e4e.safetensors", {"opts": "no json"})
    with pytest.raises(CheckpointError, match="metadata 'opts' is not JSON"):
        read(tmp_path / "e4e.safetensors")


def test_agilegan_never_adds_the_mean_code():
    theirs = layouts.tiny_encoder(variational=True)
    file = {"state_dict": pair(theirs), "opts": PSP, "latent_avg": MEAN}
    checkpoint = recognised(file)
    assert checkpoint.kind == "agilegan-encoder" and checkpoint.config["encoder_space"] == "z+"
    assert checkpoint.notes[-1].startswith("latent_avg left out")
    same_codes(checkpoint, theirs)
    ours = checkpoint.build()["encoder"]
    for mine, their in zip(ours.posterior(photos()), theirs.posterior(photos()), strict=True):
        torch.testing.assert_close(mine, their)
    assert "generator" in checkpoint.parts


def test_facestylor_ignores_heads_its_generator_has_no_layers_for():
    theirs = layouts.tiny_encoder(num_ws=12, variational=True)
    state = {n: v for n, v in weights(theirs).items() if not n.startswith("fc_var.")}
    decoder = prefixed("decoder.", layouts.openmmlab_generator(G))
    losses = {"id_loss.facenet.x": torch.zeros(1), "lpips_loss.y": torch.zeros(1)}
    checkpoint = recognised({"state_dict": prefixed("encoder.", state) | decoder | losses})
    assert (checkpoint.kind, checkpoint.config["encoder_space"]) == ("mmgen", "z+")
    assert "left out: id_loss, lpips_loss" in checkpoint.notes
    assert any(f"{NUM_WS} layers: 4 more heads" in note for note in checkpoint.notes)
    networks = checkpoint.build()
    assert not networks["encoder"].variational
    torch.testing.assert_close(networks["encoder"](photos()), theirs(photos())[:, :NUM_WS])
    z = torch.randn(2, DIM)
    torch.testing.assert_close(networks["generator"](z), G(z))


def test_arcface(tmp_path: Path):
    theirs = layouts.jittered(ArcFace(8, **TRUNK))
    state = {n: v for n, v in theirs.state_dict().items() if not n.endswith("tracked")}
    torch.save(state, tmp_path / "arcface.pth")
    checkpoint = read(tmp_path / "arcface.pth")
    assert checkpoint.kind == "arcface"
    torch.testing.assert_close(checkpoint.build()["identity"](photos(112)), theirs(photos(112)))


def test_what_does_not_belong_is_named():
    file = psp_file()
    stranger = {"state_dict": file["state_dict"] | {"stranger.weight": torch.zeros(1)}}
    with pytest.raises(CheckpointError, match="next to encoder.* the file holds stranger"):
        recognised(file | stranger, "psp")
    extra = {"state_dict": file["state_dict"] | {"encoder.extra": torch.zeros(1)}}
    with pytest.raises(CheckpointError, match="extra is unexpected"):
        recognised(file | extra, "psp")
    with pytest.raises(CheckpointError, match=r"latent_avg has the shape \[3, 16\]"):
        recognised(file | {"latent_avg": MEAN[:3]}, "psp")
    with pytest.raises(CheckpointError, match=r"latent_avg has the shape \[2, 8, 16\]"):
        recognised(file | {"latent_avg": torch.zeros(2, 8, 16)}, "psp")
