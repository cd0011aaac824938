"""Marking a face by hand, for photos where none is found: three clicks on the picture."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo import visit as visits
from demo.tabs.image_parts import Parts
from demo.tabs.pieces import LIGHT
from demo.visit import MARK_NAMES, Visit
from demo.words import say

NO_FACE = (
    "I found no face in this photo. Mark it by hand below: three clicks, and it goes on. "
    "Or choose a photo with a larger, more frontal face."
)
EXPLANATION = "Left and right are as **you** see them in the picture."

Updates = dict[Any, Any]


def connect(parts: Parts) -> gr.events.Dependency:
    """Wire the marking panel; returns the event after which the points may be complete."""
    outputs = [parts.visit, parts.marker, parts.hint]

    def step(change):
        """Wrap a change of a visit as a callback; without a photo nothing happens."""

        def callback(visit: Visit | None) -> Updates:
            return gr.skip() if visit is None else shown(parts, change(visit))

        return callback

    def place(visit: Visit | None, event: gr.SelectData) -> Updates:
        return gr.skip() if visit is None else shown(parts, visits.mark(visit, *event.index))

    again, back = step(lambda v: visits.unmark(v, 0)), step(lambda v: visits.unmark(v, -1))
    parts.by_hand.click(again, parts.visit, outputs, **LIGHT)
    parts.restart.click(again, parts.visit, outputs, **LIGHT)
    parts.undo.click(back, parts.visit, outputs, **LIGHT)
    return parts.marker.select(place, parts.visit, outputs, **LIGHT)


def shown(parts: Parts, visit: Visit) -> Updates:
    """Show the photo with the points placed so far, and ask for the next one."""
    return {
        parts.visit: visit,
        parts.marker: str(visits.write_marked(visit)),
        parts.hint: f"{say(question(visit))} {say(EXPLANATION)}",
    }


def question(visit: Visit) -> str:
    """Return what to click on next, as Markdown."""
    if visit.is_marked:
        return "Thank you, reading the face."
    number = len(visit.marks)
    return f"**{number + 1} of {len(MARK_NAMES)}: click on the {MARK_NAMES[number]}.**"
