"""train.motion at 64 px: every kind of step resumes exactly, and ends in a pack that drives."""

import dataclasses
import json

import pytest
import torch

from engine.errors import DataError, OptionError
from engine.models import perceptual
from motion.pack import load_motion_pack
from tests.train.test_clips import write_frames
from tests.train.tiny import assert_same_state, drawn_squeezenet, parts_of, write_tiny
from train import motion, motion_data
from train.augment import jitter_colors
from train.config import run_recipe
from train.motion_config import PRESETS, MotionConfig
from train.motion_data import draw_pairs, load_material
from train.motion_networks import Discriminator, MotionNetworks


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setenv("STYLIZE_DTYPE", "float32")
    monkeypatch.setenv("STYLIZE_DEVICE", "cpu")
    monkeypatch.setattr(perceptual.SqueezeNet, "from_npz", drawn_squeezenet)
    monkeypatch.setattr(motion, "NUM_MEASURED", 2)
    monkeypatch.setattr(motion, "NUM_FRAMES", 2)


@pytest.fixture
def config(tmp_path):
    write_frames(tmp_path / "frames")
    return MotionConfig(
        data=str(tmp_path / "frames"),
        perceptual="drawn",
        size=64,
        num_keypoints=3,
        detector_widths="4,8,8",
        motion_widths="4,8,8",
        generator_widths="4,8",
        num_residuals=1,
        images=8,
        batch=2,
        scales="1",
        sample_every=2,
        holdout=1,
    )


CASES = {
    "plain": {},
    "adversarial": {"gan_weight": 1.0},
    "stills": {"photo_share": 0.5, "zoom": 1.5},
}


@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
def test_every_kind_of_step_resumes_bit_for_bit(config, tmp_path, more):
    if "photo_share" in more:
        more = more | {"photos": str(write_tiny(tmp_path) / "pictures")}
    config = dataclasses.replace(config, **more)
    motion.train(dataclasses.replace(config, out=str(tmp_path / "whole")))
    halves = dataclasses.replace(config, out=str(tmp_path / "halves"), lr_drops="")
    motion.train(dataclasses.replace(halves, images=4))
    motion.train(dataclasses.replace(halves, lr_drops=config.lr_drops))
    assert_same_state(tmp_path / "whole", tmp_path / "halves")


def test_ends_in_a_pack_that_drives(config, tmp_path):
    pack = tmp_path / "packs" / "small"
    config = dataclasses.replace(config, out=str(tmp_path / "run"), pack=str(pack))
    motion.train(config)
    loaded = load_motion_pack(pack)
    assert (loaded.card.name, loaded.card.size, loaded.card.align_corners) == ("small", 64, True)
    assert loaded.card.training["recipe"] == "train.motion" and loaded.card.training["clips"] == 2
    x = torch.rand(1, 3, 64, 64)
    kp = loaded.detector(x)
    assert loaded.generator(x, kp, kp).image.shape == x.shape
    trained = parts_of(tmp_path / "run")["parts"]["detector"]["heat.weight"]
    torch.testing.assert_close(
        loaded.detector.state_dict()["heat.weight"], trained, atol=1e-3, rtol=0
    )
    lines = [json.loads(line) for line in (tmp_path / "run" / "stats.jsonl").open()]
    assert {"perceptual", "equivariance_value", "equivariance_jacobian", "l1"} <= set(lines[-1])
    assert any("held_l1" in line for line in lines)
    assert list((tmp_path / "run").glob("samples-*.png"))


def test_all_parts_learn(config, tmp_path):
    config = dataclasses.replace(config, out=str(tmp_path / "run"), gan_weight=1.0)
    torch.manual_seed(0)
    before = MotionNetworks(config, torch.device("cpu"))
    motion.train(config)
    after = parts_of(tmp_path / "run")["parts"]
    for name, network in (
        ("detector", before.detector),
        ("generator", before.generator),
        ("D", before.D),
    ):
        for key, parameter in network.named_parameters():
            # a bias before a norm has no effect; its gradient is a rounding error or nothing
            if not key.endswith("bias"):
                assert not torch.equal(parameter, after[name][key]), f"{name} {key}"


def test_shares_give_the_gradients_of_the_whole_batch(config, tmp_path, monkeypatch):
    """Batch statistics are a share's own: compared with fixed ones."""
    monkeypatch.setattr(MotionNetworks, "train", lambda self, mode=True: None)
    states = []
    for accumulate in (1, 2):
        out = tmp_path / str(accumulate)
        start = MotionNetworks.__init__

        def fixed(self, *args, start=start):
            start(self, *args)
            self.detector.eval()
            self.generator.eval()

        with monkeypatch.context() as patch:
            patch.setattr(MotionNetworks, "__init__", fixed)
            motion.train(dataclasses.replace(config, out=str(out), images=2, accumulate=accumulate))
        states.append(parts_of(out)["parts"]["opt_G"]["state"])
    for one, two in zip(states[0].values(), states[1].values(), strict=True):
        torch.testing.assert_close(one["exp_avg"], two["exp_avg"], rtol=1e-3, atol=1e-5)


def test_stills_are_deformed_twice(config, tmp_path):
    photos = str(write_tiny(tmp_path) / "pictures")
    config = dataclasses.replace(config, photos=photos, photo_share=0.99, jitter=0.0)
    material = load_material(config, torch.device("cpu"))
    torch.manual_seed(0)
    pairs = draw_pairs(config, material, torch.Generator().manual_seed(1), torch.device("cpu"))
    assert pairs.shape == (2, 2, 3, 64, 64) and pairs.min() >= 0 and pairs.max() <= 1
    change = (pairs[:, 0] - pairs[:, 1]).abs().mean()
    strangers = (pairs[0, 0] - pairs[1, 0]).abs().mean()
    assert 0 < change < strangers


def test_zoom_enlarges_a_pair_alike_about_its_middle(config):
    material = load_material(dataclasses.replace(config, zoom=2.0), torch.device("cpu"))
    assert (material.clips.size, material.held.size) == (128, 64)
    column = torch.linspace(-1, 1, 128).expand(8, 2, 3, 128, 128)
    torch.manual_seed(0)
    zoomed = motion_data._zoomed(column, 64)
    assert zoomed.shape == (8, 2, 3, 64, 64)
    torch.testing.assert_close(zoomed[:, 0], zoomed[:, 1])
    torch.testing.assert_close(zoomed, -zoomed.flip(4))
    ends = zoomed[:, 0, 0, 0, -1]
    assert ((ends > 0.45) & (ends < 1)).all() and ends.std() > 0.05
    assert motion_data._zoomed(column, 128) is column


def test_jitter_changes_a_pair_alike():
    pairs = torch.rand(3, 1, 3, 8, 8).expand(-1, 2, -1, -1, -1) * 0.6 + 0.2
    assert torch.equal(jitter_colors(pairs, 0.0), pairs)
    torch.manual_seed(0)
    jittered = jitter_colors(pairs, 0.1)
    assert torch.equal(jittered[:, 0], jittered[:, 1])
    assert 0.005 < (jittered - pairs).abs().mean() < 0.2


def test_discriminator_sees_where_keypoints_are(config):
    D = Discriminator(3, (4, 8, 8))
    kp = MotionNetworks(config, torch.device("cpu")).detector(torch.rand(2, 3, 64, 64))
    score, features = D(torch.zeros(2, 3, 64, 64), kp)
    assert score.shape[:2] == (2, 1) and [f.shape[1] for f in features] == [4, 8, 8]
    elsewhere = dataclasses.replace(kp, value=kp.value + 0.5)
    assert not torch.equal(score, D(torch.zeros(2, 3, 64, 64), elsewhere)[0])


def test_learning_rate_falls_as_published():
    vox = PRESETS["vox"]
    parts = (0, 0.59, 0.6, 0.9)
    rates = [vox.lr_at(int(part * vox.images)) for part in parts]
    assert rates == pytest.approx([2e-4, 2e-4, 2e-5, 2e-6])
    assert PRESETS["vox-adv"].lr_at(PRESETS["vox-adv"].images) == 2e-4


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_print(preset, capsys):
    run_recipe(MotionConfig, PRESETS, None, "", ["--preset", preset, "--dry-run"])
    assert json.loads(capsys.readouterr().out)["num_keypoints"] == 10


def test_published_networks(monkeypatch):
    """The vox preset builds networks of the published sizes."""
    nets = MotionNetworks(PRESETS["vox"], torch.device("meta"))
    sizes = [
        sum(p.numel() for p in n.state_dict().values()) for n in (nets.detector, nets.generator)
    ]
    assert sum(sizes) * 4 == pytest.approx(239_260_316, rel=1e-3)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"size": 100}, "--size 100 must be a multiple"),
        ({"scales": "1,4"}, "end at 16 px"),
        ({"scales": "one"}, "whole numbers with commas"),
        ({"zoom": 0.5}, "--zoom is 0.5"),
        ({"batch": 1}, "batch norm compares"),
        ({"photo_share": 0.5}, "both or none"),
    ],
)
def test_refused(config, setting, message):
    with pytest.raises(OptionError, match=message):
        dataclasses.replace(config, **setting)


def test_missing_clips(config):
    with pytest.raises(DataError, match="--data"):
        motion.train(dataclasses.replace(config, data=""))
