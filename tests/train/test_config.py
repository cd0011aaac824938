"""Command lines of the recipes."""

import json
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules

import pytest
from torch.distributed.run import get_args_parser

import train
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


def test_torchrun_takes_no_flag_for_its_own():
    """It looks for abbreviations of its options behind the name of the recipe, too."""
    options = [o for a in get_args_parser()._actions for o in a.option_strings]
    modules = [import_module(f"train.{found.name}") for found in iter_modules(train.__path__)]
    found = (c for m in modules for n, c in vars(m).items() if n.endswith("Config"))
    configs = {c for c in found if is_dataclass(c)}
    flags = {f"--{f.name.replace('_', '-')}" for c in configs for f in fields(c)}
    assert len(configs) > 8 and "--data" in flags
    assert [flag for flag in flags if any(o.startswith(flag) for o in options)] == []
