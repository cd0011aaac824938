"""`TemporalOptions`: how a stylized video is kept steady. No torch here: `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from engine.card import Card
from engine.options import SHARE, Options, StylizeOptions, option


@dataclass(frozen=True)
class TemporalOptions(Options):
    """The choices for one video: immutable, checked on creation (OptionError)."""

    group: ClassVar[str] = "steadiness of video"

    steadiness: float = option(
        1.0,
        "Steadiness",
        "0 draws every frame by itself, 1 keeps the picture as steady as the options below say",
        **SHARE,
    )
    look_ahead: int = option(
        8,
        "Look ahead",
        "frames read ahead, so that filters see both ways; 0: none, for live pictures",
        minimum=0,
        maximum=60,
        step=1,
    )
    smoothing: float = option(
        0.06,
        "Smoothing",
        "seconds over which expressions are evened out; long ones weaken what is quick",
        minimum=0.0,
        maximum=0.5,
        step=0.01,
    )
    identity: float = option(
        0.8,
        "Identity",
        "how much of what changes in who is drawn, their hair and light, is taken back",
        **SHARE,
    )
    mean: str = option(
        "running",
        "Mean",
        "what identity holds on to: the mean of what was seen so far, or of the whole clip, which "
        "is looked through first",
        choices=("running", "clip"),
    )
    carry: float = option(
        0.5,
        "Carry",
        "how much of the last frame is carried on along the movement of the video",
        **SHARE,
    )
    quick: bool = option(
        False,
        "Quick",
        "draw with the small network that learned the style, where it has one: several times as "
        "fast, a little plainer, and always as the style comes",
    )

    @property
    def needs_means(self) -> bool:
        """Whether the clip is looked through first: a small network has no codes to hold."""
        return self.mean == "clip" and not self.quick


def frame_options(card: Card) -> StylizeOptions:
    """Return the default options of a style for clips: those of its card, on whole frames."""
    return replace(card.options(), whole_photo=True)
