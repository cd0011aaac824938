"""`StylizeOptions`: everything a user can choose for one picture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from engine.errors import OptionError
from engine.option_fields import (
    MAXIMUM_SEED,
    RESOLUTIONS,
    SEEDS,
    SHARE,
    OptionField,
    Options,
    option,
)

__all__ = [
    "MAXIMUM_SEED",
    "RESOLUTIONS",
    "SEEDS",
    "SHARE",
    "OptionField",
    "Options",
    "StylizeOptions",
    "option",
]

_EDIT = re.compile(r"(\d{1,3}):([-+]?\d{1,4}(?:\.\d{1,4})?)(?:@(\d{1,2})-(\d{1,2}))?")
_STEP = re.compile(r"(\d{1,10}):([01](?:\.\d{1,4})?)")


@dataclass(frozen=True)
class StylizeOptions(Options):
    """The choices for one picture: immutable, checked on creation (OptionError)."""

    group: ClassVar[str] = "options (left out: the style's own default)"

    strength: float = option(
        1.0,
        "Strength",
        "how far from the photo (0) to the full style (1)",
        **SHARE,
    )
    truncation_psi: float = option(
        1.0,
        "Truncation",
        "1 keeps the face as it was read; lower pulls it to the average face: cleaner, less alike",
        **SHARE,
    )
    likeness: float = option(
        1.0,
        "Likeness",
        "how much is drawn of what only this photo shows, such as a laugh, glasses or a hat: 0 "
        "draws the typical face the style knows best",
        **SHARE,
    )
    seed: int = option(
        0,
        "Seed",
        "number behind the random draws: same seed, same picture",
        **SEEDS,
    )
    samples: int = option(
        1,
        "Samples",
        "1 takes the most probable reading of the face; more draws several, keeps the most typical",
        minimum=1,
        maximum=16,
        step=1,
    )
    attribute: str | None = option(
        None, "Attribute", "attribute path of the style, by name; left out: the style decides"
    )
    faces: str = option(
        "all",
        "Faces",
        "all, largest, or numbers of faces from 0 (the largest) as in 0 or 0,2",
        choices=("all", "largest"),
        choices_only=False,
    )
    whole_photo: bool = option(
        True, "Whole photo", "paste the faces back into the photo; off: only the square crop"
    )
    surroundings: float = option(
        0.0,
        "Surroundings",
        "how far the rest of a whole photo goes along with the drawing; 0 leaves it as it is",
        **SHARE,
    )
    around: str = option(
        "drawn",
        "Around faces",
        "drawn: the rest is drawn like the face, where the style has a small network that learned "
        "it, else toned: shapes of the photo in tones of the drawing, as grey around a pencil's",
        choices=("drawn", "toned"),
    )
    color: str = option(
        "style",
        "Colour",
        "colours of the style, keep those of the photo, or keep its skin tone only",
        choices=("style", "keep", "skin"),
    )
    output_size: int = option(
        0,
        "Output size",
        "longest side of the picture in pixels; 0: as large as it comes",
        minimum=0,
        maximum=4096,
        step=64,
    )
    variation: int = option(
        0,
        "Variation",
        "0 shows the style as it is; any other number draws another look of it, always the same",
        **SEEDS,
    )
    mix_layer: int = option(
        6,
        "Mix layer",
        "first layer a variation or a reference paints: low changes shapes too, high only colours",
        minimum=0,
        maximum=18,
        step=1,
    )
    style_psi: float = option(
        1.0,
        "Variety",
        "how far variations go: 0 not at all, 1 as far as random faces lie apart, more exaggerates",
        minimum=0.0,
        maximum=1.5,
        step=0.05,
    )
    swap_resolution: int = option(
        0,
        "Keep the photo's shapes up to",
        "size at which features of the photo replace the style's (8, 16, 32); 0: the style decides",
        **RESOLUTIONS,
    )
    blend_resolution: int = option(
        0,
        "Keep the photo's texture above",
        "size above which the drawing is that of a photo, as Toonify does (16, 32, 64); 0: off",
        **RESOLUTIONS,
    )
    edits: str = option(
        "none",
        "Edits",
        "steps along semantic directions as DIRECTION:AMOUNT, of some layers with @FIRST-LAST: "
        "0:3 or 0:-2.5@0-3,4:1",
        choices=("none",),
        choices_only=False,
    )
    variation_steps: str = option(
        "none",
        "Steps",
        "from the variation towards others as NUMBER:SHARE: 17:0.3 is a look near it, and "
        "17:0.3,4:0.2 one near that",
        choices=("none",),
        choices_only=False,
    )
    variation_center: str = option(
        "photo",
        "Drawn around",
        "what variations are drawn around: the codes of the photo, or as published the average "
        "face, which is dark and coarse where photos lie far from it, as in the embedded styles",
        choices=("photo", "average"),
    )
    ai_label: bool = option(
        False, "Visible label", 'write "made with AI" into the lower right corner of the picture'
    )
    palette: float = option(
        1.0,
        "Palette",
        "how far the drawing takes on the colours and the contrast of a reference",
        **SHARE,
    )
    eyes: float = option(
        1.0,
        "Eyes",
        "how large the eyes are drawn: 1 as in the photo, more as in comics",
        minimum=0.8,
        maximum=1.6,
        step=0.05,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_faces()
        self.list_edits()
        self.list_steps()

    def _check_faces(self) -> None:
        are_numbers = all(n.isascii() and n.isdigit() for n in self.faces.split(","))
        if self.faces not in ("all", "largest") and not are_numbers:
            raise OptionError(
                f"faces is {self.faces!r}; it must be all, largest, or numbers of faces "
                "such as 0 or 0,2: change --faces"
            )

    def select(self, num_faces: int) -> list[int]:
        """Return the indexes of the faces to stylize out of `num_faces`, ordered largest first.

        Numbers beyond the faces of a photo select nothing: a batch with `--faces 1` goes on.
        """
        if self.faces == "all":
            return list(range(num_faces))
        if self.faces == "largest":
            return list(range(min(1, num_faces)))
        return [
            index for index in dict.fromkeys(map(int, self.faces.split(","))) if index < num_faces
        ]

    def list_edits(self) -> list[tuple[int, float, range | None]]:
        """Return (direction, amount, layers or None for all) of each edit; raises OptionError."""
        found = []
        for text in self.edits.split(",") if self.edits != "none" else ():
            match = _EDIT.fullmatch(text.strip())
            if not match or (match[3] and int(match[3]) > int(match[4])):
                raise OptionError(
                    f"edits has {text.strip()!r}; accepted is DIRECTION:AMOUNT, or with layers "
                    "DIRECTION:AMOUNT@FIRST-LAST, such as 0:-2.5@0-3: change --edits"
                )
            layers = range(int(match[3]), int(match[4]) + 1) if match[3] else None
            found.append((int(match[1]), float(match[2]), layers))
        return found

    def list_steps(self) -> list[tuple[int, float]]:
        """Return (number, share 0..1) of each step of the variation; raises OptionError."""
        found = []
        for text in self.variation_steps.split(",") if self.variation_steps != "none" else ():
            match = _STEP.fullmatch(text.strip())
            if not match or int(match[1]) > MAXIMUM_SEED or float(match[2]) > 1:
                raise OptionError(
                    f"variation_steps has {text.strip()!r}; accepted is NUMBER:SHARE with a share "
                    "from 0 to 1, such as 17:0.3: change --variation-steps"
                )
            found.append((int(match[1]), float(match[2])))
        return found
