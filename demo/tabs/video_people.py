"""The people of a clip on the page: their pictures, and the style each is drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from demo.tabs.video_parts import ALONE, AS_ALL
from demo.words import say


def tiles(people: Mapping[int, Any], wishes: Mapping[int, str | None]) -> list[tuple[Any, str]]:
    """Return the people as pictures, each with its style."""
    names = {number: wishes[number] or ALONE for number in wishes}
    return [(picture, say(names.get(number, AS_ALL))) for number, picture in people.items()]


def choose_person(
    people: Mapping[int, Any], wishes: Mapping[int, str | None], event: gr.SelectData
) -> list[Any]:
    """Take the person clicked on, and show the style they are drawn in."""
    number = list(people)[event.index]
    value = (wishes[number] or ALONE) if number in wishes else AS_ALL
    return [number, gr.update(value=value)]


def wish_for(
    people: Mapping[int, Any], wishes: Mapping[int, str | None], person: int | None, style: str
) -> list[Any]:
    """Have the chosen person drawn in a style of their own, or not at all."""
    if person is None:
        return [wishes, gr.skip()]
    wishes = {number: name for number, name in wishes.items() if number != person}
    if style != AS_ALL:
        wishes[person] = None if style == ALONE else style
    return [wishes, gr.update(value=tiles(people, wishes))]
