"""The Variations tab as it is laid out: every component, none of the behaviour (multimodal.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.controls import attribute_control, option_control
from demo.looks import PLAIN
from demo.studio import Studio
from demo.tabs.pieces import (
    Found,
    before_and_after,
    empty_stage,
    photo_and_style,
    status,
    stop_button,
    strip,
)
from engine.card import Card

LAYERS = (3, 6, 9, 12)  # of the paper on multimodal stylization (Lu & Zhou 2025)
FIRST_LAYER = 3
EMPTY = ("Many looks of one photo", "Keep the ones you like, vary around one, walk between two.")
WELCOME = "Choose a photo: its variations appear by themselves."
NAMES = (
    *("strength", "likeness", "color", "whole_photo", "surroundings", "mix_layer", "style_psi"),
    *("variation_center", "eyes", "ai_label"),
)


@dataclass(frozen=True)
class Parts:
    """The components of the tab, and the states of a visitor.

    `looks` are those on the page, `chosen` the number of one, `locked` the one the others lie
    around or None, `start` where a walk begins, `face` the number of the portrait.
    """

    visit: gr.State
    style: gr.State
    face: gr.State
    looks: gr.State
    chosen: gr.State
    locked: gr.State
    start: gr.State
    photo: gr.Image
    styles: gr.Gallery
    count: gr.Slider
    seed: gr.Number
    dice: gr.Button
    layers: gr.Radio
    mix_layer: gr.Slider
    style_psi: gr.Slider
    share: gr.Slider
    attribute: gr.Radio
    color: gr.Radio
    whole_photo: gr.Radio
    surroundings: gr.Slider
    eyes: gr.Slider
    variation_center: gr.Radio
    strength: gr.Slider
    likeness: gr.Slider
    ai_label: gr.Checkbox
    empty: gr.HTML
    tiles: gr.Gallery
    faces: gr.Gallery
    status: gr.HTML
    stop: gr.Button
    result: gr.ImageSlider
    lock: gr.Button
    unlock: gr.Button
    download: gr.DownloadButton
    recipe: gr.Textbox
    begin: gr.Button
    walk: gr.Button
    clip: gr.Video

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What a drawing depends on."""
        states = ("visit", "style", "face", "looks", "chosen", "locked", "start", "photo")
        return {getattr(self, name) for name in (*states, *NAMES, "count", "seed", "share")} | {
            self.attribute
        }

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What a drawing may change."""
        states = ("visit", "face", "looks", "chosen", "locked", "start", "photo")
        shown = ("tiles", "faces", "status", "stop", "result", "download", "recipe", "clip")
        buttons = ("lock", "unlock", "begin", "walk")
        return [getattr(self, name) for name in (*states, *shown, *buttons)]


def build_parts(studio: Studio, visit: gr.State) -> Parts:
    """Lay the tab out inside the current `gr.Blocks`; `visit` is shared with other tabs."""
    found: Found = {"visit": visit, **_states(studio)}
    card = studio.card(studio.default_style)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= photo_and_style(studio, "vary-") | _settings(card)
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found |= _looks() | _chosen() | _walk()
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def layer_choices(card: Card) -> list[tuple[str, int]]:
    """Return the layers to mix from that this style has."""
    notes = {3: " · shapes too", 9: " · colours"}
    return [(f"{n}{notes.get(n, '')}", n) for n in LAYERS if n < card.num_ws]


def layer_control(card: Card, **changes: Any) -> gr.Slider:
    """Return the slider of the first layer, up to those the style has."""
    return option_control("mix_layer", maximum=card.num_ws, **changes)


def _states(studio: Studio) -> dict[str, gr.State]:
    return {
        "style": gr.State(studio.default_style),
        "face": gr.State(0),
        "looks": gr.State(()),
        "chosen": gr.State(1),
        "locked": gr.State(None),
        "start": gr.State(PLAIN),
    }


def _settings(card: Card) -> Found:
    defaults = card.options()
    with gr.Group(elem_classes="settings"):
        parts: Found = {
            "count": gr.Slider(2, 16, 8, step=1, label="How many", info="Looks drawn at once"),
        }
        with gr.Row(elem_classes="seed-row"):
            parts["seed"] = option_control(
                "seed",
                label="First number",
                info="Each look has one; the same number is the same look",
                value=1,
                scale=3,
            )
            parts["dice"] = gr.Button(
                "Others", size="sm", scale=1, min_width=90, elem_id="vary-dice"
            )
        parts["style_psi"] = option_control("style_psi", value=defaults.style_psi)
        parts["layers"] = gr.Radio(
            layer_choices(card),
            value=FIRST_LAYER,
            label="Paint from layer",
            elem_id="vary-layers",
        )
        parts["mix_layer"] = layer_control(card, value=FIRST_LAYER, label="or any layer")
        parts["share"] = gr.Slider(
            0.05,
            0.95,
            0.3,
            step=0.05,
            label="Distance",
            info="How far from a locked look the others are",
        )
        parts["attribute"] = attribute_control(card.attributes)
        with gr.Accordion("Fine tuning", open=False):
            for name in (
                "color",
                "whole_photo",
                "surroundings",
                "eyes",
                "variation_center",
                "strength",
                "likeness",
                "ai_label",
            ):
                # Colours of the photo would undo most of what a variation changes.
                value = "style" if name == "color" else getattr(defaults, name)
                parts[name] = option_control(name, value=value)
    return parts


def _looks() -> Found:
    parts: Found = {
        "empty": empty_stage(*EMPTY, "vary-empty"),
        "faces": strip("Face: click on one", "vary-faces"),
        "tiles": strip(
            "Looks: click the one you like",
            "vary-tiles",
            columns=5,
            elem_classes=["strip", "looks"],
        ),
    }
    with gr.Row(elem_classes="line-row"):
        parts["status"] = status("vary-status", WELCOME)
        parts["stop"] = stop_button("vary-stop")
    return parts


def _chosen() -> Found:
    parts: Found = {"result": before_and_after("vary-result", 460)}
    with gr.Row(elem_classes="actions"):
        parts["lock"] = gr.Button("Vary around it", interactive=False, elem_id="vary-lock")
        parts["unlock"] = gr.Button(
            "Unlock", interactive=False, min_width=90, elem_id="vary-unlock"
        )
        parts["download"] = gr.DownloadButton(
            "Download PNG", variant="primary", interactive=False, elem_id="vary-download"
        )
    parts["recipe"] = gr.Textbox(
        label="The same on the command line",
        interactive=False,
        max_lines=4,
        buttons=["copy"],
        elem_id="vary-recipe",
        elem_classes="recipe",
    )
    return parts


def _walk() -> Found:
    with gr.Row(elem_classes="actions walk"):
        begin = gr.Button("Walk from here", interactive=False, elem_id="vary-begin")
        walk = gr.Button("Walk to here", interactive=False, elem_id="vary-walk")
    clip = gr.Video(
        label="The walk",
        interactive=False,
        autoplay=True,
        loop=True,
        height=360,
        buttons=["download"],
        elem_id="vary-clip",
        elem_classes="clip",
    )
    return {"begin": begin, "walk": walk, "clip": clip}
