"""train.shrink: smaller packs that draw the same, or packs left alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

import train.shrink
from engine.card import FORMAT_VERSION, GENERATOR_FILE
from engine.errors import PackError
from engine.library import StyleLibrary
from engine.pack import load_pack, save_pack
from tests.packs import write_packs


def test_a_pack_gets_smaller_and_draws_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr("engine.eight_bits.SMALLEST", 64)
    packs = write_packs(tmp_path)
    folder = packs / "cartoon"
    ws = torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(1))
    before = StyleLibrary([packs]).load("cartoon").synthesize(ws)
    size = (folder / GENERATOR_FILE).stat().st_size
    assert train.shrink.main([str(folder)]) == 0
    assert "8 bits" in capsys.readouterr().out
    after = StyleLibrary([packs]).load("cartoon").synthesize(ws)
    assert 0 < (after - before).abs().max() < 0.2
    card = load_pack(folder).card
    assert card.training["stored"].startswith("8 bits") and card.format_version == FORMAT_VERSION
    assert (folder / GENERATOR_FILE).stat().st_size < size


def test_layers_of_the_base_but_for_a_last_digit_are_left_out(tmp_path: Path):
    folder = write_packs(tmp_path) / "cartoon"
    pack, base = load_pack(folder), load_pack(tmp_path / "base").state(GENERATOR_FILE)
    own = pack.state(GENERATOR_FILE)
    name = next(n for n, v in base.items() if n.startswith("synthesis.b4.") and v.ndim == 4)
    mixed = {**own, name: base[name].float() * (1 - 2**-12)}
    save_pack(folder, pack.card, {GENERATOR_FILE: mixed})
    train.shrink.shrink(str(folder), StyleLibrary([tmp_path]))
    assert name not in load_pack(folder).state(GENERATOR_FILE)


def test_a_pack_that_would_draw_otherwise_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    folder = write_packs(tmp_path) / "cartoon"
    before = (folder / GENERATOR_FILE).read_bytes()
    pictures = iter(torch.from_numpy(np.full((1, 8, 8, 3), shade, np.uint8)) for shade in (10, 20))
    monkeypatch.setattr(train.shrink, "_pictures", lambda state, card: next(pictures))
    assert train.shrink.main([str(folder)]) == 1
    assert "draws other pictures: 28.1 dB" in capsys.readouterr().err
    assert (folder / GENERATOR_FILE).read_bytes() == before


def test_base_packs_are_refused(tmp_path: Path):
    with pytest.raises(PackError, match="is a base pack"):
        train.shrink.shrink(str(write_packs(tmp_path) / "base"))
