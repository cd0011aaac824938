"""What is said of a training, on pictures whose answer is known."""

import dataclasses
import json

import pytest
import torch
from torch import nn

from engine.models.perceptual import SqueezeNet
from train import features
from train.data import ImageSet
from train.loop import Run
from train.monitors import Choice, Judge, concerns, observe, overfitting, take_best

FINE = {"style": 0.3, "likeness": 0.4, "diversity": 0.9, "nearest": 1.1}


def pictures(seed, n=6):
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 4, 4, generator=random) * 2 - 1
    return nn.functional.interpolate(coarse, (64, 64), mode="bilinear")


@pytest.fixture(scope="module")
def exemplars():
    images = ((pictures(1) + 1) * 127.5).byte()
    return ImageSet(images, ("",) * 6, tuple("abcdef"))


@pytest.fixture(scope="module")
def judge(exemplars):
    """With a network of drawn weights that lets signals through to its last layer."""
    torch.manual_seed(0)
    net = SqueezeNet()
    for weight in net.parameters():
        nn.init.kaiming_normal_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SqueezeNet, "from_npz", lambda path: net)
        eyes = features.squeezenet_eyes("net.npz", torch.device("cpu"))
    return Judge(eyes, [pictures(0)], [exemplars])


@dataclasses.dataclass(frozen=True)
class Settings:
    likeness_weight: float = 1.0


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path, Settings(), total=8, batch=1, state={})


def test_the_source_is_all_likeness_and_no_style(judge):
    numbers = judge([pictures(0)])
    assert numbers["style"] == pytest.approx(1) and numbers["diversity"] == pytest.approx(1)
    assert numbers["likeness"] == pytest.approx(0, abs=1e-4)
    assert list(concerns(numbers)) == []


def test_copies_of_the_exemplars_are_all_style_and_noticed(judge, exemplars):
    numbers = judge([exemplars.images / 127.5 - 1])
    assert numbers["style"] < 1e-3 and numbers["likeness"] == pytest.approx(1, abs=0.1)
    assert numbers["nearest"] < 1e-3
    [warning] = concerns(numbers)
    assert "may be copies" in warning


def test_a_style_is_no_lost_likeness(judge):
    """What all pictures have in common does not make one of them look like another's source."""
    dark = judge([0.5 * pictures(0) - 0.5])
    swapped = judge([pictures(0).flip(0)])
    assert dark["likeness"] < 0.85 < 0.9 < swapped["likeness"]


def test_a_collapse_is_noticed(judge):
    numbers = judge([pictures(0)[:1].expand(6, -1, -1, -1)])
    assert numbers["diversity"] < 1e-3 and numbers["likeness"] > 0.9
    assert "become alike" in next(concerns(numbers))


@pytest.mark.parametrize(
    "sign, held_out, said",
    [
        (0.6, None, None),
        (0.6, 0.8, None),
        (0.6, -0.5, "never seen"),
        (0.1, -0.5, None),  # before it has learned anything, scores are noise
        (0.99, None, "by heart"),
    ],
)
def test_overfitting_is_told_by_sign_and_gap(sign, held_out, said):
    """Real scores of 1 and fake ones of -1; in between lie exemplars that D never saw."""
    message = overfitting(sign, 1.0, held_out, -1.0)
    assert (message is None) if said is None else (said in message and "--ada-speed" in message)


def numbers(style):
    return {**FINE, "style": style}


def test_the_best_is_kept_and_resumed():
    choice, network = Choice(), nn.Linear(2, 2)
    choice.load_into(network)  # nothing yet: nothing happens
    for step, score in enumerate([0.9, 0.5, 0.7]):
        network.weight.data.fill_(step)
        assert choice.consider(score, network, step, FINE) == (score != 0.7)
    again, restored = Choice(), nn.Linear(2, 2)
    again.load_state_dict(choice.state_dict())
    again.load_into(restored)
    assert torch.equal(restored.weight, torch.ones(2, 2))
    assert again.record == {"score": 0.5, "cur_nimg": 1, **FINE}


def test_the_style_comes_first_and_likeness_decides_among_equals():
    """A short run loses likeness before it has the style; its start is not the best of anything."""
    choice, network = Choice(), nn.Linear(2, 2)
    assert not choice.consider(1.15, network, 1, numbers(0.95)) and not choice.best
    assert choice.consider(1.05, network, 2, numbers(0.6))  # clearly nearer than the source
    assert choice.consider(1.1, network, 3, numbers(0.3))  # clearly nearer again
    assert not choice.consider(1.2, network, 4, numbers(0.25))  # as near, less alike
    assert choice.consider(0.9, network, 5, numbers(0.35))  # as near, more alike
    assert not choice.consider(0.8, network, 6, numbers(0.7))  # alike, but no longer the style


def test_what_is_observed_is_written_and_chosen(judge, exemplars, run):
    network, choice = nn.Linear(2, 2), Choice()
    observe(run, judge, [pictures(0).flip(0)], network, choice=choice)  # the source, mixed up
    take_best(run, choice, network)
    between = 0.3 * pictures(0) + 0.7 * (exemplars.images / 127.5 - 1)
    observe(run, judge, [between], network, choice=choice, likeness_weight=0.1)
    assert choice.record["score"] == pytest.approx(
        choice.record["style"] + 0.1 * choice.record["likeness"]
    )
    take_best(run, choice, network)
    said = [json.loads(line) for line in (run.out / "stats.jsonl").read_text().splitlines()]
    [warning] = [line["warning"] for line in said if "the last generator" in line["warning"]]
    assert "nearer to the style" in warning
