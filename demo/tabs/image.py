"""The Image tab: a photo in, a stylized picture out, drawn again as the controls move.

The photo is read and encoded once; after that every change runs the generator only. All that
belongs to a visitor is in `gr.State`; the callbacks here only translate. What has no content is
hidden by the style sheet (demo/theme.py): Gradio can lose `visible` while a page is still loading.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo import tiles
from demo import visit as visits
from demo.controls import AUTOMATIC, COLORED, attribute_control, following, uploaded_path
from demo.edits import direction_names, edits_text
from demo.likeness import percent
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs import image_marking as marking
from demo.tabs.image_batch import Batch
from demo.tabs.image_grids import Grids
from demo.tabs.image_parts import WELCOME, Parts, build_parts
from demo.tabs.image_people import choices_beside
from demo.tabs.live import LivePart
from demo.tabs.pieces import GPU, LAST, LIGHT
from demo.tabs.sharing import SharingTab
from demo.theme import likeness_line, problem_line, status_line
from demo.visit import Drawn, PickedSample, Visit
from demo.words import say, warn
from engine.errors import ImageError, StylizeError
from engine.options import MAXIMUM_SEED, StylizeOptions

LOOKING = "Looking for faces"
NOBODY = "Everyone is left as they are: choose a style for somebody below."
MANY = 5  # from this many pictures on, a drawing takes long enough to be stopped

Updates = dict[Any, Any]


class ImageTab(SharingTab):
    """The tab inside the current `gr.Blocks`; `studio` holds the styles all visitors share."""

    def __init__(self, studio: Studio, stops: Stops) -> None:
        self.studio, self.stops = studio, stops
        self.parts: Parts = build_parts(studio)
        self.live = LivePart(studio, self.parts.style)
        self.grids = Grids(studio, self.parts, stops, self._options)
        self.batch = Batch(studio, self.parts, stops, self._options)
        self._connect()

    def _connect(self) -> None:
        p = self.parts
        people = p.people
        opening = {**LAST, "show_progress_on": [p.empty, p.result]}
        quick = {**LAST, "show_progress_on": p.result, "show_progress": "minimal"}
        p.photo.change(self.draw, p.inputs, p.outputs, **opening)
        controls = [*self._style_controls().values(), p.attribute, p.seed, p.ai_label, *p.edits]
        for control in controls:
            control.input(self.draw, p.inputs, p.outputs, **quick)
        of_style = [p.style, p.attribute, p.grid, *self._style_controls().values(), *p.edits]
        of_style.append(people.style)
        clicked = [people.wishes, p.strength]
        wished = [p.visit, people.wishes, people.person, people.style, people.strength]
        choices = [
            p.dice.click(roll, None, p.seed, **LIGHT),
            p.styles.select(self.choose_style, None, of_style, **LIGHT),
            p.grid.select(self.choose_tile, p.offered, [*of_style, p.styles], **LIGHT),
            p.reset.click(lambda: [0] * len(p.edits), None, [*p.edits], **LIGHT),
            people.faces.select(people.choose, clicked, people.outputs, **LIGHT),
            people.style.input(people.wish, wished, people.outputs, **LIGHT),
            people.strength.input(people.wish, wished, people.outputs, **LIGHT),
            p.gallery.select(choose_sample, [people.chosen, p.samples, p.seed], p.sample, **LIGHT),
        ]
        for choice in choices:
            choice.then(self.draw, p.inputs, p.outputs, **quick)
        gridding = {**GPU, "show_progress_on": p.status, "trigger_mode": "once"}
        outputs = [p.grid, p.offered, p.status, p.stop]
        for button, draw in (
            (p.all_styles, self.grids.draw_styles),
            (p.strengths, self.grids.draw_strengths),
        ):
            button.click(draw, p.inputs, outputs, preprocess=False, **gridding)
        marking.connect(p).then(self.draw_marked, p.inputs, p.outputs, **opening)
        p.stop.click(self.stop, None, [p.stop, p.status], **LIGHT)

    def _style_controls(self) -> dict[str, gr.components.Component]:
        """The controls of the options a style has defaults for."""
        names = ("strength", "likeness", "whole_photo", "surroundings", "around", "color")
        names += ("eyes", "truncation_psi", "samples")
        return {name: getattr(self.parts, name) for name in names}

    def choose_style(self, event: gr.SelectData) -> Updates:
        """Take the style clicked on, its variants, and the defaults it insists on."""
        return {**self._of_style(self.studio.names()[event.index]), self.parts.grid: []}

    def choose_tile(self, offered: tuple[str | float, ...], event: gr.SelectData) -> Updates:
        """Take the style or the strength of the picture clicked on in the grid."""
        p, chosen = self.parts, offered[event.index]
        if not isinstance(chosen, str):
            return {p.strength: chosen}
        number = self.studio.names().index(chosen)
        return {**self._of_style(chosen), p.styles: gr.update(selected_index=number)}

    def _of_style(self, name: str) -> Updates:
        p, card = self.parts, self.studio.card(name)
        controls = self._style_controls()
        insisted = {**following(card, COLORED), **card.defaults}
        defaults = {controls[n]: v for n, v in insisted.items() if n in controls}
        labels = direction_names(self.studio.directions(name))
        edits = {s: gr.update(label=say(label)) for s, label in zip(p.edits, labels, strict=True)}
        beside = gr.update(choices=choices_beside(self.studio, name))
        return {
            **{p.style: card.name, p.attribute: attribute_control(card.attributes)},
            **{p.people.style: beside, **defaults, **edits},
        }

    def stop(self, request: gr.Request) -> list[Any]:
        """Have what is running end at its next step; a change made meanwhile is drawn then."""
        self.stops.stop(request)
        return [gr.update(interactive=False), status_line("Stopping …")]

    def draw(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Read the photo if it is a new one, draw it, show it, then write the download."""
        visit = values[self.parts.visit]
        with self.stops.watch(request) as should_stop:
            try:
                photo = uploaded_path(values[self.parts.photo])
                if photo is not None:
                    yield from self._draw(photo, visit, values, should_stop, progress)
                elif visit is not None:
                    visits.close_visit(visit)
                    yield self._closed(status_line(WELCOME))
                else:  # a broken file was put away, its message stays
                    yield gr.skip()
            except StylizeError as error:
                yield self._failed(error)

    def draw_marked(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Once all points are placed: encode the face they describe, and draw."""
        p, visit = self.parts, values[self.parts.visit]
        if visit is None or not visit.is_marked:
            yield gr.skip()
            return
        try:
            progress(0.3, desc=say("Reading the face you marked"))
            visit = visits.with_marked_face(visit, self.studio.stylizer(values[p.style]))
        except StylizeError as error:
            yield {**self._failed(error), **marking.shown(p, visits.unmark(visit, 0))}
            return
        yield self._opened(visit)
        everyone = {p.people.chosen: "all", p.people.wishes: {}}
        yield from self.draw({**values, p.visit: visit, **everyone}, request, progress)

    def _draw(
        self,
        photo: str,
        visit: Visit | None,
        values: Updates,
        should_stop: Callable[[], bool],
        progress: gr.Progress,
    ) -> Iterator[Updates]:
        p, stylizer = self.parts, self.studio.stylizer(values[self.parts.style])
        if visit is None or not visit.fits(photo, stylizer):
            yield {p.stop: gr.update(interactive=True), p.status: status_line(LOOKING)}
            progress(0.2, desc=say(LOOKING))
            visits.close_visit(visit)
            try:
                shelf = Path(get_upload_folder()) / "visits"
                visit = visits.open_visit(stylizer, photo, shelf, should_stop)
            except ImageError as error:
                warn(str(error))
                yield {**self._closed(problem_line(str(error))), p.photo: None}
                return
            values = {**values, p.people.chosen: "all", p.people.wishes: {}}
            yield self._opened(visit)
        if not visit.portraits:
            warn(marking.NO_FACE)
            line = problem_line(marking.NO_FACE)
            yield {**self._stage(None, line), **marking.shown(p, visit)}
            return
        options, started = self._options(values), time.perf_counter()
        drawn: list[Drawn] = []
        count, wishes = len(visit.portraits), values[p.people.wishes]
        looks = p.people.looks(stylizer, options, count, wishes)
        for index, look in looks.items():
            progress((len(drawn), len(looks)), desc=say("Drawing"))
            yield {p.stop: gr.update(interactive=len(looks) * options.samples >= MANY)}
            picked = values[p.sample]
            drawn.append(visits.draw_face(visit, *look, index, picked, should_stop=should_stop))
        if not drawn:
            yield self._stage(None, status_line(NOBODY))
            return
        picture = visits.compose(visit, stylizer, drawn, options)
        pair = visits.write_pair(visit, picture)
        line = summary(visit, picture.rgb.shape, time.perf_counter() - started)
        shown = {p.gallery: sample_tiles(visit, drawn), p.alike: likeness_line(percent(drawn))}
        yield {**self._stage(pair, status_line(line)), **shown}
        file = visits.write_download(visit, stylizer.card.name, picture, pair[1])
        yield {p.download: gr.update(value=str(file), interactive=True)}

    def _options(self, values: Updates) -> StylizeOptions:
        p = self.parts
        controls = {**self._style_controls(), "seed": p.seed, "faces": p.people.chosen}
        controls["ai_label"] = p.ai_label
        chosen = {name: values[control] for name, control in controls.items()}
        attribute = None if values[p.attribute] == AUTOMATIC else values[p.attribute]
        edits = edits_text([values[slider] for slider in p.edits])
        return StylizeOptions.from_dict({**chosen, "attribute": attribute, "edits": edits})

    def _opened(self, visit: Visit) -> Updates:
        """A photo has been read: its faces to choose from, nothing drawn yet."""
        p = self.parts
        updates = {
            **p.people.opened(visit),
            p.visit: visit,
            p.sample: None,
            p.gallery: [],
            p.grid: [],
            p.marker: None,
            p.hint: "",
        }
        return {**updates, p.photo: str(visit.view)} if visit.is_converted else updates

    def _closed(self, line: str) -> Updates:
        """No photo, or one that cannot be used: everything about the last one goes away."""
        p = self.parts
        nothing = {**p.people.closed(), p.visit: None, p.grid: []}
        nothing |= {p.marker: None, p.hint: ""}
        return {**self._stage(None, line), **nothing}

    def _stage(self, pair: tuple[Path, Path] | None, line: str) -> Updates:
        """The picture before and after, or the empty stage, and the line below it."""
        p = self.parts
        files = None if pair is None else tuple(map(str, pair))
        return {
            p.result: files,
            p.gallery: [],
            p.alike: "",
            p.status: line,
            p.stop: gr.update(interactive=False),
            p.download: gr.update(interactive=False),
        }


def roll() -> int:
    """Return a random seed."""
    return secrets.randbelow(MAXIMUM_SEED + 1)


def choose_sample(chosen: str, samples: int, seed: int, event: gr.SelectData) -> PickedSample:
    """Return which sample of which face was clicked on."""
    face = 0 if chosen == "all" else int(chosen)
    return PickedSample(face, int(samples), int(seed), event.index)


def summary(visit: Visit, shape: tuple[int, ...], seconds: float) -> str:
    """Return one line on what was found and how long it took."""
    count = len(visit.portraits)
    faces = "1 face" if count == 1 else f"{count} faces"
    return (
        f"{faces} read in {visit.seconds:.1f} s · drawn in {seconds:.1f} s · "
        f"{shape[1]} × {shape[0]} px"
    )


def sample_tiles(visit: Visit, drawn: list[Drawn]) -> dict[str, Any]:
    """Return the update of the gallery: the samples of the first face, none if there is one."""
    samples = drawn[0].samples if drawn else None
    files = [] if samples is None else tiles.drawings(visit, samples)
    named = [(file, say(f"Sample {n}")) for n, file in enumerate(files, 1)]
    return gr.update(value=named, selected_index=drawn[0].number if named else None)
