"""Kinds of files: the public lists of names are recognised, codes are read, errors are helpful."""

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.catalogue import public_files
from engine.checkpoints import KINDS, Contents, read, recognise
from engine.errors import CheckpointError
from engine.models.blendgan import StyleEncoder
from engine.models.stylegan2 import MappingNetwork
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.layouts import DIM, FILTER, NUM_WS, prefixed

MEAN = torch.zeros(1, 512)
PSP = {"opts": {"encoder_type": "GradualStyleEncoder"}, "latent_avg": MEAN}
E4E = {"opts": {"encoder_type": "Encoder4Editing"}, "latent_avg": MEAN}
GENERATOR, PAIR = {"generator"}, {"encoder", "generator"}
# Name of the list, where its tensors lie in the file, what else lies there, kind given, kind, parts
LISTS = [
    ("rosinality_G1024", "g_ema", {"latent_avg": MEAN[0]}, None, "rosinality", GENERATOR),
    ("rosinality_G256", "g_ema", {"latent_avg": MEAN[0]}, None, "rosinality", GENERATOR),
    ("ui2i_G256", "g_ema", {"latent_avg": MEAN[0]}, None, "rosinality", GENERATOR),
    ("rosinality_D1024", "d", {}, None, "rosinality", {"discriminator"}),
    ("rosinality_D256", "d", {}, None, "rosinality", {"discriminator"}),
    ("nvada_G1024", "G_ema", {}, None, "nvidia", GENERATOR),
    ("nvada_G64", "", {}, None, "nvidia", GENERATOR),
    ("nvada_D1024", "D", {}, None, "nvidia", {"discriminator"}),
    ("nvada_D64", "", {}, None, "nvidia", {"discriminator"}),
    ("psp_GradualStyleEncoder", "state_dict", PSP, "psp", "psp", PAIR),
    ("dualstylegan_encoder", "state_dict", PSP, "psp-zplus", "psp-zplus", PAIR),
    ("e4e_ffhq", "state_dict", E4E, None, "e4e", PAIR),
    ("psp_BackboneEncoderUsingLastLayerIntoW", "state_dict", PSP, None, "psp", PAIR),
    ("psp_BackboneEncoderUsingLastLayerIntoWPlus", "state_dict", PSP, None, "psp", PAIR),
    ("agile_encoder_pt_state_dict", "state_dict", PSP, None, "agilegan-encoder", PAIR),
    ("agile_dualgenerator", "g_ema", {}, None, "agilegan-style", GENERATOR),
    ("blendgan_pspencoder", "state_dict", {"latent_avg": MEAN}, "psp", "psp", {"encoder"}),
    ("dualstylegan_G", "g_ema", {}, None, "dualstylegan", GENERATOR),
    ("arcface_ir_se50", "", {}, None, "arcface", {"identity"}),
    (
        "blendgan_G1024",
        "g_ema",
        {},
        None,
        "blendgan",
        {"generator", "style_mapping", "style_encoder", "blend_weights"},
    ),
]


def public_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors without memory, but for filters and what is computed with on the way."""
    tensors = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, shape, kind = line.split("\t")
        used = name == "add_weight" or name.rpartition("style.")[2][:1].isdigit()
        tensors[name] = torch.zeros(
            ast.literal_eval(shape), dtype=getattr(torch, kind), device="cpu" if used else "meta"
        )
        if name.endswith(("kernel", "resample_filter")):
            tensors[name] = FILTER
    return tensors


@pytest.mark.parametrize(
    "keys, place, beside, given, kind, parts", LISTS, ids=[case[0] for case in LISTS]
)
def test_public_names_are_recognised(
    shared, monkeypatch, keys: str, place: str, beside: dict, given: str, kind: str, parts: set
):
    """Reading also builds each network, which compares all names and shapes."""
    monkeypatch.setattr("engine.checkpoints.checkpoint.check_finite", lambda tensors: None)
    tensors = public_tensors(shared / "formats" / "keys" / f"{keys}.txt")
    checkpoint = recognise(
        Contents("torch", ({place: tensors} if place else tensors) | beside), given
    )
    assert (checkpoint.kind, set(checkpoint.parts)) == (kind, parts)
    if "generator" in parts:
        size = 64 if "64" in keys else 256 if "256" in keys else 1024
        assert checkpoint.config["resolution"] == size


@pytest.mark.parametrize("keys", ["fomm_generator", "s3fd", "sefa_stylegan2_256", "e4e_latentD"])
def test_other_networks_are_of_no_known_kind(shared, keys: str):
    tensors = public_tensors(shared / "formats" / "keys" / f"{keys}.txt")
    with pytest.raises(CheckpointError, match="of no known kind: it holds .* known are rosinality"):
        recognise(Contents("torch", tensors))


def test_every_file_of_the_catalogue_is_of_a_known_kind():
    kinds = {entry.kind for entry in public_files().values()}
    assert len(kinds) > 5 and kinds - {""} <= set(KINDS)


def test_blendgan():
    theirs, embedding = layouts.tiny_generator(), layouts.randomised(MappingNetwork(DIM, DIM, 3))
    style = layouts.randomised(StyleEncoder((2, 3), (1, 2), hidden=(6,), style_dim=DIM))
    inside = {
        name.replace("features.", "embedder.feature_extractor.vgg_layers.").replace(
            "mlp.", "embedder_mlp."
        ): value
        for name, value in style.state_dict().items()
    }
    state = layouts.rosinality_generator(theirs) | prefixed("embedder.", inside)
    state |= {f"embedding.{i + 1}.weight": getattr(embedding, f"fc{i}").weight for i in range(3)}
    state |= {f"embedding.{i + 1}.bias": getattr(embedding, f"fc{i}").bias for i in range(3)}
    shares = torch.linspace(-0.5, 1.5, NUM_WS)
    state["add_weight"] = shares.reshape(1, NUM_WS, 1)
    checkpoint = recognise(Contents("torch", {"g_ema": state}))
    networks = checkpoint.build()
    assert torch.equal(networks["blend_weights"], shares.clamp(0, 1))
    z, image = torch.randn(2, DIM), torch.rand(1, 3, 40, 30)
    torch.testing.assert_close(networks["generator"](z), theirs(z))
    torch.testing.assert_close(networks["style_mapping"](z), embedding(z))
    torch.testing.assert_close(networks["style_encoder"](image), style(image))

    for alone in (inside, prefixed("embedder.", inside), {"state_dict": inside}):
        checkpoint = recognise(Contents("torch", alone))
        assert (checkpoint.kind, set(checkpoint.parts)) == ("blendgan", {"style_encoder"})
        torch.testing.assert_close(checkpoint.build()["style_encoder"](image), style(image))
    state["add_weight"] = shares[:3]
    with pytest.raises(CheckpointError, match=r"add_weight has the shape \[3\]; 8 values"):
        recognise(Contents("torch", {"g_ema": state}))


def test_extrinsic_codes(tmp_path: Path):
    codes = {f"{i:05d}.jpg": np.full((1, 18, 512), i, dtype=np.float32) for i in range(3)}
    np.save(tmp_path / "exstyle_code.npy", codes)
    checkpoint = read(tmp_path / "exstyle_code.npy")
    assert checkpoint.kind == "exstyle-codes" and checkpoint.config["encoder_space"] == "z+"
    assert checkpoint.config["names"] == ("00000.jpg", "00001.jpg", "00002.jpg")
    assert checkpoint.build()["codes"][:, 17, 511].tolist() == [0, 1, 2]
    with pytest.raises(CheckpointError, match=r"different shapes: \[\[1, 9\], \[2, 9\]\]"):
        data = {"a.jpg": torch.zeros(1, 1, 9), "b.jpg": torch.zeros(1, 2, 9)}
        recognise(Contents("numpy", data))


def test_projected_codes_and_factors(tmp_path: Path):
    noise = [torch.zeros(1, 1, 4, 4)]
    file = {
        f"face{i}.png": {
            "img": torch.zeros(3, 8, 8),
            "latent": torch.full((1, 512), i),
            "weight": torch.full((1, 512), 10.0 + i),
            "noise": noise,
        }
        for i in range(2)
    }
    torch.save(file, tmp_path / "faces.pt")
    checkpoint = read(tmp_path / "faces.pt")
    assert (checkpoint.kind, checkpoint.config["encoder_space"]) == ("projected-codes", "w")
    assert checkpoint.config["names"] == ("face0.png", "face1.png")
    assert checkpoint.parts["codes"].shape == (2, 512)
    assert checkpoint.parts["weight"][:, 0].tolist() == [10, 11]

    basis = torch.randn(512, 512)
    torch.save({"ckpt": "550000.pt", "eigvec": basis}, tmp_path / "factor.pt")
    checkpoint = read(tmp_path / "factor.pt")
    assert checkpoint.kind == "factor" and checkpoint.notes == (
        "factors of the weights in 550000.pt",
    )
    assert torch.equal(checkpoint.parts["directions"], basis)
    with pytest.raises(CheckpointError, match=r"eigvec is \[4, 5\]; a square matrix"):
        recognise(Contents("torch", {"eigvec": torch.zeros(4, 5)}))


def test_messages_say_what_to_do(tmp_path: Path):
    with pytest.raises(CheckpointError, match="kind 'stylegan' is not known; accepted: rosinality"):
        recognise(Contents("torch", {}), "stylegan")
    with pytest.raises(CheckpointError, match="the file holds a Tensor; weights by name"):
        recognise(Contents("numpy", torch.zeros(3)))
    path = tmp_path / "odd.pt"
    torch.save({"epoch": 3}, path)
    with pytest.raises(CheckpointError, match="odd.pt: of no known kind: it holds epoch;"):
        read(path)
    with pytest.raises(CheckpointError, match="this is no psp .* its names fit rosinality"):
        recognise(Contents("torch", layouts.rosinality_generator(layouts.tiny_generator())), "psp")
