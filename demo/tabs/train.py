"""The Train tab: pictures in, a style of their own out, which every tab then offers.

What is uploaded belongs to the visitor until "Start training"; from then on it is a training of
this machine (train_runs.py), which every page shows. A page asks for it every few seconds while
one runs, and is sent only what is new.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo.studio import Studio
from demo.tabs.pieces import LAST, LIGHT, empty_stage
from demo.tabs.train_parts import MOST_STEPS, WELCOME, Parts, build_parts, put_away
from demo.tabs.train_runs import FREER, Trainings
from demo.tabs.train_set import PictureSet, make_set, missing_of, recipe_for, weights
from demo.tabs.train_state import Order, State
from demo.tabs.train_style import free_name, loaded, packed
from demo.tabs.train_view import curves_html, estimate, findings_html, pairs, progress_html
from demo.theme import problem_line, status_line
from demo.words import say, warn
from engine.card import Card
from engine.errors import OptionError, StylizeError
from train.transfer_config import PRESETS

OFF = (
    "Training is switched off here",
    "It takes this computer for a while. Run the page on your own one, with python app.py --train.",
)
RESUME = "Go on whenever you like: it starts where it stopped."
READY = "Give the style a name, then start."

_OFF = gr.update(interactive=False)

Updates = dict[Any, Any]


class TrainTab:
    """The tab inside the current `gr.Blocks`; without `trainings` it says that it is off.

    `galleries` are those that offer the styles: a finished one is added to all of them.
    """

    def __init__(
        self, studio: Studio, trainings: Trainings | None, galleries: Sequence[gr.Gallery]
    ) -> None:
        self.studio, self.galleries = studio, list(galleries)
        if trainings is None:
            empty_stage(*OFF, "train-off")
            return
        self.trainings = trainings
        trainings.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.offered = gr.State(len(studio.names()))
        self.parts: Parts = build_parts(status_line(estimate(trainings.seconds("cpu"))))
        self._connect()

    def follow_from(self, page: gr.Blocks, tab: gr.Tab) -> None:
        """Show what is trained when the page is loaded and when the tab is opened."""
        if hasattr(self, "parts"):
            for event in (page.load, tab.select):
                event(self.open, self.inputs, self.outputs, preprocess=False, **LIGHT)

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What every callback reads."""
        return {*self.parts.inputs, self.offered}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What every callback may change."""
        return [*self.parts.outputs, self.offered, *self.galleries]

    def _connect(self) -> None:
        p = self.parts
        every = {"inputs": self.inputs, "outputs": self.outputs}
        light = {**every, "preprocess": False, **LIGHT}
        looking = {**every, **LAST}
        p.pictures.change(self.look_at_pictures, show_progress_on=p.pictures, **looking)
        p.photos.change(self.look_at_photos, show_progress_on=p.photos, **looking)
        p.preset.input(self.choose_preset, **light)
        p.iterations.change(self.choose_steps, **light)
        p.start.click(self.start, **light)
        p.again.click(self.go_on, **light)
        p.stop.click(self.stop, **light)
        p.forget.click(self.forget, **light)
        p.which.input(self.show, **light)
        p.timer.tick(self.show, **light)

    def look_at_pictures(
        self,
        values: Updates,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Prepare and examine the pictures of the style."""
        p = self.parts
        yield from self._look(values, p.pictures, p.exemplars, "exemplars", progress)
        found: PictureSet | None = values[p.exemplars]
        names = found.names if found else ()
        yield {
            p.freer: bool(found and found.far),
            p.variants: gr.update(
                value=False,
                visible=len(names) > 1,
                info=f"Each gets a look of its own: {', '.join(names)}",
            ),
        }

    def look_at_photos(
        self,
        values: Updates,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Prepare and examine the photos of people."""
        yield from self._look(values, self.parts.photos, self.parts.people, "photos", progress)

    def _look(
        self, values: Updates, upload: gr.File, state: gr.State, holds: str, progress: gr.Progress
    ) -> Iterator[Updates]:
        """Make a set of an upload, and put it into `values` and the page."""
        p = self.parts
        put_away(values[state])
        values[state] = None
        if uploads := values[upload]:
            progress(0, desc=say("Reading"))
            looking = say("Looking for faces")
            yield {state: None, p.status: status_line("Looking at the pictures"), p.start: _OFF}
            try:
                values[state] = make_set(
                    uploads,
                    holds,
                    self._base(),
                    self.studio.stylizer(self.studio.default_style).detect,
                    Path(get_upload_folder()) / "sets",
                    lambda at, of: progress((at, of), desc=looking, unit="pictures"),
                )
            except StylizeError as error:  # once emptied, the upload comes here again
                yield {upload: None, **_failed(p, error)}
                return
            yield {p.status: status_line(READY if values[p.exemplars] else WELCOME)}
        found: PictureSet | None = values[p.exemplars]
        yield {
            state: values[state],
            p.findings: self._findings(values),
            p.start: gr.update(interactive=found is not None and found.can_be_trained),
            p.estimate: self._told(values),
        }

    def _findings(self, values: Updates) -> str:
        """What was found in both sets, and what is missing."""
        exemplars, people = values[self.parts.exemplars], values[self.parts.people]
        missing = missing_of(with_photos=people is not None)
        told = findings_html(exemplars, missing) if exemplars else ""
        return told + (findings_html(people) if people else "")

    def choose_preset(self, values: Updates) -> Updates:
        """Take over the number of steps of the preset, and say how long it takes."""
        p, steps = self.parts, PRESETS[values[self.parts.preset]].iterations
        return {p.iterations: steps, p.estimate: self._told({**values, p.iterations: steps})}

    def choose_steps(self, values: Updates) -> Updates:
        """Say how long that many steps take."""
        return {self.parts.estimate: self._told(values)}

    def _told(self, values: Updates) -> str:
        p = self.parts
        recipe = recipe_for(values[p.preset], values[p.people])
        seconds = self.trainings.seconds(values[p.preset], values[p.iterations], recipe)
        return status_line(estimate(seconds))

    def start(self, values: Updates) -> Updates:
        """Hand the pictures to a new training and show it."""
        p = self.parts
        try:
            order = self._order(values)
            people: PictureSet | None = values[p.people]
            folders = {"data": values[p.exemplars].folder}
            if people is not None:
                folders["photos"] = people.folder
            self.trainings.begin(order, folders)
        except StylizeError as error:
            return _failed(p, error)
        for found in (values[p.exemplars], people):
            put_away(found)  # what the training did not take
        emptied = dict.fromkeys((p.pictures, p.photos, p.exemplars, p.people))
        emptied |= {p.findings: "", p.name: "", p.start: _OFF}
        return {**emptied, **self.show({**values, p.which: order.name, p.shown: None})}

    def _order(self, values: Updates) -> Order:
        """What the visitor asks for; raises OptionError."""
        p, found = self.parts, values[self.parts.exemplars]
        if found is None:
            raise OptionError("there are no pictures yet: choose those of your style first")
        name, title = free_name(values[p.name], self.studio.library.search)
        steps = int(values[p.iterations] or 0)
        if values[p.preset] not in PRESETS or not 1 <= steps <= MOST_STEPS:
            raise OptionError(f"{steps} steps; accepted are 1 to {MOST_STEPS}: try 400")
        flags: dict[str, Any] = {"base": str(self._base()), "about": str(values[p.about] or "")}
        recipe = recipe_for(values[p.preset], values[p.people])
        flags |= FREER[recipe] if values[p.freer] else {}
        flags |= {"attributes": ",".join(found.names)} if values[p.variants] else {}
        flags |= {"perceptual": str(watching)} if (watching := weights()) else {}
        return Order(name, title, values[p.preset], steps, flags, recipe)

    def stop(self, values: Updates) -> Updates:
        """Ask the training to save and end."""
        self.trainings.stop(values[self.parts.which] or "")
        return self.show(values)

    def go_on(self, values: Updates) -> Updates:
        """Go on with a training that was stopped."""
        try:
            self.trainings.go_on(values[self.parts.which] or "")
        except StylizeError as error:
            return _failed(self.parts, error)
        return self.show(values)

    def forget(self, values: Updates) -> Updates:
        """Delete the pictures and the state of a training."""
        p = self.parts
        try:
            self.trainings.forget(values[p.which] or "")
        except StylizeError as error:
            return _failed(p, error)
        return self.show({**values, p.which: None, p.shown: None})

    def open(self, values: Updates) -> Updates:
        """Show everything, and once more by the timer: a page that still loads can lose it."""
        p, updates = self.parts, self.show({**values, self.parts.shown: None})
        updates |= {p.shown: None, p.estimate: self._told(values)}
        return {**updates, p.timer: gr.Timer(active=True)}

    def show(self, values: Updates) -> Updates:
        """What is new of the training that is chosen, or of the latest one."""
        p, updates = self.parts, self._new_styles(values)
        names = self.trainings.names()
        if not names:
            updates |= {p.which: gr.update(choices=[], value=None, visible=False), p.samples: []}
            updates |= {p.progress: "", p.curves: ""}
            updates |= dict.fromkeys((p.stop, p.again, p.forget, p.download), _OFF)
            return {**updates, p.timer: gr.Timer(active=False)}
        name = values[p.which] if values[p.which] in names else names[0]
        state = self.trainings.state(name)
        seen, now = values[p.shown], (name, state, tuple(names))
        if seen == now:
            return {p.shown: gr.skip(), **updates}
        choices = [(self.trainings.order(each).title, each) for each in names]
        updates |= {
            p.shown: now,
            p.which: gr.update(choices=choices, value=name, visible=len(names) > 1),
            p.progress: progress_html(state),
            p.stop: gr.update(interactive=state.phase == "running"),
            p.again: gr.update(interactive=state.phase in ("stopped", "failed")),
            p.forget: gr.update(interactive=not state.is_active),
            p.timer: gr.Timer(active=state.is_active),
            p.curves: curves_html(state.statistics),
        }
        if seen is None or seen[:1] != now[:1] or seen[1].samples != state.samples:
            updates[p.samples] = pairs(state.samples) if state.samples else []
        if seen is None or seen[1].phase != state.phase:  # else a message stays
            updates |= self._outcome(state)
        return updates

    def _outcome(self, state: State) -> Updates:
        """The style to download, and what can be done now."""
        p = self.parts
        if state.phase != "done":
            line = "" if state.is_active else RESUME
            return {
                p.download: gr.update(value=None, interactive=False),
                p.status: status_line(line),
            }
        file = packed(self.trainings.pack(state.order.name), Path(get_upload_folder()) / "styles")
        return {
            p.download: gr.update(value=str(file), interactive=True),
            p.status: status_line(f"{state.order.title} is in every tab now: try it on a photo."),
        }

    def _new_styles(self, values: Updates) -> Updates:
        """The tiles of all styles, for a page that has not seen the newest."""
        count = len(self.studio.names())
        if values[self.offered] == count:
            return {}
        tiles = loaded(self.studio.tiles())
        return {self.offered: count, **{each: gr.update(value=tiles) for each in self.galleries}}

    def _base(self) -> Path:
        """The base pack that trainings start from: that of the style shown first."""
        card: Card = self.studio.card(self.studio.default_style)
        return self.studio.library.find(card.base["name"])


def _failed(p: Parts, error: StylizeError) -> Updates:
    """What is on the page stays."""
    warn(str(error))
    return {p.status: problem_line(str(error))}
