"""The Image tab as it is laid out: its components; image.py has the behaviour."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.controls import attribute_control, option_control
from demo.edits import LARGEST, STEP, direction_names
from demo.studio import Studio
from demo.tabs.image_people import People
from demo.tabs.pieces import (
    before_and_after,
    empty_stage,
    photo_and_style,
    status,
    stop_button,
    strip,
    visit_state,
)

EMPTY = ("Your picture appears here", "It starts by itself as soon as there is a photo.")
WELCOME = "Choose a photo, take one with the camera, or paste one."


@dataclass(frozen=True)
class Parts:
    """The components of the tab, and the states of a visitor.

    `sample` is the number of the sample picked by hand or None, `offered` the styles or strengths
    in the grid; `people` has states of its own.
    """

    visit: gr.State
    style: gr.State
    sample: gr.State
    offered: gr.State
    photo: gr.Image
    styles: gr.Gallery
    strength: gr.Slider
    likeness: gr.Slider
    attribute: gr.Radio
    whole_photo: gr.Radio
    surroundings: gr.Slider
    around: gr.Radio
    color: gr.Radio
    eyes: gr.Slider
    truncation_psi: gr.Slider
    samples: gr.Slider
    ai_label: gr.Checkbox
    seed: gr.Number
    dice: gr.Button
    edits: tuple[gr.Slider, ...]
    reset: gr.Button
    empty: gr.HTML
    result: gr.ImageSlider
    status: gr.HTML
    alike: gr.HTML
    download: gr.DownloadButton
    stop: gr.Button
    people: People
    gallery: gr.Gallery
    all_styles: gr.Button
    strengths: gr.Button
    grid: gr.Gallery
    by_hand: gr.Button
    hint: gr.Markdown
    marker: gr.Image
    undo: gr.Button
    restart: gr.Button

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What a drawing depends on."""
        names = ("visit", "style", "sample", "photo", "strength", "likeness", "attribute")
        more = ("whole_photo", "surroundings", "around", "color", "eyes")
        more += ("truncation_psi", "samples")
        own = {getattr(self, name) for name in (*names, *more, "ai_label", "seed")}
        return own | self.people.inputs | set(self.edits)

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What a drawing may change."""
        names = ("visit", "sample", "photo", "result", "status", "alike", "download")
        more = ("stop", "gallery", "grid", "hint", "marker")
        return [*(getattr(self, name) for name in (*names, *more)), *self.people.outputs]


def build_parts(studio: Studio) -> Parts:
    """Lay the tab out inside the current `gr.Blocks`."""
    found: dict[str, Any] = _states(studio)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= photo_and_style(studio) | _settings(studio) | _edits(studio)
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found |= _stage() | _people(studio) | _grid()
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def _states(studio: Studio) -> dict[str, gr.State]:
    return {
        "visit": visit_state(),
        "style": gr.State(studio.default_style),
        "sample": gr.State(None),
        "offered": gr.State(()),
    }


def _settings(studio: Studio) -> dict[str, gr.components.Component]:
    card = studio.card(studio.default_style)
    defaults = card.options()
    with gr.Group(elem_id="settings", elem_classes="settings"):
        parts = {
            "strength": option_control("strength", value=defaults.strength),
            "likeness": option_control("likeness", value=defaults.likeness),
            "attribute": attribute_control(card.attributes),
            "whole_photo": option_control("whole_photo", value=defaults.whole_photo),
            "color": option_control("color", value=defaults.color),
        }
        with gr.Accordion("Fine tuning", open=False):
            parts["surroundings"] = option_control("surroundings", value=defaults.surroundings)
            parts["around"] = option_control("around", value=defaults.around)
            parts["eyes"] = option_control("eyes", value=defaults.eyes)
            parts["truncation_psi"] = option_control(
                "truncation_psi", value=defaults.truncation_psi
            )
            parts["samples"] = option_control("samples", value=defaults.samples)
            parts["ai_label"] = option_control("ai_label")
            with gr.Row(elem_classes="seed-row"):
                parts["seed"] = option_control("seed", value=defaults.seed, scale=3)
                parts["dice"] = gr.Button(
                    "Random", size="sm", scale=1, min_width=90, elem_id="dice"
                )
    return parts


def _edits(studio: Studio) -> dict[str, Any]:
    """Sliders along semantic directions, named as the base of the style names them."""
    names = direction_names(studio.directions(studio.default_style))
    with gr.Accordion("Change the face", open=False, elem_id="edits", elem_classes="settings"):
        sliders = tuple(
            gr.Slider(-LARGEST, LARGEST, 0, step=STEP, label=name, elem_classes="edit")
            for name in names
        )
        reset = gr.Button("Reset", size="sm", elem_id="edits-reset")
    return {"edits": sliders, "reset": reset}


def _stage() -> dict[str, gr.components.Component]:
    parts = {
        "empty": empty_stage(*EMPTY, "stage-empty"),
        "result": before_and_after("result"),
        "status": status("status", WELCOME),
        "alike": gr.HTML("", elem_id="likeness", elem_classes="status", apply_default_css=False),
    }
    with gr.Row(elem_classes="actions"):
        parts["download"] = gr.DownloadButton(
            "Download PNG", variant="primary", interactive=False, scale=4, elem_id="download"
        )
        parts["stop"] = stop_button("stop")
    return parts


def _grid() -> dict[str, gr.components.Component]:
    with gr.Row(elem_classes="with-picture"):
        parts: dict[str, gr.components.Component] = {
            "all_styles": gr.Button("Try all styles", size="sm", elem_id="all-styles"),
            "strengths": gr.Button("Compare strengths", size="sm", elem_id="strengths"),
        }
    classes = ["strip", "grid"]
    parts["grid"] = strip("Every style", "grid", columns=6, elem_classes=classes)
    return parts


def _people(studio: Studio) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "people": People(studio),
        "gallery": strip("Samples: click the one you like", "samples"),
        "by_hand": gr.Button(
            "A face is missing or misread? Mark it by hand",
            size="sm",
            elem_id="by-hand",
            elem_classes="by-hand",
        ),
    }
    with gr.Column(elem_id="marking", elem_classes="marking"):
        parts["hint"] = gr.Markdown()
        parts["marker"] = gr.Image(
            label="Click on the picture",
            type="filepath",
            format="png",
            interactive=False,
            buttons=[],
            alt_text="The photo, to click on the eyes and the mouth",
            elem_id="marker",
            elem_classes="marker",
        )
        with gr.Row():
            parts["undo"] = gr.Button("Undo", size="sm")
            parts["restart"] = gr.Button("Start again", size="sm")
    return parts
