"""Styles at the speed of films: the student of a pack, one small network for the whole style.

A student (`train.distill`) belongs to the generator it was taught by: the card's record of it names
that file's hash, and one of another generator is not used.
"""

from __future__ import annotations

import logging
from functools import lru_cache

import numpy as np
import torch

from engine.base import build, freeze
from engine.card import GENERATOR_FILE, STUDENT_FILE, Card
from engine.errors import OptionError
from engine.image import to_tensor, to_uint8
from engine.models.student import Student, student_from_state
from engine.options import StylizeOptions
from engine.runtime import memory_guard
from engine.style import Style

RECORD, TEACHER = "student", "teacher_sha256"  # in the card: training["student"]["teacher_sha256"]

# Options of what is done with a drawing, and those without a meaning for a student.
AFTERWARDS = ("faces", "whole_photo", "surroundings", "color", "output_size", "ai_label")
AFTERWARDS += ("seed", "samples", "mix_layer", "style_psi", "variation_center")

log = logging.getLogger(__name__)


def has_student(card: Card) -> bool:
    """Tell from its card whether a style has a student, taught by the generator it has now."""
    record = card.training.get(RECORD)
    taught_by = record.get(TEACHER) if isinstance(record, dict) else None
    return STUDENT_FILE in card.files and taught_by == card.files[GENERATOR_FILE]


@lru_cache(maxsize=8)
def student_of(style: Style) -> Student | None:
    """Return the student of a style for inference, read on first use and shared; None without one.

    Raises PackError where its weights are damaged.
    """
    if not has_student(style.card):
        if style.pack.has(STUDENT_FILE):
            log.warning("style %s: its student learned from another generator", style.card.name)
        return None
    student = build(style.pack, STUDENT_FILE, student_from_state)
    return freeze(student.folded(), style.base.runtime)


def check_quick(card: Card, options: StylizeOptions) -> None:
    """Make sure that a student can draw what is wanted: a style as it comes.

    Raises:
        OptionError: the style has no student, or an option changes what its generator draws.
    """
    if not has_student(card):
        raise OptionError(
            f"quick is on; style {card.name} has no small network that learned it: leave out "
            "--quick, or make one with python -m train.distill"
        )
    wanted, usual = options.to_dict(), card.options().to_dict()
    changed = [name for name in wanted if name not in AFTERWARDS and wanted[name] != usual[name]]
    if changed:
        name = changed[0]
        raise OptionError(
            f"quick is on, and {name} is {wanted[name]!r}; a small network draws a style as it "
            f"comes, with {usual[name]!r}: leave out --quick, or --{name.replace('_', '-')}"
        )


def draw_crops(style: Style, crops: np.ndarray) -> np.ndarray:
    """Draw aligned faces, uint8 [N, R, R, 3] at the style's resolution R, with its student.

    The same shape comes back, in the colours of the style. The style must have a student.
    """
    runtime = style.base.runtime
    with memory_guard(runtime), torch.inference_mode():
        images = to_tensor(crops).to(runtime.device, memory_format=torch.channels_last)
        return to_uint8(student_of(style)(images))
