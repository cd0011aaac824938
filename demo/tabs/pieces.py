"""What the tabs are laid out from: photo and style, the stage, strips, and how events run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.processing_utils import save_file_to_cache

from demo.controls import photo_input
from demo.studio import Studio
from demo.theme import empty_html, first_line
from demo.visit import close_visit

ASSETS = Path(__file__).parents[1] / "assets"
VISIT_SECONDS = 1800  # a visit left alone is forgotten; the next change reads the photo again
GPU = {"concurrency_id": "gpu", "concurrency_limit": 1, "api_visibility": "private"}
LIGHT = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
LAST = {**GPU, "trigger_mode": "always_last", "preprocess": False}
NO_FACE = (
    "I found no face in this photo. Mark it by hand in the Image tab and come back, "
    "or choose a photo with a larger, more frontal face."
)
STOPPED = "Stopped. Change something to draw again."

Found = dict[str, gr.components.Component]


def visit_state() -> gr.State:
    """Return the state that holds a visitor's photo, shared by the tabs, or a reference."""
    return gr.State(None, time_to_live=VISIT_SECONDS, delete_callback=close_visit)


def offer_examples(pattern: str, target: gr.components.Component, elem_id: str) -> None:
    """Offer files to try, all made of faces our own generator made up; nothing without any."""
    files = [str(path) for path in sorted(ASSETS.glob(pattern))]
    several = getattr(target, "file_count", "single") == "multiple"
    if files:
        rows = [[[file] if several else file] for file in files]
        gr.Examples(rows, target, label="Or try one", elem_id=elem_id)
        for file in files:  # Gradio would sweep those of gr.File away with the uploads
            target.keep_in_cache.add(save_file_to_cache(file, cache_dir=target.GRADIO_CACHE))


def photo_and_style(studio: Studio, prefix: str = "", style: str = "") -> Found:
    """Return the upload and the tiles of all styles, one chosen; `prefix` is that of their ids."""
    photo = photo_input(
        label="Photo",
        sources=["upload", "webcam", "clipboard"],
        buttons=["fullscreen"],
        height=280,
        alt_text="The photo to stylize",
        elem_id=f"{prefix}photo",
        elem_classes="photo",
    )
    offer_examples("example_*", photo, f"{prefix}examples")
    styles = strip(
        "Style",
        f"{prefix}styles",
        value=studio.tiles(),
        columns=3,
        selected_index=studio.names().index(style or studio.default_style),
        elem_classes=["styles", "strip"],
    )
    return {"photo": photo, "styles": styles}


def strip(label: str, elem_id: str, **changes: Any) -> gr.Gallery:
    """Return a row of small pictures to choose one from."""
    settings = {
        "format": "png",
        "columns": 7,
        "fit_columns": False,
        "height": "auto",
        "object_fit": "cover",
        "allow_preview": False,
        "buttons": [],
        "interactive": False,
        "elem_classes": "strip",
    }
    return gr.Gallery(label=label, elem_id=elem_id, **{**settings, **changes})


def before_and_after(elem_id: str, height: int = 560) -> gr.ImageSlider:
    """Return the slider between two pictures of one size."""
    return gr.ImageSlider(
        label="Before and after",
        type="filepath",
        format="png",
        interactive=False,
        max_height=height,
        buttons=["fullscreen"],
        elem_id=elem_id,
        elem_classes="result",
    )


def empty_stage(title: str, text: str, elem_id: str) -> gr.HTML:
    """Return what stands where a picture will be."""
    content = empty_html(title, text)
    return gr.HTML(content, elem_id=elem_id, elem_classes="stage-empty", apply_default_css=False)


def status(elem_id: str, text: str) -> gr.HTML:
    """Return the line below the picture."""
    return gr.HTML(
        first_line(text), elem_id=elem_id, elem_classes="status", apply_default_css=False
    )


def stop_button(elem_id: str) -> gr.Button:
    """Return the button that stops what is running, off until something is."""
    return gr.Button(
        "Stop",
        variant="stop",
        interactive=False,
        scale=1,
        min_width=90,
        elem_id=elem_id,
        elem_classes="stop",
    )
