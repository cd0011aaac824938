"""The people in a photo: clicked on, drawn alone, or each in a style and strength of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from demo import tiles
from demo.controls import option_control
from demo.studio import Studio
from demo.tabs.pieces import strip
from demo.visit import Visit
from demo.words import say
from engine.options import StylizeOptions
from engine.pipeline import Stylizer

AS_ALL, ALONE = "As the others", "Not drawn"


@dataclass(frozen=True)
class Wish:
    """How one person is drawn: the name of a style, AS_ALL or ALONE, and how strongly."""

    style: str
    strength: float


Wishes = Mapping[int, Wish]


class People:
    """The row of faces and, once one is clicked on, how that person is drawn.

    States of a visitor: `chosen` is the `faces` option ("all" or the number of a face), `person`
    the number of the one clicked on or None, `wishes` what was chosen for whom.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.chosen, self.person, self.wishes = gr.State("all"), gr.State(None), gr.State({})
        self.faces = strip("Faces: all, or click on one", "faces")
        with gr.Row(elem_id="person", elem_classes="person", visible=False) as self.row:
            choices = choices_beside(studio, studio.default_style)
            self.style = gr.Dropdown(choices, value=AS_ALL, label="Style of this person")
            self.strength = option_control("strength", label="Strength of this person", info=None)

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What a drawing depends on."""
        return {self.chosen, self.wishes}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What the callbacks may change."""
        return [*self.states, self.faces, self.row, self.style, self.strength]

    @property
    def states(self) -> list[gr.State]:
        """What is kept of a visitor."""
        return [self.chosen, self.person, self.wishes]

    def opened(self, visit: Visit) -> dict[Any, Any]:
        """A photo has been read: its people to choose from, nobody chosen yet."""
        row = gr.update(value=face_tiles(visit), selected_index=0)
        return {**self.closed(), self.faces: row}

    def closed(self) -> dict[Any, Any]:
        """There is no photo any more."""
        nobody = {self.chosen: "all", self.person: None, self.wishes: {}}
        return {**nobody, self.faces: [], self.row: gr.update(visible=False)}

    def choose(self, wishes: Wishes, strength: float, event: gr.SelectData) -> dict[Any, Any]:
        """Draw the person clicked on alone; the first picture stands for everyone."""
        if event.index == 0:
            nobody = {self.chosen: "all", self.person: None}
            return {**nobody, self.row: gr.update(visible=False)}
        number = event.index - 1
        wish = wishes.get(number, Wish(AS_ALL, strength))
        return {
            self.chosen: str(number),
            self.person: number,
            self.row: gr.update(visible=True),
            self.style: wish.style,
            self.strength: wish.strength,
        }

    def wish(
        self,
        visit: Visit | None,
        wishes: Wishes,
        person: int | None,
        style: str,
        strength: float,
    ) -> dict[Any, Any]:
        """Have the person drawn in a style of their own, or not at all, and show everyone."""
        if visit is None or person is None:
            return {self.wishes: wishes}
        wishes = {**wishes, person: Wish(style, float(strength))}
        row = gr.update(value=face_tiles(visit, wishes), selected_index=person + 1)
        return {self.wishes: wishes, self.chosen: "all", self.faces: row}

    def looks(
        self, stylizer: Stylizer, options: StylizeOptions, count: int, wishes: Wishes
    ) -> dict[int, tuple[Stylizer, StylizeOptions]]:
        """Return who of `count` people is drawn, by number, with which style and options."""
        found = {}
        beside = self.studio.companions(stylizer.card.name)
        for number in options.select(count):
            wish = wishes.get(number)
            if wish is None or options.faces != "all":  # alone, everyone is drawn as the tab says
                found[number] = (stylizer, options)
            elif wish.style in beside:
                other = self.studio.stylizer(wish.style)
                own = replace(other.card.beside(options), strength=wish.strength)
                found[number] = (other, own)
            elif wish.style != ALONE:
                found[number] = (stylizer, replace(options, strength=wish.strength))
        return found


def choices_beside(studio: Studio, name: str) -> list[str]:
    """Return what to choose from for one person where the others are drawn in style `name`."""
    return [AS_ALL, ALONE, *studio.companions(name)]


def face_tiles(visit: Visit, wishes: Wishes | None = None) -> list[tuple[Any, str]]:
    """Return the pictures to choose a face from: all, then each alone; none if there is one."""
    if len(visit.portraits) < 2:
        return []
    faces = tiles.faces(visit)
    titles = [say(f"Face {number}") for number in range(1, len(faces) + 1)]
    for number, wish in (wishes or {}).items():
        if wish.style != AS_ALL:
            titles[number] = f"{number + 1} · {say(wish.style)}"
    return [(str(visit.view), say(f"All {len(faces)}")), *zip(faces, titles, strict=True)]
