"""train.detail: resumes exactly, learns, ends in a pack; and styles trained with its answers."""

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import torch

from engine.base import read_base
from engine.card import DETAIL_FILE, GENERATOR_FILE
from engine.errors import OptionError
from engine.latent import map_zplus
from engine.pack import load_pack
from engine.runtime import pick_runtime
from tests.train.test_recipes import assert_same_state, parts_of
from train import detail, transfer
from train.codes import Codes, Content
from train.data import as_float, load_images, seeded
from train.detail import DetailConfig, jittered
from train.distributed import WHOLE
from train.packs import load_source
from train.transfer_config import TransferConfig
from train.transfer_networks import Networks


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def config(folder):
    return DetailConfig(
        data=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        images=8,
        batch=4,
        sample_every=4,
    )


def test_it_resumes_exactly_and_the_pack_reads_detail(config, tmp_path, monkeypatch):
    detail.train(dataclasses.replace(config, out=str(tmp_path / "whole")))
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    losses = detail.detail_losses

    def stop_soon(*args):
        os.kill(os.getpid(), signal.SIGINT)
        return losses(*args)

    with monkeypatch.context() as patch:
        patch.setattr(detail, "detail_losses", stop_soon)
        detail.train(halves)
    assert parts_of(tmp_path / "halves")["cur_nimg"] == 4
    detail.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")
    assert list((tmp_path / "whole").glob("*.png"))

    base = read_base(load_pack(config.base), pick_runtime())
    codes = base.encode(torch.zeros(1, 3, 64, 64), "z+")
    found = base.detail(torch.zeros(1, 3, 64, 64), codes.ws)
    assert found.shape == (1, 8, 16, 16) and found.abs().max() > 0
    record = base.pack.card.training[DETAIL_FILE]
    assert record["recipe"] == "train.detail" and record["images_seen"] == 8


def test_corrected_pictures_come_nearer_to_their_photos(config, tmp_path):
    """On what it was trained with, 12 steps take a tenth of the error at least."""
    config = dataclasses.replace(config, images=12 * 4, jitter=0.0, ema_images=4)
    detail.train(dataclasses.replace(config, out=str(tmp_path)))
    source = load_source(config.base)
    photos = as_float(load_images(config.data, 64).images)
    untrained = detail.new_detail_encoder(config, source)
    error = [
        detail.rebuilt_with_detail(D, source.E, source.G, photos, "z+")[0].sub(photos).abs().mean()
        for D in (untrained, source.detail)
    ]
    assert error[1] < 0.9 * error[0]


def test_jitter_moves_pictures_a_little():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 32).expand(2, 3, 32, 32).contiguous()
    assert jittered(x, 0.0, WHOLE) is x
    moved = jittered(x, 0.04, WHOLE)
    assert 0 < (moved - x).abs().mean() < 0.2
    assert not torch.equal(moved[0], moved[1])  # each by itself


def test_bad_settings_are_refused(config, folder, tmp_path):
    with pytest.raises(OptionError, match="--init 'old' is none of new, pack"):
        DetailConfig(init="old")
    with pytest.raises(OptionError, match=r"--jitter 0\.5 is not within 0 and 0\.2"):
        DetailConfig(jitter=0.5)
    source = load_source(config.base)
    bare = dataclasses.replace(source.pack, card=dataclasses.replace(source.pack.card, files={}))
    with pytest.raises(OptionError, match=r"no detail\.safetensors to start from"):
        start = dataclasses.replace(config, init="pack")
        detail.new_detail_encoder(start, dataclasses.replace(source, pack=bare))


@pytest.fixture
def style(config, folder, tmp_path):
    detail.train(dataclasses.replace(config, out=str(tmp_path / "detail")))
    return TransferConfig(
        data=config.data,
        base=config.base,
        photos=config.data,
        perceptual=config.perceptual,
        out=str(tmp_path / "style"),
        detail_share=0.5,
        iterations=2,
        batch=4,
        choose_every=1,
    )


def test_photos_bring_their_detail_and_random_codes_none(style):
    source = load_source(style.base)
    config = dataclasses.replace(style, photo_share=0.5)
    drawn = Codes(config, source, pick_runtime(), 0.5).draw("", 64, seeded(0, "test"))
    sizes = drawn.detail.flatten(1).abs().amax(1)
    assert 10 < (sizes == 0).sum() < 54  # about half are random codes
    assert len(drawn) == 64 and len(drawn[::4]) == 16 and drawn.added.keys() == {16}
    plain = Codes(config, source, pick_runtime()).draw("", 4, seeded(0, "test"))
    assert plain.detail is None and plain.added is None


def test_a_style_trains_with_detail_and_goes_on_from_a_style(style, tmp_path):
    pack = str(tmp_path / "drawn")
    transfer.train(dataclasses.replace(style, pack=pack, choose_every=0))
    assert parts_of(Path(style.out))["cur_nimg"] == 8
    source, runtime = load_source(style.base), pick_runtime()
    further = dataclasses.replace(style, start_from=pack)
    stored = load_pack(pack).state(GENERATOR_FILE)["synthesis.b8.conv1.weight"]
    first = Networks(further, source, runtime).G.synthesis.b8.conv1.weight
    torch.testing.assert_close(first.detach(), stored.float())
    kept = dataclasses.replace(style, pack=str(tmp_path / "kept"), freeze_share=0.5, choose_every=0)
    transfer.train(dataclasses.replace(kept, out=str(tmp_path / "run")))
    names = load_pack(kept.pack).state(GENERATOR_FILE).keys()
    assert {name.split(".")[1] for name in names} == {"b32", "b64"}, "the rest is the base's"
    again = Networks(dataclasses.replace(style, start_from=kept.pack), source, runtime).G
    assert torch.equal(again.synthesis.b8.conv1.weight, source.G.synthesis.b8.conv1.weight)
    assert not torch.equal(first, source.G.synthesis.b8.conv1.weight)
    with pytest.raises(OptionError, match=r"paths \[''\]; .* and \['a', 'b'\] are needed"):
        Networks(dataclasses.replace(further, attributes="a,b"), source, runtime)


def test_detail_changes_what_is_drawn(style):
    source = load_source(style.base)
    z = torch.randn(2, source.G.num_ws, 512)
    content = Content(z, torch.randn(2, 8, 16, 16))
    ws = map_zplus(source.G.mapping, z)
    plain, added = source.G.synthesis(ws), source.G.synthesis(ws, add=content.added)
    features = source.G.synthesis.features(ws, 16) + content.detail
    assert not torch.allclose(plain, added)
    torch.testing.assert_close(source.G.synthesis(ws, replace={16: features}), added)
