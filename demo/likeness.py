"""The likeness that is told beside a result: how often it beats the faces of 256 other people.

Of 14 test photos (congress, webmorph) the own one beat all others in pencil and comic, and 90 % of
them in the median in oil (39 to 100); photos of somebody else 48 to 71 % in the median.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from demo.visit import Drawn
from engine.likeness import read_others, share_less_alike

# Synthetic faces of SFHQ (MIT), 16 px each.
OTHERS = Path(__file__).parent / "assets" / "others.png"


@cache
def _others() -> np.ndarray:
    with Image.open(OTHERS) as sheet:
        return read_others(np.asarray(sheet.convert("L")))


def likeness(drawn: Drawn) -> float:
    """Return the share 0..1 of 256 other faces that are less like the drawing than its photo is."""
    return share_less_alike(drawn.portrait.face.crop, drawn.crop, _others())


def percent(every: Sequence[Drawn]) -> str:
    """Return that of some drawings in percent: `97`, or from the least to the most `91–99`."""
    shares = sorted(round(100 * likeness(drawn)) for drawn in every)
    return f"{shares[0]}" if shares[0] == shares[-1] else f"{shares[0]}–{shares[-1]}"
