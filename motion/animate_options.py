"""`AnimateOptions`: how a picture is driven by a video. No torch here: `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.errors import OptionError
from engine.options import Options, option

REGIONS = ("pose", "eyes", "mouth")


@dataclass(frozen=True)
class AnimateOptions(Options):
    """The choices for one animation: immutable, checked on creation (OptionError)."""

    group: ClassVar[str] = "motion"

    transfer: str = option(
        "relative",
        "Transfer",
        "relative moves the picture as the driving face moves and keeps its shape; absolute gives "
        "it the driving face's shape and place too",
        choices=("relative", "absolute"),
    )
    adapt_scale: bool = option(
        True, "Adapt scale", "make movements as large for the picture's face as they are for theirs"
    )
    start: str = option(
        "best",
        "Start",
        "driving frame that movements are relative to: the one most like the picture, or the first",
        choices=("best", "first"),
    )
    gain: float = option(
        1.0,
        "Gain",
        "1 moves as the driving face does, less is calmer, more exaggerates",
        minimum=0.0,
        maximum=2.0,
        step=0.05,
    )
    smoothing: float = option(
        0.04,
        "Smoothing",
        "seconds over which keypoints are evened out; 0: not at all",
        minimum=0.0,
        maximum=0.5,
        step=0.01,
    )
    regions: str = option(
        "all",
        "Regions",
        "what moves: all, or some of pose, eyes, mouth as in eyes,mouth",
        choices=("all", *REGIONS),
        choices_only=False,
    )
    detail: bool = option(
        True,
        "Detail",
        "move the picture itself at its full size, and let the network paint what was hidden; off: "
        "the network paints everything, at its own size",
    )
    output_size: int = option(
        0,
        "Output size",
        "side of the driven square in pixels; 0: as large as the picture's, without detail as the "
        "network's",
        minimum=0,
        maximum=2048,
        step=64,
    )
    ai_label: bool = option(
        False, "Visible label", 'write "made with AI" into the lower right corner of the film'
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        unknown = set(self.list_regions()) - set(REGIONS)
        if unknown:
            raise OptionError(
                f"regions is {self.regions!r}; it must be all, or some of {', '.join(REGIONS)} "
                "such as eyes,mouth: change --regions"
            )

    def list_regions(self) -> tuple[str, ...]:
        """Return the regions that move."""
        names = REGIONS if self.regions == "all" else self.regions.split(",")
        return tuple(dict.fromkeys(name.strip() for name in names))
