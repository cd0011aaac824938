"""Many photos at once, below the Image tab and with its settings: a gallery, and one zip."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo.batch import (
    MOST_BYTES,
    MOST_PHOTOS,
    Outcome,
    check_size,
    new_folder,
    stylize_all,
    write_zip,
)
from demo.jobs import PICTURE_SUFFIXES
from demo.stopping import Stops
from demo.studio import Studio
from demo.tabs.image_parts import Parts
from demo.tabs.pieces import GPU, LIGHT, VISIT_SECONDS, status, stop_button, strip
from demo.theme import problem_line, status_line
from engine.errors import StylizeError
from engine.options import StylizeOptions

EXPLANATION = f"Up to {MOST_PHOTOS} photos or {MOST_BYTES >> 20} MB, drawn with the settings above."
NO_PHOTOS = "Choose some photos first."

Updates = dict[Any, Any]


@dataclass(frozen=True)
class BatchParts:
    """The components of the panel; `folder` is the state that holds where the results lie."""

    folder: gr.State
    files: gr.File
    start: gr.Button
    stop: gr.Button
    status: gr.HTML
    gallery: gr.Gallery
    download: gr.DownloadButton

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What a batch may change."""
        return [self.folder, self.start, self.stop, self.status, self.gallery, self.download]


class Batch:
    """The panel inside the current `gr.Blocks`; `options_of` reads the controls of the tab."""

    def __init__(
        self,
        studio: Studio,
        tab: Parts,
        stops: Stops,
        options_of: Callable[[Updates], StylizeOptions],
    ) -> None:
        self.studio, self.tab, self.stops, self._options_of = studio, tab, stops, options_of
        self.parts = p = _build()
        inputs = {*tab.inputs, p.files, p.folder}
        running = {**GPU, "preprocess": False, "trigger_mode": "once"}
        p.start.click(self.draw, inputs, p.outputs, show_progress_on=p.status, **running)
        p.stop.click(stops.stop, None, None, **LIGHT)

    def draw(
        self,
        values: Updates,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> Iterator[Updates]:
        """Draw all photos; what is done when it is stopped stays, and goes into the zip."""
        p = self.parts
        sources = [str(file["path"]) for file in values[p.files] or []]
        if not sources:
            yield {p.status: status_line(NO_PHOTOS)}
            return
        remove(values[p.folder])
        folder = new_folder(Path(get_upload_folder()) / "batches")
        off = gr.update(interactive=False)
        yield {p.folder: folder, p.start: off, p.download: off, p.gallery: []}
        outcomes: list[Outcome] = []
        with self.stops.watch(request) as should_stop:
            try:
                check_size(sources)
                stylizer = self.studio.stylizer(values[self.tab.style])
                stylizer.card.path_of((options := self._options_of(values)).attribute)
                yield {p.stop: gr.update(interactive=True)}
                for outcome in stylize_all(stylizer, sources, options, folder, should_stop):
                    outcomes.append(outcome)
                    progress((len(outcomes), len(sources)), desc=outcome.name)
                    line = f"{len(outcomes)} of {len(sources)} photos"
                    yield {p.gallery: tiles(outcomes), p.status: status_line(line)}
                yield self._done(outcomes, sources, folder, stylizer.card.name)
            except StylizeError as error:
                yield {p.status: problem_line(str(error))}
        yield {p.start: gr.update(interactive=True), p.stop: off}

    def _done(
        self, outcomes: list[Outcome], sources: list[str], folder: Path, style: str
    ) -> Updates:
        p, line = self.parts, summary(outcomes, len(sources))
        has_problem = any(outcome.problem for outcome in outcomes)
        updates: Updates = {p.status: problem_line(line) if has_problem else status_line(line)}
        if any(outcome.pictures for outcome in outcomes):
            file = write_zip(outcomes, style, folder)
            updates[p.download] = gr.update(value=str(file), interactive=True)
        return updates


def tiles(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    """Return the gallery: every picture with the name of its photo."""
    return [(str(p), outcome.name) for outcome in outcomes for p in outcome.pictures]


def summary(outcomes: list[Outcome], asked: int) -> str:
    """Return what became of the photos, the problems one by one."""
    drawn = sum(bool(outcome.pictures) for outcome in outcomes)
    stopped = f"; stopped after {len(outcomes)}" if len(outcomes) < asked else ""
    problems = [outcome.complaint for outcome in outcomes if outcome.problem]
    return "\n".join([f"{drawn} of {asked} photos are in the zip{stopped}.", *problems])


def remove(folder: Path | None) -> None:
    """Delete the results of a batch; nothing happens where there are none."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _build() -> BatchParts:
    folder = gr.State(None, time_to_live=VISIT_SECONDS, delete_callback=remove)
    with gr.Accordion("Many photos at once", open=False, elem_id="batch"):
        gr.Markdown(EXPLANATION)
        with gr.Row(elem_classes="batch-row"):
            files = gr.File(
                label="Photos",
                file_count="multiple",
                file_types=sorted(PICTURE_SUFFIXES),
                height=170,
                elem_id="batch-files",
            )
        with gr.Row(elem_classes="actions"):
            start = gr.Button("Stylize all", variant="primary", scale=3, elem_id="batch-start")
            stop = stop_button("batch-stop")
            download = gr.DownloadButton(
                "Download zip", interactive=False, scale=3, elem_id="batch-download"
            )
        line = status("batch-status", "")
        gallery = strip("Results", "batch-gallery", columns=8, allow_preview=True)
    return BatchParts(folder, files, start, stop, line, gallery, download)
