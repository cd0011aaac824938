"""The Reference tab as it is laid out: every component, none of the behaviour (reference.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.controls import attribute_control, option_control, photo_input
from demo.references import STEPS, Readings
from demo.studio import Studio
from demo.tabs.pieces import (
    Found,
    before_and_after,
    empty_stage,
    offer_examples,
    photo_and_style,
    status,
    stop_button,
    strip,
    visit_state,
)
from demo.words import marked, say
from engine.card import STYLE_ENCODER_FILE, Card

EMPTY = (
    "The look of another picture",
    "Choose a photo, and a painting or drawing to paint it like.",
)
NO_REFERENCE = "Now choose a reference: a painting, a drawing, any portrait."
WELCOME = "Choose a photo and a reference: any portrait, painted, drawn or photographed."
NAMES = ("color", "palette", "whole_photo", "surroundings", "strength", "likeness")
NAMES += ("eyes", "truncation_psi", "ai_label")
METHODS = [("Automatic", "auto"), ("Style encoder", "encoder"), ("Search", "inversion")]
ABOUT_ONESHOT = "A look unlike those it knows? It can be learned from this one picture, in minutes."
NO_ONESHOT = (
    "A look unlike those it knows can be learned from this one picture, on your own computer:"
)
ONESHOT = """

```
python -m train.oneshot look.png --style packs/{name} --pack packs/mine --photos sets/photos
```"""


@dataclass(frozen=True)
class Slot:
    """One reference: its upload, and the panel for marking its face by hand."""

    visit: gr.State
    photo: gr.Image
    by_hand: gr.Button
    hint: gr.Markdown
    marker: gr.Image
    undo: gr.Button
    restart: gr.Button

    @property
    def changing(self) -> list[gr.components.Component]:
        """What a drawing may change."""
        return [self.visit, self.photo, self.hint, self.marker]


@dataclass(frozen=True)
class Parts:
    """The components of the tab, and the states of a visitor: `visit`, `style`, `readings`."""

    visit: gr.State
    style: gr.State
    readings: gr.State
    first: Slot
    second: Slot
    photo: gr.Image
    styles: gr.Gallery
    amount: gr.Slider
    share: gr.Slider
    method: gr.Radio
    effort: gr.Radio
    attribute: gr.Radio
    color: gr.Radio
    palette: gr.Slider
    whole_photo: gr.Radio
    surroundings: gr.Slider
    eyes: gr.Slider
    strength: gr.Slider
    likeness: gr.Slider
    truncation_psi: gr.Slider
    ai_label: gr.Checkbox
    oneshot: gr.Markdown
    learn: gr.Button
    empty: gr.HTML
    result: gr.ImageSlider
    status: gr.HTML
    stop: gr.Button
    download: gr.DownloadButton
    seen: gr.Gallery
    recipe: gr.Textbox

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What a drawing depends on."""
        names = ("visit", "style", "readings", "photo", "amount", "share", "method", "effort")
        slots = {part for s in (self.first, self.second) for part in (s.visit, s.photo)}
        return slots | {getattr(self, name) for name in (*names, *NAMES, "attribute")}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What a drawing may change."""
        names = ("visit", "readings", "photo", "result", "status", "stop", "download", "seen")
        own = [getattr(self, name) for name in (*names, "recipe")]
        return [*own, *self.first.changing, *self.second.changing]


def build_parts(studio: Studio, visit: gr.State, *, can_train: bool) -> Parts:
    """Lay the tab out inside the current `gr.Blocks`; `visit` is shared with other tabs."""
    found: dict[str, Any] = {
        "visit": visit,
        "style": gr.State(studio.reference_style),
        "readings": gr.State(Readings()),
    }
    card = studio.card(studio.reference_style)
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= photo_and_style(studio, "reference-", studio.reference_style)
            found |= _references() | _settings(card, can_train=can_train)
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found |= _stage()
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def amount_control(card: Card) -> gr.Slider:
    """Return the slider of how many layers the reference paints: as the card says, or half."""
    return gr.Slider(
        0,
        card.num_ws,
        card.num_ws - card.defaults.get("mix_layer", card.num_ws // 2),
        step=1,
        label=say("How much of the reference"),
        info=say("Few layers: only its colours. Half: its light and strokes. All: its shapes too"),
    )


def method_control(card: Card) -> gr.Radio:
    """Return the choice of how a reference is read, hidden where there is only one way."""
    return gr.Radio(
        METHODS, value="auto", label=say("Reading it"), visible=STYLE_ENCODER_FILE in card.files
    )


def oneshot_controls(card: Card, *, can_train: bool) -> tuple[gr.Markdown, gr.Button]:
    """Return how to train on one picture, and what does it; hidden where the style cannot be."""
    is_possible = STYLE_ENCODER_FILE in card.files
    text = ABOUT_ONESHOT if can_train else NO_ONESHOT
    text = marked(text) + ("" if can_train else ONESHOT.format(name=card.name))
    hint = gr.Markdown(text, visible=is_possible, elem_classes="oneshot")
    button = gr.Button("Learn this picture", size="sm", visible=is_possible and can_train)
    return hint, button


def _references() -> dict[str, Any]:
    with gr.Column(elem_classes="references"):
        first = _slot("Reference", "first")
        offer_examples("reference_*", first.photo, "reference-looks")
        with gr.Accordion("Blend with a second reference", open=False):
            second = _slot("Second reference", "second")
            share = gr.Slider(
                0,
                1,
                0.5,
                step=0.05,
                label="First or second",
                info="0 is the first reference, 1 the second, between them a blend",
            )
    return {"first": first, "second": second, "share": share}


def _slot(label: str, name: str) -> Slot:
    with gr.Column(elem_classes="slot", elem_id=f"reference-{name}"):
        photo = photo_input(
            label=label,
            sources=["upload", "clipboard"],
            buttons=["fullscreen"],
            height=220,
            alt_text=f"{label}: the picture to paint like",
            elem_classes="look",
        )
        by_hand = gr.Button("Mark its face by hand", size="sm", elem_classes="by-hand")
        with gr.Column(elem_classes="marking"):
            hint = gr.Markdown()
            marker = gr.Image(
                label="Click on the picture",
                type="filepath",
                format="png",
                interactive=False,
                buttons=[],
                alt_text="The reference, to click on the eyes and the mouth",
                elem_classes="marker",
            )
            with gr.Row():
                undo = gr.Button("Undo", size="sm")
                restart = gr.Button("Start again", size="sm")
    return Slot(visit_state(), photo, by_hand, hint, marker, undo, restart)


def _settings(card: Card, *, can_train: bool) -> Found:
    defaults = card.options()
    with gr.Group(elem_classes="settings"):
        parts: Found = {
            "amount": amount_control(card),
            "attribute": attribute_control(card.attributes),
            # Colours of the photo would undo those of the reference: off until asked for.
            "color": option_control("color", value="style"),
            "palette": option_control("palette"),
            "method": method_control(card),
        }
        with gr.Accordion("Fine tuning", open=False):
            parts["effort"] = gr.Radio(
                list(STEPS), value="Quick", label="Search", info="Thorough takes over twice as long"
            )
            for name in NAMES[2:]:
                parts[name] = option_control(name, value=getattr(defaults, name))
    parts["oneshot"], parts["learn"] = oneshot_controls(card, can_train=can_train)
    return parts


def _stage() -> Found:
    parts: Found = {
        "empty": empty_stage(*EMPTY, "reference-empty"),
        "result": before_and_after("reference-result"),
    }
    with gr.Row(elem_classes="line-row"):
        parts["status"] = status("reference-status", WELCOME)
        parts["stop"] = stop_button("reference-stop")
    with gr.Row(elem_classes="actions"):
        parts["download"] = gr.DownloadButton(
            "Download PNG", variant="primary", interactive=False, elem_id="reference-download"
        )
    parts["seen"] = strip("What the style made of each reference", "reference-seen")
    parts["recipe"] = gr.Textbox(
        label="On the command line, with the first reference and a thorough search",
        interactive=False,
        max_lines=4,
        buttons=["copy"],
        elem_classes="recipe",
    )
    return parts
