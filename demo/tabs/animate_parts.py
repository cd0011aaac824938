"""The Animate part of the Video tab as it is laid out (its behaviour is animate.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from demo.controls import option_control
from demo.reels import leave_reel
from demo.studio import Studio
from demo.tabs.pieces import Found, photo_and_style
from demo.tabs.video_parts import REEL_SECONDS, clip_input, download_button, film_stage
from demo.words import marked
from motion.animate_options import AnimateOptions
from motion.pack import motion_packs

EMPTY = ("Your moving portrait appears here", "Choose a photo, and a clip of a face to move it.")
WELCOME = "Choose a photo and a driving clip, or record yourself with the camera."
NO_WEIGHTS = (
    "**The motion weights are not on this machine yet.** Whoever runs this page gets them with "
    "these commands, then opens this tab again:"
)
COMMANDS = """

```
python -m demo.doctor fetch fomm-vox-adv
python -m demo.doctor import FILE      # the file the first command names
```"""
NAMES = tuple(name for name in AnimateOptions.describe() if name != "output_size")
PICTURES = [("Stylized", True), ("As it is", False)]
FRAMES = [("The face alone", False), ("The whole photo", True)]


@dataclass(frozen=True)
class Parts:
    """The components, and the states of a visitor: `visit` is shared, `reel` the driving clip."""

    visit: gr.State
    reel: gr.State
    style: gr.State
    photo: gr.Image
    styles: gr.Gallery
    clip: gr.Video
    drawn: gr.Radio
    in_photo: gr.Radio
    transfer: gr.Radio
    gain: gr.Slider
    smoothing: gr.Slider
    regions: gr.Radio
    start: gr.Radio
    adapt_scale: gr.Checkbox
    detail: gr.Checkbox
    ai_label: gr.Checkbox
    strength: gr.Slider
    missing: gr.Markdown
    empty: gr.HTML
    live: gr.HTML
    result: gr.Video
    status: gr.HTML
    stop: gr.Button
    make: gr.Button
    download: gr.DownloadButton

    @property
    def inputs(self) -> set[gr.components.Component]:
        """What an animation depends on."""
        names = ("visit", "reel", "style", "photo", "clip", "drawn", "in_photo", "strength")
        return {getattr(self, name) for name in (*names, *NAMES)}

    @property
    def outputs(self) -> list[gr.components.Component]:
        """What the callbacks may change."""
        names = ("visit", "reel", "photo", "live", "result", "status", "stop", "make", "download")
        return [getattr(self, name) for name in names]


def build_parts(studio: Studio, visit: gr.State) -> Parts:
    """Lay it out inside the current `gr.Blocks`; `visit` is shared with the other tabs."""
    found: dict[str, Any] = {
        "visit": visit,
        "reel": gr.State(None, time_to_live=REEL_SECONDS, delete_callback=leave_reel),
        "style": gr.State(studio.default_style),
    }
    with gr.Row(elem_classes="workspace"):
        with gr.Column(scale=4, min_width=300, elem_classes="choices"):
            found |= photo_and_style(studio, "animate-")
            found["clip"] = clip_input("Driving clip: a face that moves", "animate-clip")
            found |= _settings()
        with gr.Column(scale=6, min_width=300, elem_classes="outcome"):
            found["missing"] = gr.Markdown(
                marked(NO_WEIGHTS) + COMMANDS, visible=not motion_packs()
            )
            found |= film_stage("animate", EMPTY, WELCOME)
            with gr.Row(elem_classes="actions"):
                found["make"] = gr.Button(
                    "Animate",
                    variant="primary",
                    interactive=bool(motion_packs()),
                    elem_id="animate-make",
                )
                found |= download_button("animate")
    return Parts(**{field.name: found[field.name] for field in fields(Parts)})


def _settings() -> Found:
    with gr.Group(elem_classes="settings"):
        parts: Found = {
            "drawn": gr.Radio(PICTURES, value=True, label="Picture"),
            "in_photo": gr.Radio(FRAMES, value=False, label="Film"),
        }
        for name in ("transfer", "gain", "smoothing"):
            parts[name] = option_control(name, AnimateOptions)
        with gr.Accordion("Fine tuning", open=False):
            for name in NAMES:
                if name not in parts:
                    parts[name] = option_control(name, AnimateOptions)
            parts["strength"] = option_control("strength")
    return parts
