"""Command lines of the recipes."""

import json
from dataclasses import dataclass, field

import pytest

from engine.errors import OptionError
from train.config import run_recipe


@dataclass(frozen=True)
class Config:
    rate: float = field(default=0.5, metadata={"help": "how fast"})
    name: str = ""
    fast: bool = False

    def __post_init__(self):
        if self.rate < 0:
            raise OptionError(f"--rate {self.rate} is below 0")


def call(*argv):
    trained = []
    run_recipe(Config, {"slow": Config(rate=0.1), "quick": Config()}, trained.append, "", argv)
    return trained


def test_flags_go_over_the_preset(capsys):
    assert call("--fast", "yes", "--name", "x") == [Config(rate=0.1, name="x", fast=True)]
    assert call("--preset", "quick", "--rate", "2") == [Config(rate=2)]
    assert '"rate": 2.0' in capsys.readouterr().out


def test_dry_run_prints_and_trains_nothing(capsys):
    assert call("--dry-run") == []
    assert json.loads(capsys.readouterr().out) == {"rate": 0.1, "name": "", "fast": False}


def test_bad_values(capsys):
    with pytest.raises(SystemExit, match="--rate -1.0 is below 0"):
        call("--rate", "-1")
    with pytest.raises(SystemExit):
        call("--fast", "perhaps")
    assert "expected yes or no, got 'perhaps'" in capsys.readouterr().err
