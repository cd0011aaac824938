"""Command lines of the recipes, derived from their frozen dataclasses and preset tables."""

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar, get_args

from engine.errors import OptionError, StylizeError
from train.doctor import before_training

Config = TypeVar("Config")


def parser_of(
    recipe: type, presets: Mapping[str, Any], description: str
) -> argparse.ArgumentParser:
    """A parser with --preset, --dry-run and one flag per field of the configuration."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", choices=sorted(presets), default=next(iter(presets)))
    parser.add_argument("--dry-run", action="store_true", help="print the configuration and stop")
    for field in fields(recipe):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=_converter(field.type),
            default=None,
            metavar=field.name.upper(),
            help=field.metadata.get("help", ""),
        )
    return parser


def configure(
    recipe: type[Config], presets: Mapping[str, Config], args: argparse.Namespace
) -> Config:
    """The chosen preset with the given flags put over it.

    Raises:
        OptionError: the configuration refuses a value.
    """
    given = {
        field.name: getattr(args, field.name)
        for field in fields(recipe)
        if getattr(args, field.name) is not None
    }
    try:
        return replace(presets[args.preset], **given)
    except ValueError as error:
        raise OptionError(str(error)) from error


def run_recipe(
    recipe: type[Config],
    presets: Mapping[str, Config],
    train: Any,
    description: str,
    argv: Sequence[str] | None = None,
) -> None:
    """Parse the command line, print the configuration, look at the data, train unless --dry-run.

    What a user can cause ends the program with its message alone.
    """
    parser = parser_of(recipe, presets, description)
    parser.add_argument("--skip-doctor", action="store_true", help="do not look at the data first")
    args = parser.parse_args(argv)
    leads = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, the first
    try:
        config = configure(recipe, presets, args)
        if leads:
            print(json.dumps(asdict(config), indent=2, default=str))
        if args.dry_run:
            return
        if leads and not args.skip_doctor:
            for diagnosis in before_training(config):
                print(diagnosis.text(), flush=True)
        train(config)
    except StylizeError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error


def _converter(kind: Any) -> Any:
    """How a flag's text becomes a value of the field's type."""
    if kind is bool:
        return _parse_bool
    members = [member for member in get_args(kind) if member is not type(None)]
    return members[0] if members and isinstance(members[0], type) else kind if kind else str


def _parse_bool(text: str) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"expected yes or no, got {text!r}")
    return words[text.lower()]
