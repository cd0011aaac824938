"""People of a group photo drawn each in their own way, likeness, and stopping, in the Image tab."""

import functools
import re
from pathlib import Path

import numpy as np

from demo.tabs.image_people import ALONE, AS_ALL

from .page import Visitor


def test_everyone_has_a_style_and_a_strength_of_their_own(visitor: Visitor, photo: Path):
    people = visitor.tab.parts.people
    visitor.upload(photo)
    before, both = visitor.pictures()
    left, right = np.s_[:, :70], np.s_[:, 120:]

    def wish(person: int, style: str, strength: float = 1.0) -> np.ndarray | None:
        wishes = visitor.values[people.wishes]
        updates = people.wish(visitor.visit, wishes, person, style, strength)
        titles = [caption for _, caption in updates[people.faces]["value"]]
        assert style == AS_ALL or titles[person + 1] == f"{person + 1} · {style}"
        shown = visitor.draw(wishes=updates[people.wishes]).shown[visitor.tab.parts.result]
        return visitor.pictures()[1] if shown else None

    comic = wish(1, "comic")
    assert (comic[left] == both[left]).all() and (comic[right] != both[right]).any()
    weaker = wish(1, "comic", 0.3)
    assert (weaker[right] != comic[right]).any()
    alone = wish(0, ALONE)
    assert (alone[left] == before[left]).all() and (alone[right] == weaker[right]).all()
    assert wish(1, ALONE) is None
    assert "left as they are" in visitor.shown[visitor.tab.parts.status]
    assert (wish(1, AS_ALL)[right] == both[right]).all()


def test_likeness_is_told_with_what_it_means(visitor: Visitor, photo: Path):
    line = visitor.upload(photo).shown[visitor.tab.parts.alike]
    assert re.search(r"nearer to its photo than to \d+(–\d+)? %", line) and "not measured" in line


def test_a_stopped_drawing_says_so_and_the_next_one_is_drawn(visitor: Visitor, photo: Path):
    stop = functools.partial(visitor.tab.stop, visitor.request)
    visitor.draw(before=stop, photo={"path": str(photo)})
    assert "Stopped" in visitor.shown[visitor.tab.parts.status] and visitor.visit is None
    picture = visitor.draw().shown[visitor.tab.parts.result]
    visitor.draw(before=stop, strength=0.5)
    assert visitor.shown[visitor.tab.parts.result] == picture, "what is on the page stays"
    assert visitor.tab.stop(visitor.request)[0]["interactive"] is False


def test_a_stopped_grid_keeps_what_is_drawn(visitor: Visitor, photo: Path):
    visitor.upload(photo)
    stop = functools.partial(visitor.tab.stop, visitor.request)
    visitor.draw(visitor.tab.grids.draw_strengths, before=stop)
    assert len(visitor.prop("grid", "value")) == 1
