"""The Train tab as it is laid out: every component, none of the behaviour (train.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.tabs.pieces import (
    VISIT_SECONDS,
    Found,
    empty_stage,
    offer_examples,
    status,
    stop_button,
    strip,
)
from demo.tabs.train_set import PictureSet
from demo.tabs.train_style import MOST_LETTERS
from demo.tabs.train_uploads import PICTURES, discard
from train.transfer_config import PRESETS

EMPTY = (
    "Your own style",
    "From 50 to 200 portraits in one style. Samples appear here while it learns, and the finished "
    "style in every tab.",
)
WELCOME = "Choose the pictures of your style: files, or one zip."
PRESET_CHOICES = [("Small, for any computer", "cpu"), ("As published, needs a GPU", "agilegan")]
POLL_SECONDS = 3
MOST_STEPS = 100_000


@dataclass(frozen=True)
class Parts:
    """The components of the tab.

    States of a visitor: the prepared sets `exemplars` and `people`, and `shown`, which tells what
    of a training the page shows already.
    """

    exemplars: gr.State
    people: gr.State
    shown: gr.State
    pictures: gr.File
    photos: gr.File
    findings: gr.HTML
    name: gr.Textbox
    about: gr.Textbox
    preset: gr.Radio
    iterations: gr.Number
    freer: gr.Checkbox
    variants: gr.Checkbox
    estimate: gr.HTML
    start: gr.Button
    empty: gr.HTML
    which: gr.Dropdown
    progress: gr.HTML
    samples: gr.Gallery
    curves: gr.HTML
    status: gr.HTML
    download: gr.DownloadButton
    again: gr.Button
    stop: gr.Button
    forget: gr.Button
    timer: gr.Timer

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What the callbacks read."""
        names = ("exemplars", "people", "shown", "pictures", "photos", "name", "about", "preset")
        more = ("iterations", "freer", "variants", "which")
        return {getattr(self, name) for name in (*names, *more)}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What the callbacks may change."""
        return [getattr(self, field.name) for field in fields(self) if field.name != "empty"]


def build_parts(estimate: str) -> Parts:
    """Lay the tab out inside the current `gr.Blocks`; `estimate` is that of the first preset."""
    found: dict[str, Any] = {
        "exemplars": _set_state(),
        "people": _set_state(),
        "shown": gr.State(None),
        "timer": gr.Timer(POLL_SECONDS, active=False),
    }
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= _uploads() | _settings(estimate)
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found |= _outcome()
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def _set_state() -> gr.State:
    return gr.State(None, time_to_live=2 * VISIT_SECONDS, delete_callback=put_away)


def put_away(found: PictureSet | None) -> None:
    """Delete a prepared set that no training has taken over."""
    discard(found.folder.parent if found else None)


def _uploads() -> Found:
    accepted = [*PICTURES, ".csv", ".zip"]
    several = {"file_count": "multiple", "file_types": accepted, "type": "filepath"}
    pictures = gr.File(
        label="Pictures of the style",
        height=170,
        elem_id="train-pictures",
        elem_classes="pile",
        **several,
    )
    offer_examples("drawings*", pictures, "train-examples")
    photos = gr.File(
        label="Photos of people, recommended: 50 or more",
        height=170,
        elem_id="train-photos",
        elem_classes="pile",
        **several,
    )
    findings = gr.HTML("", elem_id="train-findings", apply_default_css=False)
    return {"pictures": pictures, "photos": photos, "findings": findings}


def _settings(estimate: str) -> Found:
    with gr.Group(elem_id="train-settings"):
        parts: Found = {
            "name": gr.Textbox(
                label="Name of the style",
                placeholder="Charcoal",
                max_length=MOST_LETTERS,
                elem_id="train-name",
            ),
            "preset": gr.Radio(PRESET_CHOICES, value="cpu", label="Size of the training"),
            "iterations": gr.Number(
                PRESETS["cpu"].iterations,
                label="Steps",
                info="400 for most styles; more makes lines surer and faces less like the photo",
                precision=0,
                minimum=1,
                maximum=MOST_STEPS,
                elem_id="train-steps",
            ),
            "freer": gr.Checkbox(
                False,
                label="Freer",
                info="For styles far from photographs: changes more, keeps less of the person",
            ),
            "variants": gr.Checkbox(False, label="Variants", visible=False),
            "about": gr.Textbox(
                label="Whose pictures, which licence",
                placeholder="100 drawings of mine, CC BY",
                info="Written into the style, for whoever gets it",
                max_length=300,
            ),
        }
    parts["estimate"] = gr.HTML(estimate, elem_classes="status", apply_default_css=False)
    parts["start"] = gr.Button(
        "Start training", variant="primary", interactive=False, elem_id="train-start"
    )
    return parts


def _outcome() -> Found:
    parts: Found = {
        "empty": empty_stage(*EMPTY, "train-empty"),
        "which": gr.Dropdown([], label="Training", visible=False, elem_id="train-which"),
        "progress": gr.HTML("", elem_id="train-progress", apply_default_css=False),
        "samples": strip(
            "A face, and what your style makes of it",
            "train-samples",
            columns=3,
            elem_classes=["strip", "grown"],
        ),
        "curves": gr.HTML("", elem_id="train-curves", apply_default_css=False),
        "status": status("train-status", WELCOME),
    }
    with gr.Row(elem_classes=["actions", "train-actions"]):
        parts["download"] = gr.DownloadButton(
            "Download style",
            variant="primary",
            interactive=False,
            scale=3,
            elem_id="train-download",
        )
        parts["again"] = gr.Button("Go on", interactive=False, scale=2, elem_id="train-again")
        parts["stop"] = stop_button("train-stop")
    with gr.Accordion("Clear up", open=False, elem_classes="clear-up"):
        parts["forget"] = gr.Button(
            "Delete its pictures and state; a finished style stays", size="sm", interactive=False
        )
    return parts
