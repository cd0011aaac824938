"""How an option is declared once, and becomes flags, sliders, HTTP arguments and JSON.

`Options` is the base of every dataclass of options. No torch here: `--help` is quick.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from engine.errors import OptionError

if TYPE_CHECKING:  # not in Python 3.10
    from typing import Self

MAXIMUM_SEED = 2**31 - 1
SHARE = {"minimum": 0.0, "maximum": 1.0, "step": 0.05}
SEEDS = {"minimum": 0, "maximum": MAXIMUM_SEED, "step": 1}
RESOLUTIONS = {"minimum": 0, "maximum": 1024, "step": 4}


@dataclass(frozen=True)
class OptionField:
    """One option as a front end needs it: what to call it, what it accepts, where it starts.

    `kind` is "float", "int", "bool" or "str"; `minimum`, `maximum` and `step` are None where there
    is no range; `choices` is empty where any text goes. `choices_only` is False where more than the
    choices is accepted.
    """

    name: str
    kind: str
    default: Any
    label: str
    help: str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    choices_only: bool = True

    @property
    def flag(self) -> str:
        """The name on the command line: `--truncation-psi`."""
        return "--" + self.name.replace("_", "-")

    @property
    def accepted(self) -> str:
        """What it accepts, in words."""
        if self.kind == "bool":
            return "true or false"
        if self.kind == "str":
            return "one of " + ", ".join(self.choices) if self.choices else "text"
        noun = "a whole number" if self.kind == "int" else "a number"
        return f"{noun} from {self.minimum} to {self.maximum}"

    def check(self, value: Any) -> Any:
        """Return `value` in the type of this option; raises OptionError with what is accepted."""
        if self.kind == "bool":
            return self._expect(isinstance(value, bool), value)
        if self.kind == "str":
            return self._check_text(value)
        return self._check_number(value)

    def _check_number(self, value: Any) -> float | int:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        self._expect(is_number, value)
        inside = math.isfinite(value) and self.minimum <= value <= self.maximum
        self._expect(inside and (self.kind == "float" or value == int(value)), value)
        return float(value) if self.kind == "float" else int(value)

    def _check_text(self, value: Any) -> str | None:
        if value is None and self.default is None:
            return None
        self._expect(isinstance(value, str) and value != "", value)
        is_free = not (self.choices and self.choices_only)
        return self._expect(is_free or value in self.choices, value)

    def _expect(self, is_accepted: bool, value: Any) -> Any:
        if not is_accepted:
            message = f"{self.name} is {value!r}; it must be {self.accepted}: change {self.flag}"
            raise OptionError(message)
        return value


def option(default: Any, label: str, help: str, **limits: Any) -> Any:
    """Declare a field of `Options`: what `OptionField` holds besides its name and kind."""
    return field(default=default, metadata={"label": label, "help": help, **limits})


@dataclass(frozen=True)
class Options:
    """What dataclasses of options share; `group` heads their flags in `--help`."""

    group: ClassVar[str] = "options"

    def __post_init__(self) -> None:
        for found in self.describe().values():
            object.__setattr__(self, found.name, found.check(getattr(self, found.name)))

    @classmethod
    def describe(cls) -> dict[str, OptionField]:
        """Return every option by name, in the order to show them, for sliders and API arguments."""
        return dict(_describe(cls))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Add a flag per option. One left out stays None, so that a style's default steps in."""
        group = parser.add_argument_group(cls.group)
        for found in _describe(cls).values():
            group.add_argument(found.flag, default=None, help=found.help, **_flag_type(found))

    @classmethod
    def from_arguments(cls, arguments: argparse.Namespace, defaults: Self | None = None) -> Self:
        """Return the options of a parsed command line over `defaults`."""
        given = {name: getattr(arguments, name, None) for name in _describe(cls)}
        return cls.from_dict({k: v for k, v in given.items() if v is not None}, defaults)

    def to_dict(self) -> dict[str, Any]:
        """Return all options as JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], defaults: Self | None = None) -> Self:
        """Return the options in `values` over `defaults`; an unknown name is an OptionError."""
        unknown = sorted(set(values) - set(_describe(cls)))
        if unknown:
            known = ", ".join(_describe(cls))
            raise OptionError(f"unknown option {unknown[0]!r}; the options are {known}: remove it")
        return cls(**{**(defaults.to_dict() if defaults else {}), **values})


def _flag_type(option: OptionField) -> dict[str, Any]:
    if option.kind == "bool":
        return {"action": argparse.BooleanOptionalAction}
    if option.kind == "str":
        has_fixed_choices = option.choices and option.choices_only
        return {"choices": option.choices} if has_fixed_choices else {"metavar": "WHICH"}
    numbers = f"{option.minimum}-{option.maximum}"
    return {"type": {"int": int, "float": float}[option.kind], "metavar": numbers}


@cache
def _describe(cls: type[Options]) -> dict[str, OptionField]:
    kinds = {"str | None": "str"}
    return {
        f.name: OptionField(f.name, kinds.get(f.type, f.type), f.default, **f.metadata)
        for f in fields(cls)
    }
