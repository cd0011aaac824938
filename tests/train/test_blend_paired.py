"""train.blend_paired on 32 px: exact resume, what is trained, that it learns, packs that load."""

import csv
import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

from engine.card import GENERATOR_FILE
from engine.errors import DataError, PackError
from engine.library import StyleLibrary
from engine.pack import load_pack, save_pack
from engine.runtime import pick_runtime
from engine.surgery import block_resolution
from tests.packs import CODE, NUM_WS
from tests.train.test_style_encoder import make_small, write_looks
from tests.train.tiny import assert_same_state, parts_of
from train import blend_paired
from train.blend_paired import Teachers, first_code
from train.blend_paired_config import BlendPairedConfig
from train.codes import Content
from train.loop import Run
from train.packs import load_source, save_style

KINDS = ("bright", "dark")


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    make_small(monkeypatch)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Packs: a base, "looks" with a style encoder, two teachers; exemplars of both."""
    folder = write_looks(tmp_path_factory.mktemp("blend_paired"))
    for sign, kind in zip((1, -1), KINDS, strict=True):
        write_teacher(folder / "packs", kind, sign)
    exemplars = folder / "exemplars"
    exemplars.mkdir()
    with (exemplars / "data.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("file", "attribute"))
        for i in range(6):
            Image.new("RGB", (32, 32), (60 + 140 * (i % 2),) * 3).save(exemplars / f"{i}.png")
            table.writerow((f"{i}.png", KINDS[1 - i % 2]))
    return folder


def write_teacher(packs: Path, kind: str, sign: int) -> None:
    """A style that draws the base's pictures brighter or darker."""
    with pytest.MonkeyPatch.context() as patch:
        make_small(patch)
        source = load_source(packs / "base")
        source.G.synthesis.b32.torgb.bias.data += sign
        own = load_source(packs / "base")
        preview = torch.zeros(256, 256, 3, dtype=torch.uint8).numpy()
        about = {"title": kind, "attributes": [""], "record": {}, "preview": preview}
        save_style(packs / kind, source.G, own, **about)


@pytest.fixture
def config(folder, tmp_path):
    return BlendPairedConfig(
        data=str(folder / "exemplars"),
        teachers=str(folder / "packs"),
        photos=str(folder / "pictures"),
        style=str(folder / "packs" / "looks"),
        base=str(folder / "packs" / "base"),
        out=str(tmp_path / "run"),
        images=8,
        batch=2,
        unchanged=1.0,
        sample_every=4,
        ema_images=1,
    )


def test_it_resumes_bit_for_bit(config, tmp_path):
    config = dataclasses.replace(config, unchanged=0.3)
    blend_paired.train(config)
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "stopped", property(lambda run: run.cur_nimg >= 4))
        blend_paired.train(halves)
    blend_paired.train(halves)
    assert_same_state(tmp_path / "run", tmp_path / "halves")
    assert len(list((tmp_path / "run").glob("samples-*.png"))) == 2


def test_low_layers_stay_and_the_encoder_learns(config, tmp_path):
    config = dataclasses.replace(config, freeze_share=0.5)
    blend_paired.train(config)
    parts, start = parts_of(tmp_path / "run")["parts"], load_source(config.base).G.state_dict()
    drawn = {k.removeprefix("G."): v for k, v in parts["blended"].items() if k.startswith("G.")}
    moved = [k for k, v in start.items() if not torch.equal(drawn[k], v)]
    assert {block_resolution(name) for name in moved} == {16, 32}
    assert (parts["blended"]["face_weights"][: first_code(16)] == 1).all()
    assert (parts["blended"]["face_weights"][first_code(16) :] == config.face_share).all()
    first = load_pack(config.style).state("style_encoder.safetensors")["mlp.0.weight"]
    assert not torch.allclose(parts["encoder"]["mlp.0.weight"], first.float(), atol=1e-3)


def test_it_learns_to_tell_its_teachers_apart(config, folder):
    config = dataclasses.replace(config, images=160, batch=4, pack=str(folder / "packs" / "any"))
    blend_paired.train(config)
    style = StyleLibrary([folder / "packs"]).load("any", pick_runtime())
    content = style.base.generator.ws(torch.randn(8, CODE), truncation_psi=0.5)
    levels = []
    for shade in (200, 60):
        picture = torch.full((1, 3, 32, 32), shade / 127.5 - 1)
        codes = style.reference_codes(picture).expand(8, -1, -1)
        levels.append(style.synthesize(content, codes, style.style_weights(0)).mean().item())
    plain = style.base.generator.synthesis(content).mean().item()
    assert levels[0] > plain + 0.3 and levels[1] < plain - 0.3, (levels, plain)
    assert style.card.training["teachers"] == list(KINDS)
    assert style.card.method == "BlendGAN" and len(style.style_weights(0)) == NUM_WS


def test_every_face_is_drawn_by_the_style_of_its_exemplar(config):
    source = load_source(config.base)
    teachers = Teachers(config.teachers, list(KINDS), source, pick_runtime())
    face = Content(source.G.ws(torch.randn(2, CODE)).detach())
    drawn = teachers.draw(face, ["dark", "bright"], torch.zeros(2))
    plain = source.G.synthesis(face.codes).detach()
    shift = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(drawn, plain + shift, atol=0.01, rtol=0.01)


def test_what_does_not_fit_is_refused(config, folder, tmp_path):
    source, runtime = load_source(config.base), pick_runtime()
    with pytest.raises(DataError, match="no attribute: it is to name the style"):
        Teachers(config.teachers, ["", "dark"], source, runtime)
    with pytest.raises(PackError, match="mist"):
        Teachers(config.teachers, ["mist"], source, runtime)
    card = load_pack(folder / "packs" / "dark").card
    other = dataclasses.replace(card, base={"name": "other", "sha256": "0" * 64})
    state = load_pack(folder / "packs" / "dark").state(GENERATOR_FILE)
    save_pack(tmp_path / "dark", other, {GENERATOR_FILE: state})
    with pytest.raises(PackError, match="is a style of base other"):
        Teachers(str(tmp_path), ["dark"], source, runtime)


def test_the_first_code_of_a_resolution_is_the_one_its_block_reads():
    assert [first_code(r) for r in (0, 4, 8, 64, 256)] == [0, 0, 1, 7, 11]
