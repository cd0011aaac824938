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
from engine.image import to_tensor, to_uint8
from engine.models.student import Student, student_from_state
from engine.runtime import memory_guard
from engine.style import Style

RECORD, TEACHER = "student", "teacher_sha256"  # in the card: training["student"]["teacher_sha256"]

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


def draw_crops(style: Style, crops: np.ndarray) -> np.ndarray:
    """Draw aligned faces, uint8 [N, R, R, 3] at the style's resolution R, with its student.

    The same shape comes back, in the colours of the style. The style must have a student.
    """
    runtime = style.base.runtime
    with memory_guard(runtime), torch.inference_mode():
        images = to_tensor(crops).to(runtime.device, memory_format=torch.channels_last)
        return to_uint8(student_of(style)(images))
