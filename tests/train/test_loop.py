"""The loop's parts: resume, statistics, a safe stop, averages."""

import json
import os
import signal
from dataclasses import dataclass

import pytest
import torch
from PIL import Image
from torch import nn

from engine.errors import TrainingError
from train.loop import Run, Values, ema_beta, save_grid, update_ema


@dataclass(frozen=True)
class Config:
    rate: float = 0.5


def run(out, total=40, **more):
    return Run(out, Config(), total=total, batch=4, state={"values": Values(sum=0.0)}, **more)


def test_a_resumed_run_draws_what_a_whole_one_draws(tmp_path):
    def train(out, total):
        with run(out, total) as job:
            for generator in job.steps():
                drawn = torch.randn((), generator=generator) + torch.randn(())
                job.state["values"]["sum"] += float(drawn)
        return job.state["values"]["sum"]

    whole = train(tmp_path / "whole", 40)
    train(tmp_path / "halves", 20)
    assert train(tmp_path / "halves", 40) == whole


def test_statistics_are_means_of_a_tick(tmp_path):
    with run(tmp_path, tick=8) as job:
        for i, _ in enumerate(job.steps()):
            job.record({"loss": float(i)})
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert [line["cur_nimg"] for line in lines] == [8, 16, 24, 32, 40]
    assert [line["loss"] for line in lines] == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert json.loads((tmp_path / "config.json").read_text()) == {"rate": 0.5}


def test_an_interrupt_ends_the_step_and_saves(tmp_path):
    with run(tmp_path) as job:
        for i, _ in enumerate(job.steps()):
            job.state["values"]["sum"] += 1
            if i == 2:
                os.kill(os.getpid(), signal.SIGINT)
    assert job.stopped and job.cur_nimg == 12
    assert run(tmp_path).cur_nimg == 12
    assert run(tmp_path).state["values"]["sum"] == 3


def test_a_loss_that_is_not_finite_keeps_the_last_state(tmp_path):
    with run(tmp_path, total=4) as job:
        for _ in job.steps():
            pass
    before = (tmp_path / "state.pt").read_bytes()
    with pytest.raises(TrainingError, match="loss became nan after 4 images"), run(tmp_path) as job:
        for _ in job.steps():
            job.record({"loss": torch.tensor(float("nan"))})
    assert (tmp_path / "state.pt").read_bytes() == before


def test_a_loss_that_explodes_stops_the_run(tmp_path):
    with pytest.raises(TrainingError, match="loss became 2000000"), run(tmp_path) as job:
        for _ in job.steps():
            job.record({"loss": 2e6})


def test_the_end_of_a_run_and_its_warnings_are_written(tmp_path, capsys):
    with run(tmp_path, total=20, tick=16) as job:
        for i, _ in enumerate(job.steps()):
            job.record({"loss": float(i)})
            if i == 4:
                job.warn("the pictures become alike")
    lines = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert [line.get("loss", line.get("warning")) for line in lines] == [
        1.5,
        "the pictures become alike",
        4.0,
    ]
    assert "warning: the pictures become alike" in capsys.readouterr().err


def test_a_folder_of_another_recipe_is_refused(tmp_path):
    run(tmp_path).save()
    with pytest.raises(TrainingError, match="choose another folder"):
        Run(tmp_path, Config(), total=4, batch=4, state={"other": Values()})


def test_average_takes_batch_statistics_along():
    ema, module = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    module.weight.data.fill_(3.0)
    module.running_mean.fill_(4.0)
    module.num_batches_tracked.fill_(7)
    update_ema(ema, module, beta=0.75)
    assert torch.equal(ema.weight, torch.full((2,), 1.5))
    assert torch.equal(ema.running_mean, torch.full((2,), 1.0))
    assert ema.num_batches_tracked == 7


def test_half_life():
    assert ema_beta(100, 100.0, cur_nimg=10**9) == 0.5
    assert ema_beta(100, 100.0, cur_nimg=1000) == 0.25  # half-life of 50 images so early


def test_grid(tmp_path):
    pictures = torch.stack([torch.full((3, 2, 2), value) for value in (-1.0, 0.0, 5.0)])
    save_grid(tmp_path / "grid.png", pictures, columns=2)
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (4, 4)
        assert [grid.getpixel(at)[0] for at in ((0, 0), (2, 0), (0, 2), (2, 2))] == [0, 128, 255, 0]


def test_a_card_names_no_folder_of_this_machine(tmp_path):
    @dataclass(frozen=True)
    class Private:
        data: str = "/home/anna/secret/drawings"
        pack: str = "/home/anna/packs/x"
        about: str = "from /r/art, CC BY"
        photos: str = ""
        rate: float = 0.5

    record = Run(tmp_path, Private(), total=4, batch=4, state={}).record_of_run
    assert record.pop("hours") >= 0
    assert record == {
        "images_seen": 0,
        "data": "drawings",
        "about": "from /r/art, CC BY",
        "rate": 0.5,
    }
