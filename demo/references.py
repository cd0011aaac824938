"""Style references of one visitor: read once, kept as codes, blended.

A reference picture is a `Visit` like a photo is: its face is found or marked by hand, else its
central square is taken. What is kept of it is a code of some 24 kB, the last few per visitor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from demo.visit import Visit
from engine.detect import Face
from engine.pipeline import Stylizer
from engine.reference import QUICK, Reference

NUM_KEPT = 16
STEPS = {"Quick": 80, "Thorough": QUICK.steps}


@dataclass(frozen=True)
class Reading:
    """How a reference looks, under a hash of all it depends on."""

    key: str
    look: Reference


@dataclass(frozen=True)
class Readings:
    """The readings of one visitor, the latest last; immutable, gone with the session."""

    kept: tuple[Reading, ...] = ()

    def find(self, key: str) -> Reference | None:
        """Return what was read before, None if there is none."""
        return next((reading.look for reading in self.kept if reading.key == key), None)

    def adding(self, key: str, look: Reference) -> Readings:
        """Return these and one more; the oldest goes when there are too many."""
        others = tuple(reading for reading in self.kept if reading.key != key)
        return Readings((*others, Reading(key, look))[-NUM_KEPT:])


def framed_faces(visit: Visit) -> list[Face]:
    """Return the face of a reference as `Stylizer.reference` wants it; [] for its middle."""
    found = [p for p in visit.portraits if len(p.landmarks)][:1]
    return [Face(p.landmarks, _box(p.landmarks), 1.0) for p in found]


def key_of(visit: Visit, stylizer: Stylizer, method: str, effort: str) -> str:
    """Name the reading of a reference: picture, framing, style, and how it is read."""
    frame = visit.portraits[0].landmarks.tobytes() if visit.portraits else b"middle"
    style = f"{stylizer.card.sha256} {stylizer.style.base.sha256} {method} {effort}"
    parts = (visit.photo.rgb.tobytes(), frame, style.encode())
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def read_reference(
    visit: Visit,
    stylizer: Stylizer,
    method: str,
    effort: str,
    should_stop: Callable[[], bool],
    on_step: Callable[[int, int], None],
) -> Reference:
    """Read the look of a reference.

    Args:
        method: as in `engine.reference.read_reference`.
        effort: one of STEPS.
        on_step: told the step and how many there are at most.

    Raises:
        Cancelled: `should_stop` said so.
        PackError: the style has no style encoder, or its base no discriminator.
    """
    settings = replace(QUICK, steps=STEPS[effort])
    return stylizer.reference(
        visit.photo.rgb,
        framed_faces(visit),
        method=method,
        settings=settings,
        should_stop=should_stop,
        on_step=lambda step, _: on_step(step, settings.steps),
    )


def blended(looks: list[Reference], share: float) -> Reference:
    """Return one look, or the first two blended: `share` 0 is the first, 1 the second."""
    return looks[0] if len(looks) == 1 else looks[0].blended(looks[1], share)


def _box(landmarks: np.ndarray) -> np.ndarray:
    return np.concatenate([landmarks.min(0), landmarks.max(0)]).astype(np.float32)
