"""The Video tab as it is laid out: every component, none of the behaviour (that is video.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.controls import attribute_control, option_control
from demo.reels import MOST_SECONDS, leave_reel
from demo.studio import Studio
from demo.tabs.pieces import Found, empty_stage, offer_examples, status, stop_button, strip
from motion.temporal_options import TemporalOptions

EMPTY = ("Your film appears here", "Choose a clip, try one second, then make the film.")
WELCOME = "Choose a clip with people in it, or record one."
# Gradio forgets a state this long after its last change, and a film may take an hour.
REEL_SECONDS = 3 * 3600
STYLE_NAMES = ("strength", "likeness", "color", "surroundings", "around", "truncation_psi")
STYLE_NAMES += ("eyes", "variation", "ai_label")
TEMPORAL_NAMES = tuple(TemporalOptions.describe())
AS_ALL, ALONE = "As the others", "Not drawn"


@dataclass(frozen=True)
class Parts:
    """The components of the tab, and the states of a visitor.

    `reel` is the clip, `ticket` what the browser keeps to have it back after a reload, `people`
    their pictures by number, `wishes` the style by number of those drawn in another one (None: left
    alone), `person` the number of the one clicked on.
    """

    reel: gr.State
    ticket: gr.BrowserState
    style: gr.State
    people: gr.State
    wishes: gr.State
    person: gr.State
    clip: gr.Video
    facts: gr.HTML
    styles: gr.Gallery
    start: gr.Slider
    end: gr.Slider
    strength: gr.Slider
    likeness: gr.Slider
    attribute: gr.Radio
    color: gr.Radio
    surroundings: gr.Slider
    around: gr.Radio
    eyes: gr.Slider
    truncation_psi: gr.Slider
    variation: gr.Number
    ai_label: gr.Checkbox
    steadiness: gr.Slider
    look_ahead: gr.Slider
    smoothing: gr.Slider
    identity: gr.Slider
    mean: gr.Radio
    carry: gr.Slider
    quick: gr.Checkbox
    empty: gr.HTML
    live: gr.HTML
    result: gr.Video
    status: gr.HTML
    stop: gr.Button
    preview: gr.Button
    make: gr.Button
    download: gr.DownloadButton
    faces: gr.Gallery
    person_style: gr.Dropdown
    recipe: gr.Textbox

    @property
    def controls(self) -> dict[str, gr.components.Component]:
        """What a visitor chooses for a film, by name; values are JSON."""
        names = ("style", "start", "end", "attribute", *STYLE_NAMES, *TEMPORAL_NAMES)
        return {name: getattr(self, name) for name in names}

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What a film depends on."""
        states = {self.reel, self.ticket, self.people, self.wishes, self.person}
        return {*states, self.clip, *self.controls.values()}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What the callbacks may change."""
        names = ("reel", "ticket", "people", "wishes", "person", "clip", "facts", "start", "end")
        stage = ("live", "result", "status", "stop", "preview", "make", "download", "recipe")
        return [getattr(self, name) for name in (*names, *stage, "faces", "person_style")]


def build_parts(studio: Studio, ticket: gr.BrowserState) -> Parts:
    """Lay the tab out inside the current `gr.Blocks`; `ticket` must lie outside of all tabs."""
    found: dict[str, Any] = {
        "reel": gr.State(None, time_to_live=REEL_SECONDS, delete_callback=leave_reel),
        "ticket": ticket,
        "style": gr.State(studio.default_style),
        "people": gr.State({}),
        "wishes": gr.State({}),
        "person": gr.State(None),
    }
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= _clip_and_style(studio) | _settings(studio)
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found |= film_stage("video", EMPTY, WELCOME)
            with gr.Row(elem_classes="actions"):
                found["preview"] = _button("Try one second", "video-preview")
                found["make"] = _button("Make the film", "video-make", variant="primary")
            found |= download_button("video") | _people(studio)
            found["recipe"] = recipe()
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def clip_input(label: str, elem_id: str) -> gr.Video:
    """Return the upload of a clip, with sound also where the camera records it.

    Use it with `preprocess=False`: what is no clip is told by `motion.media`.
    """
    clip = gr.Video(
        label=label,
        sources=["upload", "webcam"],
        include_audio=True,
        webcam_options=gr.WebcamOptions(mirror=False),
        height=300,
        buttons=[],
        elem_id=elem_id,
        elem_classes="clip-input",
    )
    offer_examples("clip_*", clip, f"{elem_id}-examples")
    return clip


def ticket_state() -> gr.BrowserState:
    """Return what the browser keeps; in a tab it would be read only once that is opened."""
    return gr.BrowserState("", storage_key="stylize-clip")


def film_stage(prefix: str, empty: tuple[str, str], welcome: str) -> Found:
    """Return where a film is watched: before it is there, while it is made, and after."""
    parts: Found = {
        "empty": empty_stage(*empty, f"{prefix}-empty"),
        "live": gr.HTML("", elem_id=f"{prefix}-live", elem_classes="live", apply_default_css=False),
        "result": gr.Video(
            label="Film",
            interactive=False,
            buttons=[],
            elem_id=f"{prefix}-result",
            elem_classes="film",
        ),
    }
    with gr.Row(elem_classes="line-row"):
        parts["status"] = status(f"{prefix}-status", welcome)
        parts["stop"] = stop_button(f"{prefix}-stop")
    return parts


def download_button(prefix: str) -> Found:
    """Return the button that saves the film with its sound."""
    button = gr.DownloadButton("Download MP4", interactive=False, elem_id=f"{prefix}-download")
    return {"download": button}


def recipe() -> gr.Textbox:
    """Return the line that makes the same film at home; hidden until there is one."""
    return gr.Textbox(
        label="On the command line, without limits",
        interactive=False,
        max_lines=4,
        buttons=["copy"],
        elem_classes="recipe",
    )


def span_of(seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return limits and values of the sliders of where a film begins and ends.

    `seconds` is how long the clip is.
    """
    end = max(0.2, math.ceil(10 * seconds) / 10)
    return (
        {"minimum": 0, "maximum": round(end - 0.1, 1), "value": 0},
        {"minimum": 0.1, "maximum": end, "value": min(end, MOST_SECONDS)},
    )


def _clip_and_style(studio: Studio) -> Found:
    return {
        "clip": clip_input("Clip", "video-clip"),
        "facts": gr.HTML("", elem_id="video-facts", elem_classes="status facts"),
        "styles": strip(
            "Style",
            "video-styles",
            value=studio.tiles(),
            columns=3,
            selected_index=studio.names().index(studio.default_style),
            elem_classes=["styles", "strip"],
        ),
    }


def _settings(studio: Studio) -> Found:
    card = studio.card(studio.default_style)
    defaults = card.options()
    with gr.Group(elem_classes="settings"):
        start, end = span_of(MOST_SECONDS)
        info = f"Films of up to {MOST_SECONDS} s are made here"
        parts: Found = {
            "start": gr.Slider(**start, step=0.1, label="From second"),
            "end": gr.Slider(**end, step=0.1, label="To second", info=info),
            "strength": option_control("strength", value=defaults.strength),
            "likeness": option_control("likeness", value=defaults.likeness),
            "attribute": attribute_control(card.attributes),
            "color": option_control("color", value=defaults.color),
            "steadiness": option_control("steadiness", TemporalOptions),
        }
        with gr.Accordion("Fine tuning", open=False):
            for name in TEMPORAL_NAMES[1:]:
                parts[name] = option_control(name, TemporalOptions)
            for name in STYLE_NAMES[3:]:
                parts[name] = option_control(name, value=getattr(defaults, name))
    return parts


def _people(studio: Studio) -> Found:
    choices = [AS_ALL, ALONE, *studio.companions(studio.default_style)]
    with gr.Column(elem_classes="who"):
        faces = strip("People: click on one to draw them in another style", "video-people")
        style = gr.Dropdown(choices, value=AS_ALL, label="Style of the person clicked on")
    return {"faces": faces, "person_style": style}


def _button(text: str, elem_id: str, **changes: Any) -> gr.Button:
    return gr.Button(text, interactive=False, elem_id=elem_id, **changes)
