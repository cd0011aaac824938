"""`StylizeOptions`: everything a user can choose for one picture.

Command line flags, sliders, HTTP arguments and the JSON beside every result are derived from the
fields of one dataclass, so an option is written down once; `Options` is what other such dataclasses
share with it. No torch here: `--help` is quick.
"""

from __future__ import annotations

import argparse
import math
import re
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
_EDIT = re.compile(r"(\d{1,3}):([-+]?\d{1,4}(?:\.\d{1,4})?)(?:@(\d{1,2})-(\d{1,2}))?")


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


@dataclass(frozen=True)
class StylizeOptions(Options):
    """The choices for one picture: immutable, checked on creation (OptionError)."""

    group: ClassVar[str] = "options (left out: the style's own default)"

    strength: float = option(
        1.0,
        "Strength",
        "how far from the photo (0) to the full style (1)",
        **SHARE,
    )
    truncation_psi: float = option(
        1.0,
        "Truncation",
        "1 keeps the face as it was read; lower pulls it to the average face: cleaner, less alike",
        **SHARE,
    )
    seed: int = option(
        0,
        "Seed",
        "number behind the random draws: same seed, same picture",
        **SEEDS,
    )
    samples: int = option(
        1,
        "Samples",
        "1 takes the most probable reading of the face; more draws several, keeps the most typical",
        minimum=1,
        maximum=16,
        step=1,
    )
    attribute: str | None = option(
        None, "Attribute", "attribute path of the style, by name; left out: the style decides"
    )
    faces: str = option(
        "all",
        "Faces",
        "all, largest, or numbers of faces from 0 (the largest) as in 0 or 0,2",
        choices=("all", "largest"),
        choices_only=False,
    )
    whole_photo: bool = option(
        True, "Whole photo", "paste the faces back into the photo; off: only the square crop"
    )
    color: str = option(
        "style",
        "Colour",
        "colours of the style, or keep those of the photo",
        choices=("style", "keep"),
    )
    output_size: int = option(
        0,
        "Output size",
        "longest side of the picture in pixels; 0: as large as it comes",
        minimum=0,
        maximum=4096,
        step=64,
    )
    variation: int = option(
        0,
        "Variation",
        "0 shows the style as it is; any other number draws another look of it, always the same",
        **SEEDS,
    )
    mix_layer: int = option(
        6,
        "Mix layer",
        "first layer a variation or a reference paints: low changes shapes too, high only colours",
        minimum=0,
        maximum=18,
        step=1,
    )
    style_psi: float = option(
        0.7,
        "Variety",
        "how far variations go from the average look of the style: 0 not at all, 1 all the way",
        **SHARE,
    )
    swap_resolution: int = option(
        0,
        "Keep the photo's shapes up to",
        "size at which features of the photo replace the style's (8, 16, 32); 0: the style decides",
        **RESOLUTIONS,
    )
    blend_resolution: int = option(
        0,
        "Keep the photo's texture above",
        "size above which the drawing is that of a photo, as Toonify does (16, 32, 64); 0: off",
        **RESOLUTIONS,
    )
    edits: str = option(
        "none",
        "Edits",
        "steps along semantic directions as DIRECTION:AMOUNT, of some layers with @FIRST-LAST: "
        "0:3 or 0:-2.5@0-3,4:1",
        choices=("none",),
        choices_only=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_faces()
        self.list_edits()

    def _check_faces(self) -> None:
        are_numbers = all(n.isascii() and n.isdigit() for n in self.faces.split(","))
        if self.faces not in ("all", "largest") and not are_numbers:
            raise OptionError(
                f"faces is {self.faces!r}; it must be all, largest, or numbers of faces "
                "such as 0 or 0,2: change --faces"
            )

    def select(self, num_faces: int) -> list[int]:
        """Return the indexes of the faces to stylize out of `num_faces`, ordered largest first.

        Numbers beyond the faces of a photo select nothing: a batch with `--faces 1` goes on.
        """
        if self.faces == "all":
            return list(range(num_faces))
        if self.faces == "largest":
            return list(range(min(1, num_faces)))
        return [
            index for index in dict.fromkeys(map(int, self.faces.split(","))) if index < num_faces
        ]

    def list_edits(self) -> list[tuple[int, float, range | None]]:
        """Return (direction, amount, layers or None for all) of each edit; raises OptionError."""
        found = []
        for text in self.edits.split(",") if self.edits != "none" else ():
            match = _EDIT.fullmatch(text.strip())
            if not match or (match[3] and int(match[3]) > int(match[4])):
                raise OptionError(
                    f"edits has {text.strip()!r}; accepted is DIRECTION:AMOUNT, or with layers "
                    "DIRECTION:AMOUNT@FIRST-LAST, such as 0:-2.5@0-3: change --edits"
                )
            layers = range(int(match[3]), int(match[4]) + 1) if match[3] else None
            found.append((int(match[1]), float(match[2]), layers))
        return found
