"""The rest of a frame in the tones of its drawings, held over a scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import color


@dataclass
class Surroundings:
    """What the drawings of the last frame with a face did to its colours.

    Attributes:
        tones: as `color.toned` takes them; None: no face was drawn in this scene yet.
    """

    tones: np.ndarray | None = None

    def toned(
        self, rgb: np.ndarray, time: float, placed: Sequence[Any], share: float
    ) -> np.ndarray:
        """Return the frame uint8 [H, W, 3], `share` of the way in the tones of its drawings.

        `placed` are persons, each with the further arguments of `Person.tones`.
        """
        found = [person.tones(rgb, time, *drawing) for person, *drawing in placed if share]
        seen = [tones for tones in found if tones is not None]
        if seen:
            self.tones = np.mean(seen, axis=0)
        return rgb if self.tones is None else color.toned(rgb, self.tones, share)
