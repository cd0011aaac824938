"""Which films a command line means: every clip in every style, and who is drawn in another one."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.jobs import CLIPS, plan
from demo.jobs import Job as Plan
from demo.photo import load_stylizer
from engine.errors import OptionError
from engine.options import StylizeOptions
from motion.temporal_options import TemporalOptions, frame_options

if TYPE_CHECKING:  # torch takes seconds to import, --help must not
    from engine.pipeline import Stylizer
    from motion.job import Job
    from motion.person import Look

PREVIEW_SECONDS = 1.0


def load_stylizers(arguments: argparse.Namespace) -> dict[str, Stylizer]:
    """Load every style that is named, once; raises StylizeError."""
    from engine.library import StyleLibrary

    library = StyleLibrary([arguments.packs] if arguments.packs else None)
    others = [style for _, style, _ in map(_person, arguments.person) if style]
    names = dict.fromkeys([*arguments.style, *others])
    return {name: load_stylizer(arguments, name, library) for name in names}


def plan_films(
    arguments: argparse.Namespace, stylizers: dict[str, Stylizer]
) -> list[tuple[Job, Stylizer]]:
    """Return one job per clip and style; raises OptionError."""
    from motion.job import Job

    if arguments.output is None:
        raise OptionError(
            "IN or OUT is missing; a clip, and a film or a folder to write, are needed"
        )
    shared = {
        "temporal": TemporalOptions.from_arguments(arguments),
        "start": arguments.start,
        "end": end_of(arguments),
        "lossless": arguments.lossless,
        "people": _people(arguments, stylizers),
        "keep_folder": arguments.keep_job,
    }
    films = []
    for planned in plan(arguments.input, arguments.output, CLIPS):
        for name in arguments.style:
            stylizer = stylizers[name]
            options = StylizeOptions.from_arguments(arguments, frame_options(stylizer.card))
            stylizer.card.path_of(options.attribute)
            result = _result(planned, arguments, name)
            films.append((Job(planned.source, result, options, **shared), stylizer))
    return films


def end_of(arguments: argparse.Namespace) -> float | None:
    """Return the second of the clip at which the film ends, None: that of the clip."""
    return arguments.start + PREVIEW_SECONDS if arguments.preview else arguments.end


def _result(planned: Plan, arguments: argparse.Namespace, style: str) -> Path:
    parts = [planned.target.stem]
    parts += [Path(style).name] if len(arguments.style) > 1 else []
    parts += ["preview"] if arguments.preview else []
    return planned.target.with_stem("-".join(parts))


def _people(
    arguments: argparse.Namespace, stylizers: dict[str, Stylizer]
) -> dict[int, Look | None]:
    from motion.person import Look

    people: dict[int, Look | None] = {}
    for number, style, strength in map(_person, arguments.person):
        people[number] = None
        if style:
            options = StylizeOptions.from_arguments(arguments, frame_options(stylizers[style].card))
            options = options if strength is None else replace(options, strength=strength)
            people[number] = Look(stylizers[style], options)
    return people


def _person(text: str) -> tuple[int, str, float | None]:
    """Read N=STYLE[:STRENGTH] as (number, style or "" for none, strength or None)."""
    number, _, look = text.partition("=")
    style, _, strength = look.partition(":")
    try:
        if not style:
            raise ValueError
        return int(number), style if style != "none" else "", float(strength) if strength else None
    except ValueError as error:
        raise OptionError(
            f"person is {text!r}; N=STYLE, N=STYLE:STRENGTH or N=none is accepted, as in "
            "1=comic:0.5: change --person"
        ) from error
