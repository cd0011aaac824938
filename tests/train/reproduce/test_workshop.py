"""Every table end to end on tiny networks; what is finished is not done again."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from engine.errors import Cancelled, DataError, OptionError, TrainingError
from train import transfer
from train.reproduce import agilegan, blendgan, lu_zhou, ui2i
from train.reproduce.__main__ import main
from train.reproduce.settings import Settings
from train.reproduce.workshop import FINISHED, Part, Workshop


@pytest.fixture(autouse=True)
def small_machine(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(transfer, "NUM_JUDGED", 4)
    monkeypatch.setattr(agilegan, "PRIOR", 40)


@pytest.fixture(scope="module")
def settings(folder):
    """Data laid out as the tables expect, with the networks of other recipes' tests."""
    random = np.random.default_rng(1)
    for name in ("photos/train", "photos/test", "styles/ink", "styles/oil"):
        (folder / "data" / name).mkdir(parents=True)
        for i in range(16 if name.startswith("styles") else 12):
            tile = random.integers(0, 255, (4, 4, 3), np.uint8)
            file = folder / "data" / name / f"{name.split('/')[1]}_{i:02}.png"
            Image.fromarray(tile).resize((64, 64)).save(file)
    return Settings(
        data=str(folder / "data"),
        style="ink",
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        out=str(folder / "out"),
        docs=str(folder / "docs"),
        budget=8,
        photos=8,
        inverted=8,
        steps=1,
        exemplars=2,
        codes=4,
        looks=16,
    )


def flags(settings):
    words = []
    for field in dataclasses.fields(settings):
        words += [f"--{field.name.replace('_', '-')}", str(getattr(settings, field.name))]
    return words


def no_training(config):
    raise AssertionError(f"trained again: {config.out}")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blendgan", "ui2i", "lu_zhou", "agilegan"])
def test_a_table_from_nothing_and_again_from_what_is_there(settings, name, monkeypatch, capsys):
    assert main([name, *flags(settings)]) == 0
    assert "orderings of the paper hold" in capsys.readouterr().out
    docs = settings.docs
    text = open(f"{docs}/{name}.md", encoding="utf-8").read()
    values = json.load(open(f"{docs}/{name}.json", encoding="utf-8"))
    assert settings.out not in json.dumps(values)
    assert all(
        np.isfinite([n["value"], *n["halves"]]).all()
        for t in values["tables"]
        for r in t["rows"].values()
        for n in r.values()
    )
    for table in values["tables"]:
        if table["figure"]:
            assert (
                table["figure"][0] in text
                and Image.open(f"{docs}/{table['figure'][0]}").width > 100
            )
    for recipe in ("transfer", "encoder", "pairs", "paired", "style_encoder"):
        monkeypatch.setattr(f"train.{recipe}.train", no_training)
    assert main([name, *flags(settings)]) == 0
    again = json.load(open(f"{docs}/{name}.json", encoding="utf-8"))
    assert again["tables"] == values["tables"]


def test_dry_run_lists_the_parts_and_trains_nothing(settings, capsys):
    assert main(["ui2i", "agilegan", "--dry-run", *flags(settings)]) == 0
    parts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [p["name"] for p in parts[:3]] == ["without-ft", "ft", "fc-ft"]
    assert {p["images"] for p in parts[:3]} == {8}
    spaces = {p["name"]: p.get("space", "z+") for p in parts[4:]}
    assert spaces["encoder-psp"] == "w+" and spaces["encoder-without-zplus"] == "z"


def test_parts_differ_only_in_what_is_compared(settings):
    """Budget, data and rates are those of the first row everywhere."""
    may = {"ui2i": {"out", "base", "freeze_mapping", "pack", "method"}}
    may["lu_zhou"] = {"out", "pack", "pairs", "level", "semantic_weight"}
    may["agilegan"] = {"out", "base", "space", "variational", "w_norm_weight"}
    groups = {"ui2i": ui2i.parts(settings), "lu_zhou": lu_zhou.parts(settings)[2:]}
    groups["agilegan"] = agilegan.parts(settings)[1:]
    for name, parts in groups.items():
        first = dataclasses.asdict(parts[0].config)
        for part in parts[1:]:
            other = dataclasses.asdict(part.config)
            assert {k for k in first if first[k] != other[k]} <= may[name], part.name


def write_state(folder, images):
    folder.mkdir(exist_ok=True)
    torch.save({"cur_nimg": images}, folder / "state.pt")


def test_a_stopped_part_is_not_taken_for_a_finished_one(settings, tmp_path):
    config = dataclasses.replace(ui2i.parts(settings)[1].config, out=str(tmp_path / "ft"))
    seen = iter((4, 8))
    part = Part("ft", lambda config: write_state(tmp_path / "ft", next(seen)), config, 8)
    shop = Workshop(settings)
    with pytest.raises(Cancelled, match="ft was stopped; the same command goes on"):
        shop.run(part)
    assert shop.run(part) == tmp_path / "ft"
    assert shop.run(part) == tmp_path / "ft"  # seen is used up: nothing was trained
    other = dataclasses.replace(part, config=dataclasses.replace(config, lr=0.5))
    with pytest.raises(TrainingError, match="finished with other settings"):
        shop.run(other)
    (tmp_path / "ft" / FINISHED).unlink()


def test_inversions_are_searched_once(settings, monkeypatch):
    shop = Workshop(settings)
    photos = shop.chosen(shop.photos)
    first = shop.invert("image2stylegan", photos)
    monkeypatch.setattr("train.reproduce.workshop.invert", no_training)
    assert torch.equal(shop.invert("image2stylegan", photos).ws, first.ws)
    assert first.ws.shape == photos.ws.shape


def test_copies_are_spread_and_complete(settings, tmp_path):
    shop = Workshop(dataclasses.replace(settings, out=str(tmp_path)))
    source = tmp_path / "from"
    shutil.copytree(settings.drawings, source)
    names = sorted(p.name for p in shop.copied(source, "some", 3).iterdir())
    assert names == ["ink_00.png", "ink_07.png", "ink_15.png"]
    with pytest.raises(DataError, match="photos/train, photos/test and styles"):
        shop.copied(tmp_path / "nowhere", "none", 3)


def test_encoders_start_from_the_same_trunk(settings, tmp_path):
    """The trunk is the base's, in every space; the layers that answer codes are new."""
    shop = Workshop(dataclasses.replace(settings, out=str(tmp_path)))
    old = shop.source.E.state_dict()
    for row, space in agilegan.SPACES.items():
        part = agilegan.embedding(shop.settings, row)
        agilegan.write_start(shop, part.config)
        source = agilegan.load_source(part.config.base)
        new = source.encoder_into(space).state_dict()
        trunk = [name for name in new if name.startswith("body.") and name.endswith("weight")]
        assert trunk and all(torch.allclose(new[n], old[n].cpu(), atol=1e-2) for n in trunk), row
        heads = [n for n in new if agilegan.HEADS.search(n) and n in old and "weight" in n]
        assert all(
            not torch.allclose(new[n], old[n].cpu(), atol=1e-2)
            for n in heads
            if n != "fc_var.weight"
        )


def test_held_out_looks_are_not_trained_on(settings, tmp_path):
    shop = Workshop(dataclasses.replace(settings, out=str(tmp_path)))
    styles = sorted((shop.settings.drawings.parent).iterdir())
    held = blendgan.write_looks(shop, styles)
    trained = {p.name for p in (tmp_path / "looks").iterdir()}
    assert set(held.attributes) == {"ink", "oil"} and len(held) == 12
    assert not trained & set(held.files) and len(trained) == 20


@pytest.mark.parametrize(
    ("given", "said"),
    [({"budget": 1}, "--budget 1 is too small"), ({"inverted": 80}, "--inverted 80 is more than")],
)
def test_settings_that_cannot_be_measured_are_refused(given, said):
    with pytest.raises(OptionError, match=said):
        Settings(**given)


def test_a_mistake_ends_in_a_message(settings, capsys):
    assert main(["ui2i", *flags(dataclasses.replace(settings, data="nowhere"))]) == 1
    assert "nowhere" in capsys.readouterr().err
