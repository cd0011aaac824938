"""train.transfer at 64 px: every preset's settings resume exactly, shares of a batch agree."""

import dataclasses
import json

import pytest
import torch
from PIL import Image

from engine.card import GENERATOR_FILE
from engine.errors import DataError, OptionError, TrainingError
from engine.library import StyleLibrary
from engine.runtime import pick_runtime
from engine.surgery import block_resolution, expand_paths
from tests.train.test_recipes import assert_same_state, parts_of
from train import transfer
from train.gan import first_layers
from train.packs import load_source
from train.transfer_config import PRESETS, TransferConfig


@pytest.fixture(autouse=True)
def float32(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(transfer, "NUM_JUDGED", 4)


@pytest.fixture
def config(folder):
    return TransferConfig(
        data=str(folder / "pictures"),
        base=str(folder / "packs" / "base"),
        perceptual=str(folder / "net.npz"),
        path_until=16,
        iterations=4,
        batch=2,
        r1_interval=2,
        path_interval=2,
        sample_every=2,
        choose_every=0,
    )


def settings(preset, **more):
    """The settings of a preset that change what is computed, on top of the tiny ones."""
    kept = ("loss", "sim_weight", "sim_drop", "code_space", "mixing", "freeze_d", "ada_speed")
    chosen = {name: getattr(PRESETS[preset], name) for name in (*kept, "swap_resolution", "method")}
    return chosen | more


CASES = {
    "high paths, three attributes": {"attributes": "a,b,c", "path_from": 32, "path_until": 64},
    "ui2i": settings("ui2i"),
    "freeze d and adaptive augmentation": settings("ui2i-small", ada_p=0.3, ada_speed=100.0),
    "mapping trained": {"freeze_mapping": False, "code_space": "z"},
    "choice": {"choose_every": 1, "holdout": 4},
}


@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
def test_every_setting_resumes_bit_for_bit(config, tmp_path, more):
    config = dataclasses.replace(config, **more)
    transfer.train(dataclasses.replace(config, out=str(tmp_path / "whole")))
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"))
    transfer.train(dataclasses.replace(halves, iterations=2))
    transfer.train(halves)
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def source_state(config):
    return load_source(config.base).G.state_dict()


def test_ui2i_freezes_the_mapping_for_real(config, folder, tmp_path):
    """The public code froze the average's mapping only: its trained generator forgot W."""
    pack = folder / "packs" / "ui2i"
    config = dataclasses.replace(config, out=str(tmp_path), pack=str(pack), **settings("ui2i"))
    source = load_source(config.base)
    nets = transfer.Networks(config, source, pick_runtime())
    trained = {id(p) for group in nets.opt_G.param_groups for p in group["params"]}
    assert not any(p.requires_grad or id(p) in trained for p in nets.G.mapping.parameters())
    transfer.train(config)
    parts, before = parts_of(tmp_path)["parts"], source_state(config)
    for name in before:
        same = torch.equal(parts["G"][name], before[name])
        assert same or not name.startswith("mapping."), name
    assert not torch.equal(parts["G"]["synthesis.b4.const"], before["synthesis.b4.const"])
    style = StyleLibrary([folder / "packs"]).load("ui2i", pick_runtime())
    assert (style.card.kind, style.card.swap_resolution) == ("swapped", 32)
    assert style.card.method == "UI2I-StyleGAN2"
    with Image.open(tmp_path / "swap.png") as sweep:  # source, 32, 16, 8 px, style
        assert sweep.size == (transfer.NUM_JUDGED * 64, 5 * 64)


def test_an_open_mapping_is_trained_but_makes_no_pack(config, tmp_path):
    config = dataclasses.replace(config, freeze_mapping=False, out=str(tmp_path))
    transfer.train(config)
    name = "mapping.fc0.weight"
    assert not torch.equal(parts_of(tmp_path)["parts"]["G"][name], source_state(config)[name])
    with pytest.raises(OptionError, match="--pack needs --freeze-mapping yes"):
        dataclasses.replace(config, pack="packs/x")


def test_freeze_d_keeps_the_first_blocks(config, tmp_path):
    config = dataclasses.replace(config, freeze_d=2, out=str(tmp_path))
    transfer.train(config)
    before = load_source(config.base).D
    after = parts_of(tmp_path)["parts"]["D"]
    for name, value in before.state_dict().items():
        if name == "b4.out.bias":  # where hinges push as hard from both sides
            continue
        kept = name.startswith(("b64.", "b32."))
        assert torch.equal(after[f"0.{name}"], value) == kept, name
    assert len(first_layers(before, 0)) == 0


def test_freeze_g_keeps_shapes_of_all_paths(config, tmp_path):
    more = {"attributes": "a,b", "path_from": 8, "path_until": 32}
    config = dataclasses.replace(config, freeze_share=0.5, out=str(tmp_path), **more)
    transfer.train(config)
    before = expand_paths(source_state(config), 2, 32)
    after = parts_of(tmp_path)["parts"]["G"]
    moved = [name for name in before if not torch.equal(after[name], before[name])]
    assert {block_resolution(name) for name in moved} == {32, 64}
    with pytest.raises(OptionError, match="--freeze-share 2 is not within 0 and 1"):
        dataclasses.replace(config, freeze_share=2)


def test_paths_in_high_layers_become_a_style(config, folder, tmp_path):
    pack = folder / "packs" / "high"
    more = {"attributes": "a,b,c", "path_from": 32, "path_until": 64}
    transfer.train(dataclasses.replace(config, out=str(tmp_path), pack=str(pack), **more))
    style = StyleLibrary([folder / "packs"]).load("high", pick_runtime())
    assert style.card.attributes == ("a", "b", "c")
    ws = style.base.generator.ws(torch.randn(1, 512))
    features = [style.network(path).synthesis.features(ws, until=16) for path in range(3)]
    assert torch.equal(features[0], features[2])
    assert not torch.equal(style.synthesize(ws, path=0), style.synthesize(ws, path=2))


def test_the_best_candidate_becomes_the_pack(config, folder, tmp_path):
    pack = folder / "packs" / "chosen"
    config = dataclasses.replace(config, choose_every=1, out=str(tmp_path), pack=str(pack))
    transfer.train(config)
    best = parts_of(tmp_path)["parts"]["choice"]
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert best["cur_nimg"] in (2, 4, 6, 8) and best["style"] > 0 and best["likeness"] > 0
    style = StyleLibrary([folder / "packs"]).load("chosen", pick_runtime())
    assert style.card.training["chosen"]["cur_nimg"] == best["cur_nimg"]
    stored = style.pack.state(GENERATOR_FILE)["synthesis.b64.conv1.weight"]
    wanted = best["weights"]["synthesis.b64.conv1.weight"].half().float()
    assert torch.equal(stored.float(), wanted)
    assert lines[-1]["style"] > 0 and lines[-1]["score"] > 0


def test_shares_give_the_gradients_of_the_whole_batch(config, tmp_path):
    """All draws are those of the batch: --accumulate changes nothing but the memory needed."""
    more = {"attributes": "a,b", "batch": 8, "iterations": 2, "ada_p": 0.3, "lr": 1e-6}
    for count in (1, 2):
        out = str(tmp_path / str(count))
        transfer.train(dataclasses.replace(config, accumulate=count, out=out, **more))
    assert_same_gradients(tmp_path / "1", tmp_path / "2")
    with pytest.raises(OptionError, match="2 pictures cannot be divided into 3 shares"):
        transfer.train(dataclasses.replace(config, accumulate=3, out=str(tmp_path / "3")))


def assert_same_moments(a, b, optimizers, least=1e-6):
    """Both of Adam's moments in two runs; below `least` a value is compared as if it were that."""
    first, second = parts_of(a)["parts"], parts_of(b)["parts"]
    for name in optimizers:
        assert first[name]["state"].keys() == second[name]["state"].keys()
        for i, state in first[name]["state"].items():
            for moment in ("exp_avg", "exp_avg_sq"):
                value, other = state[moment], second[name]["state"][i][moment]
                error = (other - value).abs().max() / value.abs().max().clamp_min(least)
                assert error < 1e-3, f"{name} {i} {moment}"


def assert_same_gradients(a, b):
    """Of the last steps (Adam's first moment, as its beta is 0) and of all (its second)."""
    assert_same_moments(a, b, ["opt_G", "opt_D"], least=1e-4)
    first, second = parts_of(a)["parts"], parts_of(b)["parts"]
    for name in ("G", "G_ema", "D"):
        for key, value in first[name].items():
            assert (second[name][key] - value).abs().max() < 1e-5, f"{name} {key}"
    assert first["values"] == pytest.approx(second["values"], abs=1e-6)
    assert first["augment"] == pytest.approx(second["augment"])


def test_bad_settings_are_refused(config, tmp_path):
    with pytest.raises(OptionError, match="--loss 'wasserstein' is none of hinge, logistic"):
        TransferConfig(loss="wasserstein")
    with pytest.raises(OptionError, match="from 16 to 8 px"):
        more = {"attributes": "a,b", "path_from": 16, "path_until": 8}
        transfer.train(dataclasses.replace(config, out=str(tmp_path), **more))
    with pytest.raises(DataError, match="11 of 12 pictures cannot be held out"):
        transfer.train(dataclasses.replace(config, out=str(tmp_path), holdout=11))


def test_a_diverged_training_keeps_the_last_good_state(config, tmp_path):
    transfer.train(dataclasses.replace(config, out=str(tmp_path), iterations=2))
    good = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(TrainingError, match="lower"):
        wild = dataclasses.replace(config, out=str(tmp_path), iterations=40, sim_weight=1e38)
        transfer.train(wild)
    assert (tmp_path / "state.pt").read_bytes() == good
