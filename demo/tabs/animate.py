"""The Animate part of the Video tab: a portrait that moves as somebody in a clip does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo import reels
from demo import visit as visits
from demo.animating import Animation, Step
from demo.controls import uploaded_path
from demo.live import EVERY, duration, live_html
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.animate_parts import NAMES, WELCOME, Parts, build_parts
from demo.tabs.pieces import GPU, LIGHT
from demo.tabs.sharing import SharingTab
from demo.tabs.video import shelf
from demo.theme import problem_line, status_line
from demo.visit import Visit
from demo.words import warn
from engine.errors import Cancelled, StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.provenance import COMPOSITE, GENERATED
from motion.animate_options import AnimateOptions
from motion.pack import motion_packs

NO_FACE = "No face found in the photo: its middle moves."
STOPPED = "Stopped; nothing was kept. Animate again to start over."

Updates = dict[Any, Any]


class AnimateTab(SharingTab):
    """The part inside the current `gr.Blocks`; `visit` is the state all tabs share."""

    def __init__(self, studio: Studio, visit: gr.State, stops: Stops) -> None:
        self.studio, self.stops = studio, stops
        self.parts: Parts = build_parts(studio, visit)
        self._connect()

    def follow_from(self, tab: gr.Tab) -> None:
        """Show the photo of the other tabs when this one is opened, and whether weights are there.

        They may have been fetched since the page was started.
        """
        super().follow_from(tab)
        p = self.parts
        tab.select(has_weights, None, [p.missing, p.make], **LIGHT)

    def _connect(self) -> None:
        p = self.parts
        making = {**GPU, "trigger_mode": "once", "preprocess": False, "show_progress": "hidden"}
        making["api_name"] = "animate_portrait"  # the endpoint is called animate
        p.make.click(self.animate, p.inputs, p.outputs, **making)
        p.styles.select(self.choose_style, None, p.style, **LIGHT)
        p.stop.click(self.stops.stop, None, None, **LIGHT)

    def choose_style(self, event: gr.SelectData) -> str:
        """Take the style clicked on."""
        return self.studio.names()[event.index]

    def animate(self, values: Updates, request: gr.Request) -> Iterator[Updates]:
        """Draw the portrait, read the motion, and let the one move as the other."""
        p = self.parts
        source, driving = (uploaded_path(values[part]) for part in (p.photo, p.clip))
        if source is None or driving is None:
            yield {p.status: status_line(WELCOME)}
            return
        with self.stops.watch(request) as should_stop:
            yield {p.status: status_line("Starting …"), p.result: None, **self._busy(is_busy=True)}
            try:
                yield from self._animate(source, driving, values, should_stop)
            except Cancelled:
                yield {p.status: status_line(STOPPED), p.live: "", **self._busy(is_busy=False)}
            except StylizeError as error:
                warn(str(error))
                line = problem_line(str(error))
                yield {p.status: line, p.live: "", **self._busy(is_busy=False)}

    def _animate(
        self, source: str, driving: str, values: Updates, should_stop: Callable[[], bool]
    ) -> Iterator[Updates]:
        p, started = self.parts, time.perf_counter()
        animator = self.studio.animator()
        stylizer = self.studio.stylizer(values[p.style], is_long=True)
        folder = Path(get_upload_folder()) / "visits"
        visit = visits.reopened(values[p.visit], source, stylizer, folder)
        reel = values[p.reel]
        if reel is None or reel.source != driving or not reel.folder.is_dir():
            reels.close_reel(reel)
            reel = reels.open_reel(driving, shelf())
        yield {p.visit: visit, p.reel: reel}
        options = AnimateOptions(**{name: values[getattr(p, name)] for name in NAMES})
        picture = self._picture(visit, stylizer, values) if values[p.drawn] else visit.photo.rgb
        faces = stylizer.detect(visit.photo.rgb)
        in_photo = bool(values[p.in_photo])
        limits = {"limits": reels.WEB, "most_seconds": reels.MOST_SECONDS}
        animation = Animation(
            *(animator, options, stylizer.detect, should_stop), in_photo=in_photo, **limits
        )
        name = f"{Path(reel.file).stem}-{stylizer.card.name if values[p.drawn] else 'photo'}.mp4"
        film = reel.folder / f"animated-{name}"
        shown = 0.0
        for step in animation.make(picture, faces, visit.photo.rgb, reel.clip, film):
            if time.perf_counter() - shown >= EVERY:
                shown = time.perf_counter()
                yield self._told(step)
        made = COMPOSITE if in_photo else GENERATED
        path = str(reels.publish(film, reel.folder / "films", source, made))
        line = f"Made in {duration(time.perf_counter() - started)}"
        yield {
            p.live: "",
            p.result: path,
            p.download: gr.update(value=path, interactive=True),
            p.status: status_line(line if faces else f"{line}. {NO_FACE}"),
            **self._busy(is_busy=False),
        }

    def _picture(self, visit: Visit, stylizer: Stylizer, values: Updates) -> Any:
        """Return the photo with its first face drawn, uint8 [H, W, 3]."""
        if not visit.portraits:
            return visit.photo.rgb
        chosen = {"strength": values[self.parts.strength], "whole_photo": True}
        options = StylizeOptions.from_dict(chosen, stylizer.card.options())
        drawn = visits.draw_face(visit, stylizer, options, 0)
        return visits.compose(visit, stylizer, [drawn], options).rgb

    def _told(self, step: Step) -> Updates:
        p = self.parts
        updates: Updates = {p.status: status_line(step.line)}
        if step.latest is not None:
            share = step.done / max(1, step.total)
            updates[p.live] = live_html(step.latest, share, "The latest frame of the portrait")
        return updates

    def _busy(self, *, is_busy: bool) -> Updates:
        p = self.parts
        return {
            p.make: gr.update(interactive=not is_busy),
            p.stop: gr.update(interactive=is_busy),
        }


def has_weights() -> list[Any]:
    """Tell how to get the motion weights, unless they are there."""
    is_there = bool(motion_packs())
    return [gr.update(visible=not is_there), gr.update(interactive=is_there)]
