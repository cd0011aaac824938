"""One-shot training from the Reference tab: a style of its own from one picture (train.oneshot).

It becomes a training of this machine like those of the Train tab, which shows it from then on.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from demo.studio import Studio
from demo.tabs.pieces import ASSETS, LIGHT
from demo.tabs.reference_parts import NO_REFERENCE, WELCOME, Parts
from demo.tabs.train_runs import Trainings
from demo.tabs.train_state import PRESETS, Order
from demo.tabs.train_style import plain_name
from demo.theme import problem_line, status_line
from demo.visit import Visit
from demo.words import warn
from engine.errors import ImageError, StylizeError
from engine.image import read_photo, write_png
from engine.portraits import central_square

REFERENCE_FILE = "reference.png"
BEGUN = "The picture is being learned: the Train tab shows how far it is."

Updates = dict[Any, Any]


class Oneshot:
    """The button that learns a reference; `tabs` are those of the page, where "train" is shown."""

    def __init__(self, parts: Parts, studio: Studio, trainings: Trainings, tabs: gr.Tabs) -> None:
        self.parts, self.studio, self.trainings, self.tabs = parts, studio, trainings, tabs
        parts.learn.click(self.learn, parts.inputs, [parts.status, tabs], **LIGHT)

    def learn(self, values: Updates) -> Updates:
        """Begin to learn the first reference, and turn to the Train tab."""
        p = self.parts
        photo, reference = values[p.visit], values[p.first.visit]
        try:
            if photo is None or not photo.portraits or reference is None:
                raise ImageError(NO_REFERENCE if photo else WELCOME)
            shelf = Path(get_upload_folder())
            shelf.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix="oneshot-", dir=shelf) as home:  # gone if it is refused
                pictures = _prepared(photo, reference, Path(home))
                self.trainings.begin(self._order(values[p.style]), pictures)
        except StylizeError as error:
            warn(str(error))
            return {p.status: problem_line(str(error))}
        return {p.status: status_line(BEGUN), self.tabs: gr.Tabs(selected="train")}

    def _order(self, style: str) -> Order:
        title = f"One picture, {time.strftime('%d %b %H:%M:%S')}"
        card = self.studio.card(style)
        preset = "cpu" if self.trainings.device == "cpu" else "paper"
        find = self.studio.library.find
        flags = {"style": str(find(style)), "base": str(find(card.base["name"]))}
        flags["about"] = "one picture of a visitor"
        steps = PRESETS["oneshot"][preset].iterations
        return Order(plain_name(title), title, preset, steps, flags, recipe="oneshot")


def _prepared(photo: Visit, reference: Visit, home: Path) -> dict[str, Path]:
    """Write the aligned pictures below `home`, as folders by what they are for.

    The visitor's faces and the examples are what stays a face while the style is learned.
    """
    data, photos = home / "data", home / "photos"
    for folder in (data, photos):
        folder.mkdir(mode=0o700)
    write_png(data / REFERENCE_FILE, framed(reference))
    for number, portrait in enumerate(photo.portraits):
        write_png(photos / f"face_{number}.png", portrait.face.crop)
    for example in sorted(ASSETS.glob("example_*.png")):
        write_png(photos / example.name, read_photo(example).rgb)
    return {"data": data, "photos": photos}


def framed(reference: Visit) -> np.ndarray:
    """The face of a reference as FFHQ frames faces, or the middle of a picture without one."""
    if reference.portraits:
        return reference.portraits[0].face.crop
    rgb = reference.photo.rgb
    x0, y0, x1, y1 = (int(edge) for edge in central_square(rgb).box)
    return np.ascontiguousarray(rgb[y0:y1, x0:x1])
