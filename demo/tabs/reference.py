"""The Reference tab: a photo painted like another picture, or like a blend of two.

A reference is read once per style, which takes the search of a code where the style has no encoder
of its own; what is found is kept for this visitor, and every slider then costs one drawing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo import tiles
from demo import visit as visits
from demo.controls import AUTOMATIC, FOLLOWING, attribute_control, following, uploaded_path
from demo.looks import command
from demo.references import blended, key_of, read_reference
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs import image_marking as marking
from demo.tabs.pieces import LAST, LIGHT, NO_FACE
from demo.tabs.reference_parts import (
    NAMES,
    NO_REFERENCE,
    WELCOME,
    Parts,
    Slot,
    amount_control,
    build_parts,
    method_control,
    oneshot_controls,
)
from demo.tabs.sharing import SharingTab
from demo.theme import problem_line, status_line
from demo.visit import Drawn, Visit
from demo.words import say, warn
from engine.errors import ImageError, StylizeError
from engine.image import resize
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.reference import Reference

MIDDLE = "No face found in the reference: its middle is taken. Mark its face by hand to be exact."
SEEN_SIDE = 160

Updates = dict[Any, Any]


class ReferenceTab(SharingTab):
    """The tab inside the current `gr.Blocks`; `visit` is the state all tabs share.

    With `can_train` a reference can be learned here (reference_oneshot.py), else it is said how.
    """

    def __init__(
        self, studio: Studio, visit: gr.State, stops: Stops, *, can_train: bool = False
    ) -> None:
        self.studio, self.stops, self.can_train = studio, stops, can_train
        self.parts: Parts = build_parts(studio, visit, can_train=can_train)
        self._connect()

    def _connect(self) -> None:
        p = self.parts
        drawing = {"inputs": p.inputs, "outputs": p.outputs, **LAST}
        opening = {**drawing, "show_progress_on": [p.empty, p.result]}
        quick = {**drawing, "show_progress_on": p.result, "show_progress": "minimal"}
        p.photo.change(self.draw, **opening)
        for slot in (p.first, p.second):
            slot.photo.change(self.draw, **opening)
            marking.connect(slot).then(self.draw, **opening)
        for name in (*NAMES, "amount", "share", "attribute"):
            getattr(p, name).input(self.draw, **quick)
        for control in (p.method, p.effort):
            control.input(self.draw, **opening)
        of_style = [p.style, p.attribute, p.amount, *(getattr(p, name) for name in FOLLOWING)]
        of_style += [p.method, p.oneshot, p.learn]
        p.styles.select(self.choose_style, None, of_style, **LIGHT).then(self.draw, **opening)
        p.stop.click(self.stops.stop, None, None, **LIGHT)

    def choose_style(self, event: gr.SelectData) -> list[Any]:
        """Take the style clicked on, its variants, its layers, and how it reads references."""
        card = self.studio.card(self.studio.names()[event.index])
        controls = (attribute_control(card.attributes), amount_control(card))
        controls += (*following(card).values(), method_control(card))
        return [card.name, *controls, *oneshot_controls(card, can_train=self.can_train)]

    def draw(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Read what is new of photo and references, and draw the one like the others."""
        p = self.parts
        with self.stops.watch(request) as should_stop:
            try:
                yield {p.stop: gr.update(interactive=True)}
                stylizer = self.studio.stylizer(values[p.style])
                for part in (p, p.first, p.second):
                    progress(0.1, desc=say("Looking for faces"))
                    yield from self._open(part, stylizer, values)
                yield from self._draw(stylizer, values, should_stop, progress)
            except StylizeError as error:
                yield self._failed(error)

    def _open(self, part: Parts | Slot, stylizer: Stylizer, values: Updates) -> Iterator[Updates]:
        """Bring the visit of a photo or a reference up to date, in `values` too."""
        visit, source = values[part.visit], uploaded_path(values[part.photo])
        try:
            found = visits.reopened(visit, source, stylizer, Path(get_upload_folder()) / "visits")
        except ImageError:
            yield {part.visit: None, part.photo: None}
            raise
        if found is not None and found.is_marked:
            found = visits.with_marked_face(found, stylizer)
        if found is visit:
            return
        values[part.visit] = found
        updates: Updates = {part.visit: found}
        if isinstance(part, Slot):
            updates |= {part.marker: None, part.hint: ""}
        if found is not None and found.is_converted:
            updates[part.photo] = str(found.view)
        yield updates

    def _draw(
        self,
        stylizer: Stylizer,
        values: Updates,
        should_stop: Callable[[], bool],
        progress: gr.Progress,
    ) -> Iterator[Updates]:
        p, visit = self.parts, values[self.parts.visit]
        references = [v for v in (values[p.first.visit], values[p.second.visit]) if v is not None]
        if visit is None or not visit.portraits or not references:
            yield self._waiting(visit)
            return
        looks = []
        for reference in references:
            look = yield from self._read(reference, stylizer, values, should_stop, progress)
            looks.append(look)
        options, started = self._options(values, stylizer.style.base.generator.num_ws), time.time()
        portrait, look = visit.portraits[0], blended(looks, values[p.share])
        drawn = Drawn(portrait, stylizer.render(portrait, options, should_stop, look))
        options = replace(options, around="toned")  # no student learned this reference
        picture = visits.compose(visit, stylizer, [drawn], options)
        pair = visits.write_pair(visit, picture)
        line = MIDDLE if any(not v.portraits for v in references) else "Face of the reference found"
        line += f" · drawn in {time.time() - started:.1f} s"
        yield {
            p.result: tuple(map(str, pair)),
            p.status: status_line(line),
            p.stop: gr.update(interactive=False),
            p.recipe: f"{command(stylizer.card, options)} --reference look.png",
        }
        whole = StylizeOptions(mix_layer=0)
        seen = [stylizer.render(portrait, whole, look=look) for look in looks]
        file = visits.write_download(visit, f"{stylizer.card.name}-reference", picture, pair[1])
        yield {
            p.seen: tiles.drawings(visit, (resize(rgb, SEEN_SIDE, SEEN_SIDE) for rgb in seen)),
            p.download: gr.update(value=str(file), interactive=True),
        }

    def _read(
        self,
        reference: Visit,
        stylizer: Stylizer,
        values: Updates,
        should_stop: Callable[[], bool],
        progress: gr.Progress,
    ) -> Generator[Updates, None, Reference]:
        """Return the look of a reference, read before or now."""
        p = self.parts
        how = (values[p.method], values[p.effort])
        key = key_of(reference, stylizer, *how)
        look: Reference | None = values[p.readings].find(key)
        if look is not None:
            return look
        yield {p.status: status_line("Reading the reference; it is kept until you leave.")}

        def on_step(step: int, steps: int) -> None:
            progress((step, steps), desc=say("Searching for its look"), unit="steps")

        look = read_reference(reference, stylizer, *how, should_stop, on_step)
        values[p.readings] = values[p.readings].adding(key, look)
        yield {p.readings: values[p.readings]}
        return look

    def _options(self, values: Updates, num_ws: int) -> StylizeOptions:
        p = self.parts
        chosen = {name: values[getattr(p, name)] for name in NAMES}
        attribute = None if values[p.attribute] == AUTOMATIC else values[p.attribute]
        layer = max(0, num_ws - int(values[p.amount]))
        return StylizeOptions.from_dict(
            {**chosen, "attribute": attribute, "mix_layer": layer, "faces": "largest"}
        )

    def _waiting(self, visit: Visit | None) -> Updates:
        """Something is missing: say what."""
        p, off = self.parts, gr.update(interactive=False)
        line = status_line(WELCOME if visit is None else NO_REFERENCE)
        if visit is not None and not visit.portraits:
            warn(NO_FACE)
            line = problem_line(NO_FACE)
        nothing = {p.result: None, p.seen: [], p.recipe: ""}
        return {**nothing, p.status: line, p.stop: off, p.download: off}
