"""train.pairs on 32 px: three levels that get closer, finished batches kept, a file that checks."""

import dataclasses
import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from engine.errors import DataError, OptionError, TrainingError
from engine.latent import map_zplus
from engine.library import StyleLibrary
from engine.models import perceptual
from engine.runtime import pick_runtime
from tests.packs import CODE, NUM_WS, RESOLUTION
from tests.train.tiny import drawn_squeezenet, write_tiny
from train import pairs
from train.pairs import LEVELS, PairsConfig, load_pairs


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(perceptual.SqueezeNet, "from_npz", drawn_squeezenet)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny(tmp_path_factory.mktemp("pairs"), pictures=5)


@pytest.fixture
def config(folder, tmp_path):
    return PairsConfig(
        data=str(folder / "pictures"),
        tuned=str(folder / "packs" / "tuned"),
        out=str(tmp_path / "pairs"),
        perceptual="drawn",
        steps=6,
        lr=0.05,
        refine_steps=3,
        batch=2,
        size=64,
    )


def test_three_levels_in_order_of_the_exemplars(config, folder):
    pairs.train(config)
    found = load_pairs(config.out)
    assert found.files == tuple(f"{i}.png" for i in range(5))
    assert {level: code.shape for level, code in found.codes.items()} == {
        level: (5, NUM_WS, CODE) for level in (1, 2, 3)
    }
    base = StyleLibrary([folder / "packs"]).load("tuned", pick_runtime()).base
    assert found.base_sha256 == base.sha256
    picture = pairs.as_float(pairs.load_images(config.data, RESOLUTION).images[3:4])
    embedded = map_zplus(base.generator.mapping, base.encode(picture, "z+").mu)
    torch.testing.assert_close(found.codes[1][3:4], embedded.detach())
    assert not torch.equal(found.codes[2], found.codes[3])


def test_the_search_gets_closer_to_the_exemplars(config):
    pairs.train(dataclasses.replace(config, steps=20))
    embedded, optimised, _ = load_pairs(config.out).settings["distance_of_levels"]
    assert optimised < embedded


def test_the_sheet_has_a_row_per_exemplar(config):
    pairs.train(dataclasses.replace(config, limit=3))
    with Image.open(f"{config.out}/sheet.png") as sheet:
        assert sheet.size == (7 * RESOLUTION, 3 * RESOLUTION)
    settings = json.loads(open(f"{config.out}/settings.json").read())
    assert settings["left_out"][0].startswith("identity")


def test_finished_batches_are_kept(config, tmp_path, monkeypatch):
    pairs.train(config)
    whole = load_file(f"{config.out}/codes.safetensors")
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    searched, search = [], pairs.Search.__call__

    def stop_after_two(self, images, path):
        if len(searched) == 2:
            raise KeyboardInterrupt
        searched.append(len(images))
        return search(self, images, path)

    monkeypatch.setattr(pairs.Search, "__call__", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        pairs.train(halves)
    searched.clear()
    monkeypatch.setattr(pairs, "tqdm", lambda batches: batches)
    pairs.train(halves)
    assert searched == [2]  # of 2 + 1 pictures on one path and 2 on the other, the last batch
    again = load_file(f"{halves.out}/codes.safetensors")
    assert all(torch.equal(whole[name], again[name]) for name in LEVELS)
    with pytest.raises(TrainingError, match="choose another folder with --out"):
        pairs.train(dataclasses.replace(halves, steps=7))


def test_other_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="python -m train.pairs"):
        load_pairs(tmp_path)
    codes = {name: torch.zeros(2, NUM_WS, CODE) for name in LEVELS}
    metadata = {"format": "pairs-1", "files": '["a.png"]', "settings": "{}", "base_sha256": ""}
    save_file(codes, tmp_path / "codes.safetensors", metadata)
    with pytest.raises(DataError, match="differ in number"):
        load_pairs(tmp_path)


def test_bad_settings_are_refused(config):
    with pytest.raises(OptionError, match="--batch 0"):
        PairsConfig(batch=0)
    with pytest.raises(OptionError, match="--size 32"):
        PairsConfig(size=32)
    with pytest.raises(OptionError, match="steps is 0"):
        PairsConfig(steps=0)
    with pytest.raises(OptionError, match="--tuned"):
        pairs.train(dataclasses.replace(config, tuned=""))
