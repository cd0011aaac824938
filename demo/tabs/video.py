"""The Video tab: a clip stylized, with its sound; first its facts, an estimate, and one second.

A film is a job (`motion.job`) in the visitor's own folder: stopped, or left because the page was
loaded again, it goes on after its last finished two seconds when the same film is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo import reels
from demo.controls import AUTOMATIC, COLORED, attribute_control, following, uploaded_path
from demo.films import PREVIEW_SECONDS
from demo.live import duration, live_html, progress_line, watched
from demo.reels import Reel, Wish, command_of, told
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.pieces import GPU, LAST, LIGHT
from demo.tabs.video_parts import (
    ALONE,
    AS_ALL,
    STYLE_NAMES,
    TEMPORAL_NAMES,
    WELCOME,
    Parts,
    build_parts,
    span_of,
)
from demo.tabs.video_people import choose_person, tiles, wish_for
from demo.theme import problem_line, status_line
from demo.words import warn
from engine.errors import StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.provenance import COMPOSITE
from motion.job import Job, Outcome, Progress, run
from motion.temporal_options import TemporalOptions

NO_PEOPLE = "I found nobody in the first second; parts without a face stay as they are."
BACK = "Your unfinished film is back: make the film, and it goes on."

Updates = dict[Any, Any]


class VideoTab:
    """The tab inside the current `gr.Blocks`; `ticket` leads back to an unfinished film."""

    def __init__(self, studio: Studio, stops: Stops, ticket: gr.BrowserState) -> None:
        self.studio, self.stops = studio, stops
        self.parts: Parts = build_parts(studio, ticket)
        self._connect()

    def restore_from(self, tab: gr.Tab) -> None:
        """Bring an unfinished film back when the tab is opened after a reload."""
        p = self.parts
        outputs = [*p.controls.values(), p.clip, p.status]
        tab.select(self.restore, [p.ticket, p.reel], outputs, **LIGHT)

    def _connect(self) -> None:
        p = self.parts
        opening = {"inputs": p.inputs, "outputs": p.outputs, **LAST}
        p.clip.change(self.open, show_progress_on=p.facts, show_progress="minimal", **opening)
        p.start.release(self.look, show_progress_on=p.faces, show_progress="minimal", **opening)
        telling = [p.reel, p.start, p.end]
        for slider in (p.start, p.end):
            slider.change(self.tell, telling, p.status, preprocess=False, **LIGHT)
        filming = {**GPU, "trigger_mode": "once", "preprocess": False, "show_progress": "hidden"}
        filming |= {"inputs": p.inputs, "outputs": p.outputs}
        p.preview.click(self.preview, **filming)
        p.make.click(self.film, **filming)
        p.stop.click(self.stops.stop, None, None, **LIGHT)
        of_style = [p.style, p.attribute, *(getattr(p, name) for name in COLORED)]
        of_style += [p.wishes, p.person_style]
        p.styles.select(self.choose_style, None, of_style, **LIGHT)
        choosing = [p.people, p.wishes]
        p.faces.select(choose_person, choosing, [p.person, p.person_style], **LIGHT)
        wishing = [*choosing, p.person, p.person_style]
        p.person_style.input(wish_for, wishing, [p.wishes, p.faces], **LIGHT)

    def choose_style(self, event: gr.SelectData) -> list[Any]:
        """Take the style clicked on, and what can be drawn together with it."""
        card = self.studio.card(self.studio.names()[event.index])
        choices = [AS_ALL, ALONE, *self.studio.companions(card.name)]
        dropdown = gr.update(choices=choices, value=AS_ALL)
        return [
            card.name,
            attribute_control(card.attributes),
            *following(card, COLORED).values(),
            {},
            dropdown,
        ]

    def open(self, values: Updates) -> Iterator[Updates]:
        """Look at a new clip: facts at once, then the people, then how long a film takes."""
        p, reel = self.parts, values[self.parts.reel]
        source = uploaded_path(values[p.clip], "clip")
        if reel is not None and reel.source == source and reel.folder.is_dir():
            yield gr.skip()
            return
        reels.close_reel(reel)
        try:
            if source is None:
                yield self._closed(status_line(WELCOME))
                return
            reel = reels.open_reel(source, shelf(), values[p.ticket])
            is_back = reel.ticket == values[p.ticket]
            start, end = span_of(reel.seconds)
            if is_back:  # the sliders on the page may not have been set back yet
                kept = reels.kept_wish(reel.file)
                start["value"], end["value"] = kept["start"], kept["end"]
            yield self._opened(reel, start, end)
            span = {p.start: start["value"], p.end: end["value"]}
            yield from self.look({**values, **span, p.reel: reel})
            if is_back:
                yield {p.status: status_line(BACK)}
        except StylizeError as error:
            reels.close_reel(reel)
            warn(str(error))
            yield {**self._closed(problem_line(str(error))), p.clip: None}

    def look(self, values: Updates) -> Iterator[Updates]:
        """Show who is seen where the film begins, and tell how long it takes."""
        p, reel = self.parts, values[self.parts.reel]
        if reel is None:
            yield gr.skip()
            return
        try:
            stylizer = self.studio.stylizer(values[p.style], is_long=True)
            people = reels.people_in(reel, stylizer, values[p.start])
            yield self._people(people)
            if not reel.pace:
                reel = replace(reel, pace=reels.pace_of(reel, stylizer))
            line = told(reel, values[p.start], values[p.end])
            line = line if people else f"{line} {NO_PEOPLE}"
            yield {p.reel: reel, p.status: status_line(line)}
        except StylizeError as error:
            yield self._failed(error)

    def tell(self, reel: Reel | None, start: float, end: float) -> Any:
        """Tell how long the film takes that begins and ends there."""
        return status_line(told(reel, start, end)) if reel and reel.pace else gr.skip()

    def preview(self, values: Updates, request: gr.Request) -> Iterator[Updates]:
        """Make the first second of the film."""
        p = self.parts
        end = min(values[p.end], values[p.start] + PREVIEW_SECONDS)
        yield from self.film({**values, p.end: end}, request, is_preview=True)

    def film(
        self, values: Updates, request: gr.Request, *, is_preview: bool = False
    ) -> Iterator[Updates]:
        """Make the film, or go on with it, its latest frame in sight."""
        p, reel = self.parts, values[self.parts.reel]
        if reel is None:
            yield {p.status: status_line(WELCOME)}
            return
        with self.stops.watch(request) as should_stop:
            yield {p.status: status_line("Starting …"), p.result: None, **self._busy(is_busy=True)}
            try:
                stylizer = self.studio.stylizer(values[p.style], is_long=True)
                wish = self._wish(values)
                job = reels.job_of(reel, wish, self.studio)
                if not is_preview:
                    chosen = {name: values[part] for name, part in p.controls.items()}
                    reels.keep_wish(reel, chosen)
                    yield {p.ticket: reel.ticket}
                outcome = yield from self._run(job, stylizer, should_stop)
                yield self._done(reel, job, wish, outcome, is_preview=is_preview)
            except StylizeError as error:
                yield self._failed(error)

    def _run(
        self, job: Job, stylizer: Stylizer, should_stop: Callable[[], bool]
    ) -> Iterator[Updates]:
        """Show how the job gets on; returns its outcome."""
        p = self.parts

        def work(tell: Callable[[Progress], None], should_stop: Callable[[], bool]) -> Outcome:
            return run(job, stylizer, tell, should_stop)

        steps = watched(work, should_stop)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                return end.value
            share = step.done / max(1, step.total)
            yield {
                p.live: live_html(step.latest, share, "The latest frame of the film"),
                p.status: status_line(progress_line(step)),
            }

    def _done(
        self, reel: Reel, job: Job, wish: Wish, outcome: Outcome, *, is_preview: bool
    ) -> Updates:
        p, frames = self.parts, outcome.frames
        updates = {**self._busy(is_busy=False), p.live: ""}
        if not frames:
            return {**updates, p.status: status_line("Stopped before the first frame.")}
        made = COMPOSITE if outcome.num_untouched < frames else None
        path = str(reels.publish(job.result, reel.folder / "films", reel.file, made))
        line = f"{frames} frames in {duration(outcome.seconds)}"
        if not outcome.is_complete:
            line = f"Stopped; the first {frames} frames play here. Make the film again to go on"
        elif is_preview:
            reel = replace(reel, pace=outcome.seconds / frames)
            line = f"One second, made in {duration(outcome.seconds)}"
        if outcome.num_untouched:
            line += f" · {outcome.num_untouched} frames without a face left as they are"
        line = " · ".join([line, *(n for n in outcome.notes if n not in reel.clip.notes)])
        return {
            **updates,
            p.reel: reel,
            p.result: path,
            p.download: gr.update(value=path, interactive=True),
            p.status: status_line(line),
            p.recipe: command_of(self.studio.card(wish.style), wish),
        }

    def _wish(self, values: Updates) -> Wish:
        p = self.parts
        attribute = None if values[p.attribute] == AUTOMATIC else values[p.attribute]
        chosen = {name: values[getattr(p, name)] for name in STYLE_NAMES}
        card = self.studio.card(values[p.style])
        options = StylizeOptions.from_dict({**chosen, "attribute": attribute}, card.options())
        options = replace(options, faces="all", whole_photo=True)
        temporal = TemporalOptions(**{name: values[getattr(p, name)] for name in TEMPORAL_NAMES})
        start, end = float(values[p.start]), float(values[p.end])
        is_whole = end >= values[p.reel].seconds
        return Wish(
            card.name, options, temporal, start, None if is_whole else end, values[p.wishes]
        )

    def restore(self, ticket: str, reel: Reel | None) -> list[Any]:
        """Bring back clip and choices of a film that was begun before the page was loaded again."""
        file = reels.left_behind(shelf(), ticket) if reel is None else None
        if file is None:
            return [gr.skip()] * (len(self.parts.controls) + 2)
        kept = reels.kept_wish(file)
        span = {"maximum": max(kept["end"], reels.MOST_SECONDS)}
        limits = {"start": span, "end": span}
        values = [gr.update(value=kept[n], **limits.get(n, {})) for n in self.parts.controls]
        values[0] = kept["style"]
        return [*values, str(file), status_line(BACK)]

    def _opened(self, reel: Reel, start: dict[str, float], end: dict[str, float]) -> Updates:
        p = self.parts
        return {
            p.reel: reel,
            p.facts: status_line(reels.facts(reel.clip)),
            p.start: gr.update(**start),
            p.end: gr.update(**end),
            p.status: status_line("Looking for people, and how long it takes …"),
            p.result: None,
            p.recipe: "",
            p.download: gr.update(interactive=False),
            **self._people({}),
            **self._busy(is_busy=False),
        }

    def _people(self, people: Mapping[int, Any]) -> Updates:
        p = self.parts
        faces = tiles(people, {}) if len(people) > 1 else []
        shown = {p.faces: gr.update(value=faces, selected_index=None)}
        dropdown = gr.update(value=AS_ALL, visible=False)
        return {**shown, p.people: people, p.wishes: {}, p.person: None, p.person_style: dropdown}

    def _busy(self, *, is_busy: bool) -> Updates:
        p = self.parts
        start, stop = gr.update(interactive=not is_busy), gr.update(interactive=is_busy)
        return {p.preview: start, p.make: start, p.stop: stop}

    def _failed(self, error: StylizeError) -> Updates:
        """What is on the page stays, and the clip too."""
        warn(str(error))
        line = problem_line(str(error))
        return {self.parts.status: line, self.parts.live: "", **self._busy(is_busy=False)}

    def _closed(self, line: str) -> Updates:
        p, off = self.parts, gr.update(interactive=False)
        buttons = {b: off for b in (p.preview, p.make, p.stop, p.download)}
        shown = {p.facts: "", p.live: "", p.result: None, p.recipe: ""}
        return {p.reel: None, p.ticket: "", **shown, **buttons, **self._people({}), p.status: line}


def shelf() -> Path:
    """Return where the clips of all visitors are, each in a folder of its own."""
    return Path(get_upload_folder()) / "reels"
