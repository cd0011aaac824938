"""train.blend and train.oneshot on 32 px: exact resume, packs that load."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.card import DETAIL_FILE
from engine.errors import DataError, OptionError, PackError, TrainingError
from engine.library import StyleLibrary
from engine.models.detail import DetailEncoder
from engine.models.stylegan2 import MappingNetwork
from engine.pack import save_pack
from engine.runtime import pick_runtime
from tests.packs import CODE, NUM_WS, generator
from tests.train.test_style_encoder import make_small, write_looks
from tests.train.tiny import assert_same_state, parts_of
from train import blend, oneshot, paired, pairs, style_encoder
from train.blend import BlendConfig
from train.blend_networks import BlendedGenerator
from train.codes import Codes, Content
from train.config import run_recipe
from train.loop import Run
from train.oneshot import OneshotConfig
from train.packs import load_source


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    make_small(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Packs: a base, and "looks", which train.style_encoder made."""
    return write_looks(tmp_path_factory.mktemp("blend"))


@pytest.fixture
def config(folder, tmp_path):
    return BlendConfig(
        data=str(folder / "pictures"),
        photos=str(folder / "pictures"),
        style=str(folder / "packs" / "looks"),
        base=str(folder / "packs" / "base"),
        out=str(tmp_path / "run"),
        iterations=4,
        batch=2,
        r1_interval=2,
        path_interval=2,
        photo_share=0.5,
        sample_every=2,
        watch_every=1,
    )


def load(folder, name):
    return StyleLibrary([folder / "packs"]).load(name, pick_runtime())


def test_blend_resumes_bit_for_bit(config, tmp_path):
    blend.train(config)
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    blend.train(dataclasses.replace(halves, iterations=2))
    blend.train(halves)
    assert_same_state(tmp_path / "run", tmp_path / "halves")
    assert len(list((tmp_path / "run").glob("samples-*.png"))) == 2
    lines = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").open()]
    assert lines[-1]["diversity"] > 0 and lines[-1]["style"] > 0


@pytest.fixture(scope="module")
def blended(folder, tmp_path_factory):
    """A pack "all" of train.blend, and its run folder."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        config = BlendConfig(
            data=str(folder / "pictures"),
            photos=str(folder / "pictures"),
            style=str(folder / "packs" / "looks"),
            base=str(folder / "packs" / "base"),
            pack=str(folder / "packs" / "all"),
            out=str(out),
            iterations=3,
            batch=2,
            face_share=0.5,
            mix_layer=4,
            ema_images=1,
        )
        blend.train(config)
    return out


def test_blend_ends_in_a_style(folder, blended):
    style = load(folder, "all")
    assert style.card.method == "BlendGAN" and style.card.options().mix_layer == 4
    weights = style.style_weights(4)
    assert (weights[:4] == 0).all() and (weights[4:] > 0).all() and (weights < 1).all()
    content = style.base.generator.ws(torch.randn(1, CODE))
    codes = style.reference_codes(torch.rand(1, 3, 32, 32) * 2 - 1)
    drawn = style.synthesize(content, codes, weights)
    plain = style.synthesize(content)
    assert drawn.isfinite().all() and not torch.allclose(drawn, plain)
    average = parts_of(blended)["parts"]["average"]
    expected = 1 - average["face_weights"]
    torch.testing.assert_close(style.style_weights(0), expected, atol=1e-3, rtol=1e-3)


def test_everything_but_the_encoder_and_the_mapping_of_faces_is_trained(config, tmp_path, folder):
    blend.train(dataclasses.replace(config, face_share=0.5))
    trained = parts_of(tmp_path / "run")["parts"]["blended"]
    start = load_source(config.base).G.state_dict()
    stylist = load(folder, "looks")
    name = "synthesis.b8.conv0.weight"
    assert torch.equal(trained["G.mapping.fc0.weight"], start["mapping.fc0.weight"])
    assert not torch.equal(trained[f"G.{name}"], start[name])
    assert not torch.equal(trained["style_mapping.fc0.weight"], start["mapping.fc0.weight"])
    assert not torch.equal(trained["face_weights"], torch.full((NUM_WS,), 0.5))
    assert stylist.card.method == "BlendGAN"


def test_faces_bring_what_only_their_photos_show(config, tmp_path):
    packs = tmp_path / "packs"
    shutil.copytree(Path(config.base).parent, packs)
    source = load_source(str(packs / "base"))
    reader = DetailEncoder(source.G.synthesis.channels[8], (8, 12), (1, 1, 1))
    torch.nn.init.normal_(reader.out.weight)
    save_pack(packs / "base", source.pack.card, {DETAIL_FILE: reader.state_dict()})
    names = {"base": str(packs / "base"), "style": str(packs / "looks")}
    config = dataclasses.replace(config, **names, photo_share=1.0, detail_share=1.0)
    blend.train(config)
    source = load_source(config.base)
    face = blend.faces(Codes(config, source, pick_runtime(), 1.0), 4, torch.Generator())
    assert face.detail.shape == (4, source.G.synthesis.channels[8], 8, 8)
    assert face.detail.flatten(1).any(1).all() and face[:2].added.keys() == {8}


def test_parts_of_a_batch_give_the_gradients_of_the_whole(config):
    config = dataclasses.replace(config, batch=16, face_share=0.5)
    whole = gradients(config)
    parts = gradients(dataclasses.replace(config, accumulate=2, out=config.out + "-parts"))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-2, atol=1e-4, msg=name)


def gradients(config):
    """Of the first steps of all discriminators, of the generator, and of path length."""
    source = load_source(config.base)
    _, files = blend.read_style_files(config.style, source)
    torch.manual_seed(0)
    nets = blend.Networks(config, source, files, pick_runtime())
    count, state = config.accumulate, nets.state()
    run = Run(config.out, config, total=16, batch=16, state=state, accumulate=count)
    random = torch.Generator().manual_seed(0)
    ws = source.G.ws(torch.randn(16, CODE, generator=random)).detach()
    z = torch.randn(16, CODE, generator=random)
    real = {name: torch.randn(16, 3, 32, 32, generator=random) for name in ("face", "style")}
    for group in nets.opt_D.param_groups + nets.opt_G.param_groups:
        group["lr"] = 0.0
    found = {}
    blend.discriminators_step(nets, run, real, Content(ws), z, with_r1=True)
    found |= {f"D.{name}": p.grad.clone() for name, p in nets.D.named_parameters()}
    for step, content in ((blend.generator_step, Content(ws)), (blend.paths_step, ws)):
        step(nets, run, content, z)
        trained = [(k, p) for k, p in nets.blended.named_parameters() if p.grad is not None]
        found |= {f"{step.__name__}.{name}": p.grad.clone() for name, p in trained}
    return {name: grad / grad.abs().max().clamp_min(1e-6) for name, grad in found.items()}


def test_indicator_gives_layers_to_the_face():
    """Known blend: w = a w_f + (1 - a) w_s from the indicator on, w_f below it."""
    G = generator(0)
    mapping = MappingNetwork(CODE, CODE, 1)
    network = BlendedGenerator(G, mapping, torch.full((NUM_WS,), 0.25))
    face, z = torch.randn(2, NUM_WS, CODE), torch.randn(2, CODE)
    ws = network.ws(face, z, 3)
    torch.testing.assert_close(ws[:, :3], face[:, :3])
    expected = 0.25 * face[:, 3:] + 0.75 * mapping(z)[:, None]
    torch.testing.assert_close(ws[:, 3:], expected)
    torch.testing.assert_close(network.ws(face, z, NUM_WS), face)


def test_shares_stay_between_0_and_1_and_can_leave_their_ends():
    network = BlendedGenerator(generator(0), MappingNetwork(CODE, CODE, 1), torch.ones(NUM_WS))
    network.face_weights.data[0] = 1.5
    network.clamp_shares()
    assert network.face_weights.max() == 1
    network(Content(torch.randn(1, NUM_WS, CODE)), torch.randn(1, CODE)).square().sum().backward()
    assert (network.face_weights.grad != 0).all()


def test_oneshot_starts_from_the_blend_and_ends_in_a_style(folder, blended, tmp_path):
    reference = folder / "pictures" / "0.png"
    config = OneshotConfig(
        reference=str(reference),
        style=str(folder / "packs" / "all"),
        pack=str(folder / "packs" / "one"),
        photos=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        out=str(tmp_path / "whole"),
        continue_run=str(blended),
        iterations=4,
        sample_every=2,
    )
    oneshot.train(config)
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"), pack="")
    oneshot.train(dataclasses.replace(halves, iterations=2))
    oneshot.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    before, after = load(folder, "all"), load(folder, "one")
    assert after.card.training["recipe"] == "train.oneshot"
    for name, value in before.style_encoder.state_dict().items():
        assert torch.equal(after.style_encoder.state_dict()[name], value)
    name = "synthesis.b8.conv0.weight"
    assert not torch.equal(after.network().state_dict()[name], before.network().state_dict()[name])


@pytest.mark.parametrize("preset", ["paper", "cpu"])
@pytest.mark.parametrize("recipe", [pairs, paired, style_encoder, blend, oneshot])
def test_presets_can_be_looked_at(recipe, preset, capsys):
    """The command line of every recipe; the published iterations are those of "paper"."""
    config = type(recipe.PRESETS[preset])
    arguments = ["--preset", preset, "--dry-run", "--out", "here", "--batch", "3"]
    run_recipe(config, recipe.PRESETS, recipe.train, recipe.__doc__, arguments)
    shown = json.loads(capsys.readouterr().out)
    assert shown["out"] == "here" and shown["batch"] == 3
    steps = shown.get("iterations", shown.get("steps"))
    assert (steps in (1000, 200_000, 500_000)) == (preset == "paper")


def test_oneshot_takes_the_reference_first(monkeypatch, capsys):
    oneshot.main(["me.png", "--style", "packs/all", "--dry-run"])
    assert '"reference": "me.png"' in capsys.readouterr().out


def test_discriminators_go_on(folder, blended, config):
    """The first step of a continued run sees the discriminators of the earlier one."""
    source = load_source(config.base)
    settings = dataclasses.replace(config, continue_run=str(blended))
    _, files = blend.read_style_files(config.style, source)
    nets = blend.Networks(settings, source, files, pick_runtime())
    saved = parts_of(blended)["parts"]["D"]
    assert all(torch.equal(value, saved[name]) for name, value in nets.D.state_dict().items())
    with pytest.raises(TrainingError, match="leave --continue-run out"):
        blend.Networks(
            dataclasses.replace(config, continue_run=str(folder)), source, files, pick_runtime()
        )


def test_what_does_not_fit_is_refused(folder, config, tmp_path):
    with pytest.raises(OptionError, match="--style"):
        blend.train(dataclasses.replace(config, style=""))
    with pytest.raises(PackError, match="with a style encoder"):
        blend.train(dataclasses.replace(config, style=str(folder / "packs" / "tuned")))
    with pytest.raises(OptionError, match="--face-share 2"):
        BlendConfig(face_share=2)
    wide = tmp_path / "wide.png"
    Image.new("RGB", (40, 32)).save(wide)
    with pytest.raises(DataError, match="40x32"):
        oneshot.read_reference(str(wide), 32)
    with pytest.raises(OptionError, match="name one"):
        oneshot.read_reference("", 32)
