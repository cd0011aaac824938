"""Quick films: faces are cut out and drawn by the small network that learned a style."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from engine.card import Card
from engine.errors import OptionError
from engine.live import draw_crops, has_student
from engine.options import StylizeOptions
from engine.pipeline import Portrait
from motion.person import Look

# Options of what is done with a drawing, and those without a meaning for a student.
AFTERWARDS = ("faces", "whole_photo", "surroundings", "around", "color", "output_size", "ai_label")
AFTERWARDS += ("eyes", "seed", "samples", "mix_layer", "style_psi", "variation_center")


def check_quick(looks: Iterable[Look]) -> None:
    """Make sure that students can draw what is wanted: each style as it comes.

    Raises:
        OptionError: a style has no student, or an option changes what its generator draws.
    """
    for look in looks:
        _check(look.stylizer.card, look.options)


def _check(card: Card, options: StylizeOptions) -> None:
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


def quickly_drawn(look: Look, portraits: Sequence[Portrait]) -> list[np.ndarray]:
    """Turn framed faces into pictures uint8 [R, R, 3] with the student of a style."""
    crops = np.stack([portrait.face.crop for portrait in portraits])
    return list(draw_crops(look.stylizer.style, crops))
