"""Components made from `StylizeOptions`: ranges, steps, choices and help are written down there."""

from __future__ import annotations

from typing import Any

import gradio as gr

from engine.errors import ImageError
from engine.options import StylizeOptions

AUTOMATIC = ""  # the value of "the style decides": a radio button cannot hold None
LABELS = {
    "whole_photo": ("Picture", {True: "Whole photo", False: "Face only"}),
    "color": ("Colours", {"style": "Of the style", "keep": "Of the photo"}),
    "variation_center": ("Drawn around", {"photo": "The photo", "average": "The average face"}),
}


def photo_input(**settings: Any) -> gr.Image:
    """Return the component for a photo: its file is neither decoded nor converted by Gradio.

    Use it with `preprocess=False` and `uploaded_path`: else Gradio opens the file first and
    answers a broken one with an internal error.
    """
    return gr.Image(type="filepath", image_mode=None, format="png", **settings)


def uploaded_path(value: dict[str, Any] | None) -> str | None:
    """Return the path behind the unprocessed value of a `photo_input`, None if it is empty.

    Gradio has checked that the file is one of its uploads. Raises ImageError if there is no file.
    """
    if value is not None and not value.get("path"):
        raise ImageError("the picture came without a file; upload it as a file")
    return None if value is None else str(value["path"])


def option_control(name: str, **changes: Any) -> gr.components.Component:
    """Return the slider, radio button or number field of one option; `changes` go to Gradio."""
    option = StylizeOptions.describe()[name]
    settings = {"label": option.label, "info": _sentence(option.help), "value": option.default}
    if name in LABELS:
        label, choices = LABELS[name]
        pairs = [(text, value) for value, text in choices.items()]
        return gr.Radio(pairs, **{**settings, "label": label, "info": None, **changes})
    if option.kind == "str":
        return gr.Textbox(**{**settings, **changes})
    limits = {"minimum": option.minimum, "maximum": option.maximum, "step": option.step}
    if name == "seed":
        return gr.Number(**{**settings, **limits, "precision": 0, **changes})
    return gr.Slider(**{**settings, **limits, **changes})


def attribute_control(attributes: tuple[str, ...], **changes: Any) -> gr.Radio:
    """Return the choice among the attribute paths of a style; hidden where there is none."""
    choices = [("Automatic", AUTOMATIC), *((name.capitalize(), name) for name in attributes)]
    settings = {"label": "Variant", "value": AUTOMATIC, "visible": len(attributes) > 1}
    return gr.Radio(choices, **{**settings, **changes})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
