"""train.directions: what is known of photos comes back as directions, and edits draw them."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from engine.base import read_base
from engine.errors import DataError
from engine.pack import load_pack
from engine.runtime import Runtime
from engine.sefa import edit
from train.data import ImageSet
from train.directions import (
    LEAST,
    DirectionsConfig,
    coefficient,
    look_at,
    narrowed,
    read_kinds,
    train,
)
from train.packs import load_source

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


@pytest.fixture(autouse=True)
def on_the_cpu(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")


@pytest.fixture
def photos(tmp_path):
    """48 pictures, of half of which the expression is known, and too few attributes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = ["file,attribute,expression"]
    for i in range(2 * LEAST + 8):
        tile = random.integers(0, 255, (8, 8, 3), np.uint8)
        Image.fromarray(tile).resize((64, 64)).save(folder / f"{i:02}.png")
        expression = ("smiling", "neutral")[i % 2] if i < 2 * LEAST else ""
        rows.append(f"{i:02}.png,{'female' if i < 3 else ''},{expression}")
    (folder / "data.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def base(folder, tmp_path):
    """A copy of the base pack, to write into."""
    return shutil.copytree(folder / "packs" / "base", tmp_path / "base")


def test_a_known_direction_is_found_beside_another():
    generator = torch.Generator().manual_seed(0)
    y, other = torch.randn(2, 200, generator=generator)
    y = y + other  # the two go together, as light and turns do
    wanted, rest = torch.randn(2, 4, 16, generator=generator)
    ws = 3 + y[:, None, None] * wanted + other[:, None, None] * rest
    y[:50] = torch.nan
    torch.testing.assert_close(coefficient(ws, y, other[:, None]), wanted, rtol=1e-4, atol=1e-4)


def test_light_from_the_right_is_told_from_a_turn_to_the_right():
    ramp = torch.linspace(0, 200, 64).expand(64, 64)
    nose = torch.full((64, 64), 90.0)
    nose[:, 42:44] = 200
    shown = torch.stack([ramp, ramp.flip(1), nose, nose.flip(1)])
    pictures = ImageSet(shown[:, None].expand(-1, 3, -1, -1).byte(), ("",) * 4, tuple("abcd"))
    turn, light, _ = look_at(pictures).T
    assert light[0] > 0.5 > -0.5 > light[1] and light[2:].abs().max() < light[0]
    assert turn[2] > turn[3]


def test_kinds_with_few_photos_are_left_out(photos):
    files = tuple(sorted(p.name for p in photos.glob("*.png")))
    kinds = read_kinds(str(photos), ImageSet(torch.zeros(len(files), 3, 8, 8), files, files))
    assert list(kinds) == ["Smile"]
    assert kinds["Smile"][:2].tolist() == [0.5, -0.5] and kinds["Smile"][-8:].isnan().all()


def test_the_pack_holds_what_was_learned(base, photos):
    before = load_source(base)
    record = train(DirectionsConfig(data=str(photos), about="drawn", base=str(base)))
    assert record["Smile"] == 2 * LEAST
    loaded = read_base(load_pack(base), RUNTIME)
    names = loaded.pack.card.directions
    assert names == ("Smile", "Turn", "Light from the side")
    learned = loaded.directions[: len(names)]
    assert all(d.shape == (before.G.num_ws, 512) for d in learned)
    assert loaded.directions[len(names)].shape == (512,)  # SeFa's follow
    ws = torch.zeros(1, before.G.num_ws, 512)
    torch.testing.assert_close(edit(ws, learned[0], 2.0)[0], 2 * learned[0])
    assert not edit(ws, learned[0], 2.0, range(1))[:, 1:].any()


def test_a_narrowed_direction_keeps_to_its_layers_and_apart_from_the_others():
    direction, other = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    layers = slice(2, 4)
    alone = narrowed(direction, layers, [])
    assert alone[layers].equal(direction[layers]) and not alone[:2].any() and not alone[4:].any()
    apart = narrowed(direction, layers, [other])
    theirs = other[layers].flatten()
    assert (
        (apart[layers].flatten() @ theirs).abs() < 1e-5 < (alone[layers].flatten() @ theirs).abs()
    )
    assert not apart[:2].any() and not apart[4:].any()


def test_too_few_photos_are_refused(base, photos):
    for file in sorted(photos.glob("*.png"))[LEAST - 1 :]:
        file.unlink()
    with pytest.raises(DataError, match="has 19 photos; 20 are needed"):
        train(DirectionsConfig(data=str(photos), base=str(base)))
