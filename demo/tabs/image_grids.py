"""One face many times, to choose from: in every style, or in every strength."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gradio as gr
import numpy as np

from demo import visit as visits
from demo.statement import write_picture
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image_parts import Parts
from demo.theme import problem_line, status_line
from demo.visit import Visit
from demo.words import say
from engine.detect import Face
from engine.errors import StylizeError
from engine.options import StylizeOptions
from engine.pipeline import Portrait
from engine.provenance import GENERATED

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)

Updates = dict[Any, Any]


class Grids:
    """Draws the grids of the Image tab; `options_of` reads its controls."""

    def __init__(
        self,
        studio: Studio,
        parts: Parts,
        stops: Stops,
        options_of: Callable[[Updates], StylizeOptions],
    ) -> None:
        self.studio, self.parts, self.stops, self._options_of = studio, parts, stops, options_of

    def draw_styles(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Draw the chosen face in every style."""
        tries = [(name, self.studio.card(name).title or name, {}) for name in self.studio.names()]
        label = "Every style: click on one to take it"
        with self.stops.watch(request) as should_stop:
            yield from self._draw(values, tries, label, should_stop, progress)

    def draw_strengths(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Draw the chosen face in several strengths of the chosen style."""
        style = values[self.parts.style]
        tries = [(style, f"{value:g}", {"strength": value}) for value in STRENGTHS]
        title = self.studio.card(style).title or style
        label = f"Strengths of {title}: click on one"
        with self.stops.watch(request) as should_stop:
            yield from self._draw(values, tries, label, should_stop, progress)

    def _draw(
        self,
        values: Updates,
        tries: list[tuple[str, str, dict[str, float]]],
        label: str,
        should_stop: Callable[[], bool],
        progress: gr.Progress,
    ) -> Iterator[Updates]:
        p, visit = self.parts, values[self.parts.visit]
        if visit is None or not visit.portraits or not visit.folder.is_dir():
            yield gr.skip()
            return
        options = self._options_of(values)
        index = next(iter(options.select(len(visit.portraits))), 0)
        first = visits.new_file(visit.folder, "grid-1.png")
        tiles: list[tuple[str, str]] = []
        offered: list[str | float] = []
        problems = []
        for number, (style, title, changes) in enumerate(tries):
            if should_stop():  # what is drawn stays
                break
            progress((number, len(tries)), desc=title)
            yield {p.stop: gr.update(interactive=True)}
            path = first.with_name(f"grid-{number + 1}.png")
            own = options if changes else replace(options, attribute=None)
            try:
                rgb = self._crop(visit, index, style, replace(own, samples=1, **changes))
                write_picture(path, rgb, None, GENERATED, visit.source)
            except StylizeError as error:
                problems.append(f"{title}: {error}")
                continue
            tiles.append((str(path), title))
            offered.append(changes.get("strength", style))
        done = status_line(f"{len(tiles)} pictures drawn")
        current = (values[p.style], options.strength)
        chosen = next((n for n, value in enumerate(offered) if value in current), None)
        yield {
            p.grid: gr.update(value=tiles, label=say(label), selected_index=chosen),
            p.offered: tuple(offered),
            p.status: problem_line("; ".join(problems)) if problems else done,
            p.stop: gr.update(interactive=False),
        }

    def _crop(self, visit: Visit, index: int, style: str, options: StylizeOptions) -> np.ndarray:
        """Draw one face in a style, uint8 [R, R, 3]; one of another base reads it anew."""
        stylizer = self.studio.stylizer(style)
        portrait = visit.portraits[index]
        needed = (stylizer.style.base.sha256, stylizer.card.encoder_space)
        if (portrait.base_sha256, portrait.space) != needed:
            portrait = stylizer.encode(visit.photo.rgb, [face_of(portrait)])[0]
        return stylizer.crop(portrait, stylizer.render(portrait, options), options)


def face_of(portrait: Portrait) -> Face:
    """Return the face a portrait was read from, to read it again."""
    points = portrait.landmarks
    return Face(points, np.concatenate([points.min(axis=0), points.max(axis=0)]), 1.0)
