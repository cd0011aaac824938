"""The Variations tab: many looks of one photo, looks around one of them, a walk between two.

A look is a number (`StylizeOptions.variation`), so all of them can be drawn again, here or on the
command line; the photo is read once and shared with the other tabs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo import tiles
from demo import visit as visits
from demo.controls import AUTOMATIC, FOLLOWING, attribute_control, following, uploaded_path
from demo.looks import FRAMES, PLAIN, Look, between, command, looks_near, some_looks, write_walk
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image import roll
from demo.tabs.image_people import face_tiles
from demo.tabs.multimodal_parts import (
    NAMES,
    WELCOME,
    Parts,
    build_parts,
    layer_choices,
    layer_control,
)
from demo.tabs.pieces import GPU, LAST, LIGHT, NO_FACE
from demo.tabs.sharing import SharingTab
from demo.theme import problem_line, status_line
from demo.visit import Drawn, Visit
from demo.words import say, warn
from engine.errors import ImageError, StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer

Updates = dict[Any, Any]


class MultimodalTab(SharingTab):
    """The tab inside the current `gr.Blocks`; `visit` is the state all tabs share."""

    def __init__(self, studio: Studio, visit: gr.State, stops: Stops) -> None:
        self.studio, self.stops = studio, stops
        self.parts: Parts = build_parts(studio, visit)
        self._connect()

    def _connect(self) -> None:
        p = self.parts
        drawing = {"inputs": p.inputs, "outputs": p.outputs, **LAST}
        opening = {**drawing, "show_progress_on": [p.empty, p.tiles]}
        quick = {**drawing, "show_progress_on": p.tiles, "show_progress": "minimal"}
        p.photo.change(self.draw, **opening)
        controls = [getattr(p, n) for n in NAMES if n != "mix_layer"]
        for control in (*controls, p.count, p.seed, p.attribute, p.share):
            control.input(self.draw, **quick)
        p.layers.input(lambda layer: layer, p.layers, p.mix_layer, **LIGHT).then(self.draw, **quick)
        p.mix_layer.input(lambda layer: layer, p.mix_layer, p.layers, **LIGHT)
        p.mix_layer.input(self.draw, **quick)
        p.dice.click(roll, None, p.seed, **LIGHT).then(self.draw, **quick)
        of_style = [p.style, p.attribute, *(getattr(p, name) for name in FOLLOWING)]
        of_style += [p.layers, p.mix_layer]
        chosen = p.styles.select(self.choose_style, p.mix_layer, of_style, **LIGHT)
        chosen.then(self.draw, **quick)
        p.faces.select(choose_face, None, p.face, **LIGHT).then(self.draw, **quick)
        showing = {**drawing, "show_progress_on": p.result, "show_progress": "minimal"}
        p.tiles.select(number_of, None, p.chosen, **LIGHT).then(self.show, **showing)
        p.lock.click(self.lock, [p.looks, p.chosen], [p.locked, p.chosen], **LIGHT).then(
            self.draw, **quick
        )
        p.unlock.click(lambda: [None, 1], None, [p.locked, p.chosen], **LIGHT).then(
            self.draw, **quick
        )
        outputs = [p.start, p.walk, p.status]
        p.begin.click(begin_walk, [p.looks, p.chosen], outputs, **LIGHT)
        walking = {**GPU, "trigger_mode": "once", "preprocess": False}
        p.walk.click(self.walk, p.inputs, p.outputs, show_progress_on=p.clip, **walking)
        p.stop.click(self.stops.stop, None, None, **LIGHT)

    def choose_style(self, layer: int, event: gr.SelectData) -> list[Any]:
        """Take the style clicked on, its variants, and the layers it has."""
        card = self.studio.card(self.studio.names()[event.index])
        layer = min(int(layer), card.num_ws)
        return [
            card.name,
            attribute_control(card.attributes),
            *following(card).values(),
            gr.update(choices=layer_choices(card), value=layer),
            layer_control(card, value=layer, label=say("or any layer")),
        ]

    def lock(self, looks: tuple[Look, ...], chosen: int) -> list[Any]:
        """Keep the chosen look, and have the others drawn around it."""
        look = looks[chosen] if chosen < len(looks) else PLAIN
        return [look if look.variation else None, 0]

    def draw(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Read the photo if it is a new one, draw all looks, and the chosen one in full."""
        p, visit = self.parts, values[self.parts.visit]
        with self.stops.watch(request) as should_stop:
            try:
                yield {p.stop: gr.update(interactive=True)}
                progress(0.1, desc=say("Looking for faces"))
                stylizer, source = self.studio.stylizer(values[p.style]), values[p.photo]
                shelf = Path(get_upload_folder()) / "visits"
                found = visits.reopened(visit, uploaded_path(source), stylizer, shelf)
                if found is None:
                    yield self._closed(status_line(WELCOME))
                    return
                if found is not visit:
                    values = {**values, p.face: 0}
                    yield self._opened(found)
                yield from self._draw(found, stylizer, values, should_stop, progress)
            except ImageError as error:
                warn(str(error))
                yield {**self._closed(problem_line(str(error))), p.photo: None}
            except StylizeError as error:
                yield self._failed(error)

    def _draw(
        self,
        visit: Visit,
        stylizer: Stylizer,
        values: Updates,
        should_stop: Callable[[], bool],
        progress: gr.Progress,
    ) -> Iterator[Updates]:
        p = self.parts
        if not visit.portraits:
            warn(NO_FACE)
            yield {**self._closed(problem_line(NO_FACE)), p.visit: visit}
            return
        options, started = self._options(values), time.perf_counter()
        portrait = visit.portraits[min(values[p.face], len(visit.portraits) - 1)]
        seed, count, locked = int(values[p.seed]), int(values[p.count]), values[p.locked]
        looks = (
            looks_near(locked, seed, count, values[p.share]) if locked else some_looks(seed, count)
        )
        drawings = []
        for number, look in enumerate(looks):
            progress((number, len(looks)), desc=say("Drawing looks"))
            drawn = stylizer.render(portrait, look.applied(options), should_stop)
            drawings.append(stylizer.crop(portrait, drawn, options))
        files = tiles.drawings(visit, drawings)
        named = [(file, say(look.title)) for file, look in zip(files, looks, strict=True)]
        chosen = min(values[p.chosen], count)
        around = f" around {locked.title}" if locked else ""
        text = f"{count} looks{around} drawn in {time.perf_counter() - started:.1f} s"
        yield {
            p.looks: tuple(looks),
            p.chosen: chosen,
            p.tiles: gr.update(value=named, selected_index=chosen),
            p.status: status_line(text),
            p.unlock: gr.update(interactive=locked is not None),
        }
        values = {**values, p.visit: visit, p.looks: tuple(looks), p.chosen: chosen}
        yield from self._show(visit, stylizer, values)

    def show(self, values: Updates) -> Iterator[Updates]:
        """Draw the look that was clicked on in full."""
        p, visit = self.parts, values[self.parts.visit]
        if visit is None or not visit.portraits or not values[p.looks]:
            yield gr.skip()
            return
        try:
            yield from self._show(visit, self.studio.stylizer(values[p.style]), values)
        except StylizeError as error:
            yield self._failed(error)

    def _show(self, visit: Visit, stylizer: Stylizer, values: Updates) -> Iterator[Updates]:
        p = self.parts
        look = values[p.looks][min(values[p.chosen], len(values[p.looks]) - 1)]
        options = look.applied(self._options(values))
        index = min(values[p.face], len(visit.portraits) - 1)
        if len(visit.portraits) > 1:
            options = replace(options, faces=str(index))
        drawn = Drawn(visit.portraits[index], stylizer.render(visit.portraits[index], options))
        picture = visits.compose(visit, stylizer, [drawn], options)
        pair = visits.write_pair(visit, picture)
        yield {
            p.result: tuple(map(str, pair)),
            p.recipe: command(stylizer.card, options),
            p.stop: gr.update(interactive=False),
            p.lock: gr.update(interactive=look != PLAIN),
            p.begin: gr.update(interactive=True),
            p.walk: walk_button(values[p.start], look),
        }
        name = f"{stylizer.card.name}-{look.variation}"
        file = visits.write_download(visit, name, picture, pair[1])
        yield {p.download: gr.update(value=str(file), interactive=True)}

    def walk(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Write the way from the start of the walk to the chosen look, and back, as a clip."""
        p, visit = self.parts, values[self.parts.visit]
        if visit is None or not visit.portraits or not values[p.looks]:
            yield gr.skip()
            return
        end = values[p.looks][min(values[p.chosen], len(values[p.looks]) - 1)]
        way = (values[p.start], end)
        yield {p.stop: gr.update(interactive=True), p.status: status_line("Walking …")}
        with self.stops.watch(request) as should_stop:
            try:
                stylizer = self.studio.stylizer(values[p.style], is_long=True)
                portrait = visit.portraits[min(values[p.face], len(visit.portraits) - 1)]
                steps = between(stylizer, portrait, way, self._options(values), should_stop)
                pictures = list(progress.tqdm(steps, total=FRAMES, desc=say("Walking")))
                name = f"walk-{way[0].variation}-{way[1].variation}.mp4"
                path = write_walk(visits.new_file(visit.folder, name), pictures)
            except StylizeError as error:
                yield self._failed(error)
                return
        text = f"From {way[0].title} to {way[1].title} and back"
        yield {
            p.clip: gr.update(value=str(path), label=say(text)),
            p.status: status_line(text),
            p.stop: gr.update(interactive=False),
        }

    def _options(self, values: Updates) -> StylizeOptions:
        p = self.parts
        chosen = {name: values[getattr(p, name)] for name in NAMES}
        attribute = None if values[p.attribute] == AUTOMATIC else values[p.attribute]
        return StylizeOptions.from_dict({**chosen, "attribute": attribute})

    def _opened(self, visit: Visit) -> Updates:
        p = self.parts
        updates = {p.visit: visit, p.face: 0, p.faces: gr.update(value=face_tiles(visit)[1:])}
        return {**updates, p.photo: str(visit.view)} if visit.is_converted else updates

    def _closed(self, line: str) -> Updates:
        """No photo, or one that cannot be used: everything about the last one goes away."""
        p, off = self.parts, gr.update(interactive=False)
        states = {p.visit: None, p.face: 0, p.looks: (), p.chosen: 1, p.locked: None}
        shown = {p.tiles: [], p.faces: [], p.result: None, p.recipe: "", p.clip: None}
        buttons = {b: off for b in (p.lock, p.unlock, p.begin, p.walk, p.stop, p.download)}
        return {**states, **shown, **buttons, p.start: PLAIN, p.status: line}


def choose_face(event: gr.SelectData) -> int:
    """Return the number of the face clicked on."""
    return int(event.index)


def number_of(event: gr.SelectData) -> int:
    """Return the number of the look clicked on."""
    return int(event.index)


def begin_walk(looks: tuple[Look, ...], chosen: int) -> list[Any]:
    """Let the next walk start at the chosen look."""
    look = looks[chosen] if chosen < len(looks) else PLAIN
    text = f"The walk starts at {look.title}: choose another look to walk to."
    return [look, walk_button(look, look), status_line(text)]


def walk_button(start: Look, look: Look) -> dict[str, Any]:
    """Return the update of the button: there is no way from a look to itself."""
    return gr.update(interactive=start != look)
