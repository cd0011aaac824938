"""Which parts of tiny public files make which pack, and what does not belong together."""

import re

import pytest
import torch

from engine.base import read_base
from engine.card import GENERATOR_FILE, STYLE_MAPPING_FILE
from engine.checkpoints import Checkpoint
from engine.errors import CheckpointError, OptionError
from engine.importing import Wishes, plain_name, plan, save
from engine.library import StyleLibrary
from engine.pack import load_pack
from engine.runtime import Runtime
from tests.engine.checkpoints import layouts
from tests.engine.checkpoints.layouts import DIM, NUM_WS, SIZE

from .files import agilegan_encoder, agilegan_style, blendgan, psp, read, stylegan2, w_encoder

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


def made(tmp_path, *checkpoints, name="new", **wishes):
    """Write what some checkpoints make, and load it: {name of the pack: Pack}."""
    packs = save(plan(checkpoints, Wishes(name, **wishes)), tmp_path)
    for pack in packs:
        if pack.card.kind == "base":
            read_base(pack, RUNTIME)
        else:
            StyleLibrary([tmp_path]).load(pack.card.name, RUNTIME)
    return {pack.card.name: pack for pack in packs}


def same(pack, file, state):
    stored = pack.state(file)
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name], state[name]) for name in state)


def test_a_generator_is_a_base(tmp_path):
    checkpoint = stylegan2()
    [pack] = made(tmp_path, checkpoint, licence="MIT").values()
    card = pack.card
    assert (card.name, card.kind, card.licence) == ("new", "base", "MIT")
    assert (card.resolution, card.num_ws, card.channels) == (SIZE, NUM_WS, layouts.CHANNELS)
    assert set(card.files) == {GENERATOR_FILE, "discriminator.safetensors"}
    same(pack, GENERATOR_FILE, checkpoint.parts["generator"])
    assert card.training["imported g.pt"]["kind"] == "rosinality"


def test_one_encoder_per_space(tmp_path):
    files = [stylegan2(), psp("psp"), psp("psp-zplus", path="z.pt"), w_encoder()]
    [pack] = made(tmp_path, *files).values()
    assert pack.card.encoder_space == "z+"
    same(pack, "encoder.safetensors", files[2].parts["encoder"])
    same(pack, "encoder_wplus.safetensors", files[1].parts["encoder"])
    same(pack, "encoder_w.safetensors", files[3].parts["encoder"])
    assert set(read_base(pack, RUNTIME).encoders) == {"z+", "w+", "w"}


def test_an_encoder_brings_its_generator(tmp_path):
    [pack] = made(tmp_path, psp("e4e"), framing="center").values()
    assert pack.card.encoder_space == "w+" and pack.card.framing == "center"
    assert "progressive_stage" in pack.state("encoder.safetensors")


def test_agilegan_in_one_command_and_in_two(tmp_path):
    encoder, cartoon = agilegan_encoder(), agilegan_style()
    at_once = made(tmp_path, encoder, cartoon, name="cartoon")
    assert list(at_once) == ["cartoon-base", "cartoon"]
    base = made(tmp_path, encoder, name="agilegan")["agilegan"]
    style = made(tmp_path, cartoon, name="oil", base=base)["oil"]
    for card in (style.card, at_once["cartoon"].card):
        assert card.attributes == ("female", "male") and card.method == "AgileGAN"
        assert card.encoder_space == "z+"
        assert set(card.files) == {GENERATOR_FILE}, "its mapping is the one of encoder.pt"
    assert style.card.base == {"name": "agilegan", "sha256": base.card.files[GENERATOR_FILE]}
    assert all(name.startswith("synthesis.") for name in style.state(GENERATOR_FILE))


def test_attributes_can_be_renamed(tmp_path):
    packs = made(tmp_path, agilegan_encoder(), agilegan_style(), attributes=("w", "m"))
    assert packs["new"].card.attributes == ("w", "m")
    with pytest.raises(OptionError, match="names 1 paths, cartoon.pt has 2: give 2 names"):
        plan([agilegan_encoder(), agilegan_style()], Wishes("x", attributes=("w",)))


def test_a_tuned_generator_is_a_style(tmp_path):
    base = made(tmp_path, stylegan2(), psp(path="psp.pt"), name="ffhq")["ffhq"]
    tuned = stylegan2(7, "toon.pt")
    [style] = made(tmp_path, tuned, base=base, name="toon", swap_resolution=8).values()
    assert (style.card.kind, style.card.swap_resolution) == ("swapped", 8)
    assert style.card.encoder_space == "w+"
    mapping = style.state(STYLE_MAPPING_FILE)
    assert torch.equal(mapping["w_avg"], tuned.parts["generator"]["mapping.w_avg"])
    [plain] = made(tmp_path, tuned, base=base, name="plain").values()
    assert plain.card.kind == "blended"


def test_a_style_with_the_mapping_of_its_base_keeps_none(tmp_path):
    base = made(tmp_path, stylegan2(), name="ffhq")["ffhq"]
    tuned = stylegan2(7)
    mapping = {n: v for n, v in stylegan2().parts["generator"].items() if n.startswith("mapping.")}
    frozen = Checkpoint(
        "t.pt", "rosinality", {}, {"generator": {**tuned.parts["generator"], **mapping}}, ()
    )
    [style] = made(tmp_path, frozen, base=base).values()
    assert set(style.card.files) == {GENERATOR_FILE}


def test_the_same_generator_in_float16_is_no_style(tmp_path):
    base = made(tmp_path, stylegan2(with_d=False), name="ffhq")["ffhq"]
    halved = stylegan2()
    state = {name: value.half().float() for name, value in halved.parts["generator"].items()}
    halved = Checkpoint("h.pt", "rosinality", {}, {**halved.parts, "generator": state}, ())
    [pack] = made(tmp_path, halved, base=base).values()
    assert pack.folder == base.folder
    assert set(pack.card.files) == {GENERATOR_FILE, "discriminator.safetensors"}
    assert pack.card.files[GENERATOR_FILE] == base.card.files[GENERATOR_FILE]


def test_an_encoder_is_added_to_a_base(tmp_path):
    base = made(tmp_path, psp(), name="ffhq")["ffhq"]
    [pack] = made(tmp_path, psp("psp-zplus", None, "z.pt"), base=base).values()
    assert pack.card.encoder_space == "w+", "styles made for this base keep their encoder"
    assert set(pack.card.files) == {
        *(GENERATOR_FILE, "encoder.safetensors", "encoder_zplus.safetensors")
    }
    assert {"imported psp.pt", "imported z.pt"} <= set(pack.card.training)
    bare = made(tmp_path, stylegan2(), name="bare")["bare"]
    [pack] = made(tmp_path, w_encoder(), base=bare).values()
    assert pack.card.encoder_space == "w"


def test_blendgan(tmp_path):
    checkpoint = blendgan()
    packs = made(tmp_path, checkpoint, psp("psp", None), name="blend")
    assert list(packs) == ["blend-base", "blend"]
    style = packs["blend"]
    assert style.card.method == "BlendGAN" and style.card.encoder_space == "w+"
    same(style, "style_encoder.safetensors", checkpoint.parts["style_encoder"])
    same(style, STYLE_MAPPING_FILE, checkpoint.parts["style_mapping"])
    weights = style.state("blend.safetensors")
    torch.testing.assert_close(weights, {"face_weights": torch.linspace(0, 1, NUM_WS)})


def test_directions_codes_and_identity(tmp_path):
    base = made(tmp_path, stylegan2(), name="ffhq")["ffhq"]
    factor = read("factor.pt", {"ckpt": "550000.pt", "eigvec": torch.eye(DIM)})
    latent = {"img": torch.zeros(3, 4, 4), "latent": torch.ones(1, DIM)}
    codes = read("codes.pt", {"me.jpg": {**latent, "weight": torch.zeros(1, DIM), "noise": []}})
    identity = Checkpoint("id.pth", "arcface", {}, {"identity": {"a": torch.ones(1)}}, ())
    [pack] = save(plan([factor, codes, identity], Wishes("x", base=base)), tmp_path)
    assert torch.equal(pack.state("directions.safetensors")["directions"], torch.eye(DIM))
    assert set(pack.state("codes.safetensors")) == {"codes", "weight"}
    assert pack.card.training["imported codes.pt"]["codes of"] == ["me.jpg"]
    assert "identity.safetensors" in pack.card.files


@pytest.mark.parametrize(
    "files, wishes, error, said",
    [
        (
            [psp("psp", None)],
            {},
            CheckpointError,
            "psp.pt: no generator .* with --base",
        ),
        ([stylegan2(), stylegan2(1, "h.pt")], {}, CheckpointError, "g.pt, h.pt are several gener"),
        ([agilegan_style()], {}, CheckpointError, "cartoon.pt is a style with attribute paths"),
        ([psp(), psp("e4e", path="e4e.pt")], {}, CheckpointError, "psp.pt and e4e.pt both hold"),
        ([psp(), psp("psp-zplus", 1, "z.pt")], {}, CheckpointError, "z.pt was trained for another"),
        ([psp(), stylegan2(1), stylegan2(2)], {}, CheckpointError, "g.pt, g.pt are several styles"),
        ([psp(), psp("psp-zplus", None, "z.pt", 10)], {}, CheckpointError, "10 codes of 16"),
        ([stylegan2()], {"swap_resolution": 8}, OptionError, "for a style"),
        ([stylegan2()], {"attributes": ("a",)}, OptionError, "for a style"),
        ([psp(), stylegan2(1)], {"swap_resolution": 12}, OptionError, "has 4, 8, 16, 32"),
        ([psp(), stylegan2(1)], {"attributes": ("a", "b")}, OptionError, "has 1: give none"),
    ],
)
def test_what_does_not_belong_together(files, wishes, error, said):
    with pytest.raises(error, match=said):
        plan(files, Wishes("new", **wishes))


def test_a_style_of_another_layout(tmp_path):
    base = made(tmp_path, stylegan2(), name="ffhq")["ffhq"]
    state = stylegan2(1).parts["generator"]
    small = {n: v for n, v in state.items() if ".b32." not in n}
    style = Checkpoint("small.pt", "rosinality", {}, {"generator": small}, ())
    with pytest.raises(CheckpointError, match=re.escape("small.pt has resolution")):
        plan([style], Wishes("new", base=base))


def test_a_style_encoder_without_its_generator(tmp_path):
    base = made(tmp_path, stylegan2(), name="ffhq")["ffhq"]
    alone = blendgan()
    alone = Checkpoint("s.pt", "blendgan", {}, {"style_encoder": alone.parts["style_encoder"]}, ())
    with pytest.raises(CheckpointError, match="s.pt reads the style of pictures"):
        plan([alone], Wishes("new", base=base))


def test_nothing_is_overwritten(tmp_path):
    made(tmp_path, stylegan2())
    before = load_pack(tmp_path / "new").card.sha256
    with pytest.raises(OptionError, match="exists already; choose another --name"):
        made(tmp_path, stylegan2(3))
    assert load_pack(tmp_path / "new").card.sha256 == before
    style = made(tmp_path, agilegan_encoder(), agilegan_style(), name="toon")["toon"]
    with pytest.raises(OptionError, match="--base is the style toon; name a base pack"):
        plan([stylegan2()], Wishes("x", base=style))


@pytest.mark.parametrize(
    "path, name",
    [
        ("/a/Cartoon.PT", "cartoon"),
        ("x/vox-adv-cpk.pth.tar", "vox-adv-cpk"),
        ("ä ü.pt", "imported"),
    ],
)
def test_names_of_packs(path, name):
    assert plain_name(path) == name
