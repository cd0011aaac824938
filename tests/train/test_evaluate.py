"""train.evaluate end to end on 32 px packs, and what its numbers must be."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests.packs import write_packs
from train import evaluate
from train.cost import cost
from train.evaluate import main, spread
from train.seen import drawn_by


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


def write_pictures(folder, count, seed):
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for i in range(count):
        tile = random.integers(0, 255, (4, 4, 3), np.uint8)
        Image.fromarray(tile).resize((32, 32)).save(folder / f"{i:02}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    write_packs(folder / "packs", ["comic"])
    write_pictures(folder / "photos", 8, seed=0)
    write_pictures(folder / "drawings" / "comic", 9, seed=1)
    return folder


def run(folder, out, *packs, **more):
    flags = {"photos": folder / "photos", "exemplars": folder / "drawings", "out": out, **more}
    words = [str(word) for name, value in flags.items() for word in (f"--{name}", value)]
    return main([*(str(folder / "packs" / pack) for pack in packs), *words])


def test_tables_files_and_the_same_numbers_again(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("train.measures.PRIOR", 40)
    assert run(folder, tmp_path / "a", "base", "comic") == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("comic first", "comic second", "style fraction", "ssim"))
    document = json.loads((tmp_path / "a" / "evaluation.json").read_text())
    base, first, second = document["rows"]
    assert [row["name"] for row in document["rows"]] == ["base", "comic first", "comic second"]
    assert "ssim_8" in base["results"] and "kid_discriminator_8x9" in first["results"]
    assert base["cost"]["resolution"] == 32 and base["cost"]["training_hours"] is None
    assert first["results"] != second["results"]  # the paths have weights of their own
    values = [v for row in document["rows"] for v in row["results"].values()]
    assert np.isfinite(values).all()
    for file in ("figure.png", "sheet-base.png", "sheet-comic.png"):
        assert Image.open(tmp_path / "a" / file).size[0] > 200
    assert run(folder, tmp_path / "b", "comic") == 0
    again = json.loads((tmp_path / "b" / "evaluation.json").read_text())
    assert again["rows"][0]["results"] == first["results"]  # whatever was measured before


def test_lpips_is_measured_where_its_weights_are(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("train.measures.PRIOR", 40)
    words = ["--lpips", "--photos", str(folder / "photos"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert main([str(folder / "packs" / "base"), *words]) == 1
    assert "LPIPS needs alexnet-owt-7be5be79.pth" in capsys.readouterr().err

    def stand_in(network):
        return lambda a, b: (a - b).abs().mean(dim=(1, 2, 3))

    monkeypatch.setattr(evaluate, "lpips_distance", stand_in)
    assert main([str(folder / "packs" / "base"), *words]) == 0
    results = json.loads((tmp_path / "out" / "evaluation.json").read_text())["rows"][0]["results"]
    assert 0 < results["lpips_alexnet_8"] < 2


@pytest.mark.parametrize(
    ("packs", "more", "message"),
    [
        (["comic"], {"exemplars": ""}, "name their folder.*--exemplars"),
        (["comic"], {"photos": ""}, "name one with --photos"),
        (["base"], {"count": 3}, "3 photos in .* at least 8 are accepted"),
        (["absent"], {}, "absent.*is missing"),
        (["base"], {"perceptual": "absent.npz"}, "cannot read the perceptual network 'absent.npz'"),
    ],
)
def test_errors_say_what_to_do(folder, tmp_path, capsys, packs, more, message):
    assert run(folder, tmp_path / "out", *packs, **more) == 1
    error = capsys.readouterr().err.replace("\n", " ")
    assert re.search(message, error), error


def test_costs_are_summed_over_generator_and_encoder_only(folder):
    from engine.pack import read_card

    card = read_card(folder / "packs" / "base")
    entries = {"generator.safetensors": {"hours": 1, "images_seen": 5}}
    entries |= {"encoder.safetensors": {"hours": 2}, "detector.safetensors": {"hours": 9}}
    object.__setattr__(card, "training", entries)
    found = cost(card, [torch.nn.Linear(2, 3)])
    assert (found["parameters"], found["training_hours"], found["images_seen"]) == (9, 3, 5)


def test_spread_keeps_both_ends():
    assert spread(torch.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert len(spread(torch.arange(3), 0)) == len(spread(torch.arange(3), 9)) == 3


def test_long_tables_wrap_and_show_every_metric():
    results = [evaluate.Result(f"m{i}", i / 3) for i in range(11)]
    costs = {"parameters": 2e6, "resolution": 64, "seconds_per_image": 0.5}
    costs |= {"training_hours": None, "images_seen": 10}
    row = evaluate.Evaluation("name", "base", results, costs)
    text = "\n".join(evaluate.table([row]))
    assert all(f"m{i}" in text for i in range(11)) and max(map(len, text.splitlines())) < 120
    assert "2.0" in text and "500" in text and " -" in text


def test_what_was_not_measured_of_a_row_is_a_dash():
    costs = {"parameters": 1e6, "resolution": 64, "seconds_per_image": 0.5}
    costs |= {"training_hours": 1, "images_seen": 10}
    one, other = evaluate.Result("kid", 0.5), evaluate.Result("skin", 7.0)
    rows = [
        evaluate.Evaluation("gray", "blended", [one], costs),
        evaluate.Evaluation("coloured", "blended", [one, other], costs),
    ]
    gray, coloured = (line.split() for line in evaluate.table(rows)[2:4])
    assert gray[1:3] == ["0.5", "-"] and coloured[1:3] == ["0.5", "7"]


def test_large_pictures_are_reduced_before_they_are_compared():
    def draw(ws):
        return ws.mean(dim=(1, 2))[:, None, None, None].expand(-1, 3, 512, 512) * 9

    pictures = drawn_by(draw, torch.ones(20, 2, 4))
    assert pictures.shape == (20, 3, 256, 256) and pictures.max() == 1
