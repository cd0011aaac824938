"""Components made from options: ranges, steps, choices and help are written down there."""

from __future__ import annotations

from typing import Any

import gradio as gr

from demo.words import say
from engine.card import Card
from engine.errors import ImageError
from engine.options import MAXIMUM_SEED, Options, StylizeOptions

# Options that begin anew with another style; colours do not where looks vary, or are another's.
FOLLOWING = ("surroundings", "eyes")
COLORED = (*FOLLOWING, "color")
AUTOMATIC = ""  # the value of "the style decides": a radio button cannot hold None
LABELS = {
    "whole_photo": ("Picture", {True: "Whole photo", False: "Face only"}),
    "color": (
        "Colours",
        {"style": "Of the style", "keep": "Of the photo", "skin": "Keep skin tone"},
    ),
    "around": ("Around faces", {"drawn": "Drawn", "toned": "Toned"}),
    "variation_center": ("Drawn around", {"photo": "The photo", "average": "The average face"}),
    "mean": ("Held to", {"running": "What was seen so far", "clip": "The whole clip"}),
    "transfer": ("Movement", {"relative": "As theirs, own shape", "absolute": "Theirs, shape too"}),
    "start": ("Measured from", {"best": "The most similar frame", "first": "The first frame"}),
    "regions": (
        "What moves",
        {"all": "All", "pose": "The head", "eyes,mouth": "Eyes and mouth", "mouth": "The mouth"},
    ),
}


def photo_input(**settings: Any) -> gr.Image:
    """Return the component for a photo: its file is neither decoded nor converted by Gradio.

    Use it with `preprocess=False` and `uploaded_path`: else Gradio opens the file first and
    answers a broken one with an internal error.
    """
    return gr.Image(type="filepath", image_mode=None, format="png", **settings)


def uploaded_path(value: dict[str, Any] | None, what: str = "picture") -> str | None:
    """Return the path behind the unprocessed value of an upload, None if it is empty.

    Gradio has checked that the file is one of its uploads. Raises ImageError if there is no file.
    """
    if value is not None and not value.get("path"):
        raise ImageError(f"the {what} came without a file; upload it as a file")
    return None if value is None else str(value["path"])


def option_control(
    name: str, options: type[Options] = StylizeOptions, **changes: Any
) -> gr.components.Component:
    """Return the control of one of some options, as its kind asks; `changes` go to Gradio."""
    option = options.describe()[name]
    about = {"label": say(option.label), "info": say(_sentence(option.help))}
    settings = {**about, "value": option.default}
    if name in LABELS:
        label, choices = LABELS[name]
        pairs = [(text, value) for value, text in choices.items()]
        return gr.Radio(pairs, **{**settings, "label": say(label), "info": None, **changes})
    if option.kind == "str":
        return gr.Textbox(**{**settings, **changes})
    if option.kind == "bool":
        return gr.Checkbox(**{**settings, **changes})
    limits = {"minimum": option.minimum, "maximum": option.maximum, "step": option.step}
    if option.maximum == MAXIMUM_SEED:
        return gr.Number(**{**settings, **limits, "precision": 0, **changes})
    return gr.Slider(**{**settings, **limits, **changes})


def following(card: Card, names: tuple[str, ...] = FOLLOWING) -> dict[str, Any]:
    """Return what a style wants of options that begin anew with it, by name."""
    options = card.options()
    return {name: getattr(options, name) for name in names}


def attribute_control(attributes: tuple[str, ...], **changes: Any) -> gr.Radio:
    """Return the choice among the attribute paths of a style; hidden where there is none."""
    choices = [("Automatic", AUTOMATIC), *((name.capitalize(), name) for name in attributes)]
    settings = {"label": say("Variant"), "value": AUTOMATIC, "visible": len(attributes) > 1}
    return gr.Radio(choices, **{**settings, **changes})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
