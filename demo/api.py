"""The HTTP endpoints: photos and the fields of `StylizeOptions` in, PNG files back.

`stylize_image` draws one photo, `stylize_batch` many, `vary` several looks of one,
`apply_reference` one like another picture, and `edit` changes the face before it is drawn;
`stylize_video` and `animate` make films. What they do is in demo/api_pictures.py and
demo/api_films.py; all of it can be called off. Arguments are those of the endpoint,
then its options; new options are added at the end, so that callers by position go on working.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr

from demo.api_films import CLIPS, film_rows
from demo.api_pictures import MOST_LOOKS, apply, edit, stylize_batch, stylize_file, vary
from demo.batch import MOST_BYTES, MOST_PHOTOS
from demo.controls import photo_input, uploaded_path
from demo.edits import LARGEST, direction_names
from demo.live import stoppable
from demo.studio import Studio
from engine.errors import StylizeError
from engine.options import OptionField, Options, StylizeOptions

PHOTO = "a JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF file of at most 40 megapixels."
STYLE = "name of the style, as the page offers it."
TYPES = {"float": float, "int": int, "bool": bool, "str": str}


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: its own arguments as (name, default, help), and what it does.

    `run` takes the studio, the values of the arguments (files as paths), the options, and what to
    ask whether to stop; it returns one path or several, as `gives` says. An argument whose default
    is `dict` is a file, `list` are several.
    """

    name: str
    summary: str
    returns: str
    arguments: tuple[tuple[str, Any, str], ...]
    run: Callable[..., str | list[str]]
    gives: Literal["picture", "pictures", "zip", "film"] = "picture"
    options: tuple[type[Options], ...] = (StylizeOptions,)

    def describe(self) -> list[OptionField]:
        """Return all its options, in the order of its arguments."""
        return [option for kind in self.options for option in kind.describe().values()]

    def read(self, values: Sequence[object]) -> Iterator[Options]:
        """Yield its options from their values, which may end early; raises OptionError."""
        left = [None if value == "" else value for value in values]
        for kind in self.options:
            names = list(kind.describe())
            yield kind(**dict(zip(names, left, strict=False)))
            left = left[len(names) :]


def add_endpoints(studio: Studio) -> None:
    """Add all endpoints to the current `gr.Blocks`; the page itself shows nothing of them."""
    style = ("style", studio.default_style, STYLE)
    photo = ("photo", dict, PHOTO)
    looks = ("count", 4, f"how many looks, 1 to {MOST_LOOKS}, from the number `variation` on.")
    like = ("reference", dict, "the picture to paint like: a painting, a drawing, any portrait.")
    photos = ("photos", list, f"1 to {MOST_PHOTOS} such files, {MOST_BYTES >> 20} MB in all.")
    which = direction_names(studio.directions(studio.default_style))
    way = ("direction", which[0], f"{' | '.join(which)}, or a number: see --edits.")
    far = (
        "amount",
        3.0,
        f"how far, either way; beyond {LARGEST} faces fall apart.",
    )
    summary = "Draw the people in a photo"
    one = "The stylized picture, a PNG whose only metadata say that a network drew it."
    several = "The pictures as PNG files: the first with `variation`, the next with its successors."
    packed = "A zip with each picture, the record of how it was made, and problems.txt if any."
    rows = (
        ("stylize_image", f"{summary} in a style.", one, (photo, style), stylize_file),
        ("vary", f"{summary} in several looks.", several, (photo, style, looks), vary, "pictures"),
        ("apply_reference", f"{summary} like a reference.", one, (photo, like, style), apply),
        ("stylize_batch", "Draw many photos.", packed, (photos, style), stylize_batch, "zip"),
        ("edit", f"{summary}, changed.", one, (photo, style, way, far), edit),
        *film_rows(photo, style),
    )
    for row in rows:
        _add(Endpoint(*row), studio)


def _add(endpoint: Endpoint, studio: Studio) -> None:
    num_own = len(endpoint.arguments)

    def call(*values: object) -> Iterator[str | list[str] | None]:
        own, rest = values[:num_own], values[num_own:]
        try:
            pairs = zip(endpoint.arguments, own, strict=True)
            arguments = [_received(default, value) for (_, default, _), value in pairs]
            arguments += endpoint.read(rest)
            # Work that is called off stops where it yields: nothing until the result is there.
            result = yield from stoppable(
                lambda should_stop: endpoint.run(studio, *arguments, should_stop=should_stop)
            )
            yield result
        except StylizeError as error:
            raise gr.Error(str(error), title=endpoint.name, print_exception=False) from error

    _document(call, endpoint)
    with gr.Column(visible=False):
        inputs = [_own_control(name, default) for name, default, _ in endpoint.arguments]
        inputs += [_plain_control(option) for option in endpoint.describe()]
        gr.Button().click(
            call,
            inputs,
            _result(endpoint.gives),
            api_name=endpoint.name,
            preprocess=False,
            concurrency_id="gpu",
            concurrency_limit=1,
        )


def _document(call: Callable[..., Any], endpoint: Endpoint) -> None:
    """Give the endpoint the signature and docstring that the options say it has.

    Gradio makes the argument names, the page of the API and the MCP tool from them.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = endpoint.describe()
    own = [
        inspect.Parameter(name, kind, annotation=default)
        if default in (dict, list)
        else inspect.Parameter(name, kind, annotation=type(default), default=default)
        for name, default, _ in endpoint.arguments
    ]
    rest = [
        inspect.Parameter(o.name, kind, annotation=TYPES[o.kind], default=_plain_default(o))
        for o in options
    ]
    call.__name__ = endpoint.name
    call.__signature__ = inspect.Signature([*own, *rest])
    lines = [f"    {name}: {help}" for name, _, help in endpoint.arguments]
    lines += [f"    {o.name}: {o.accepted}; {o.help}" for o in options]
    arguments = "\n".join(lines)
    call.__doc__ = f"{endpoint.summary}\n\nArgs:\n{arguments}\n\nReturns:\n    {endpoint.returns}"


def _own_control(name: str, default: Any) -> gr.components.Component:
    """The component behind an endpoint's own argument: files, a number or a text."""
    if default is dict:
        return gr.Video(label=name) if name in CLIPS else photo_input(label=name)
    if default is list:
        return gr.File(label=name, file_count="multiple")
    return (gr.Textbox if isinstance(default, str) else gr.Number)(default, label=name)


def _received(default: Any, value: Any) -> Any:
    """What an endpoint gets for its own argument: files as paths."""
    if default is list:
        return [uploaded_path(file) for file in value or []]
    return uploaded_path(value) if default is dict else value


def _result(gives: str) -> gr.components.Component:
    if gives == "picture":
        return gr.Image(label=gives, type="filepath", image_mode=None, format="png")
    return gr.File(label=gives, file_count="multiple" if gives == "pictures" else "single")


def _plain_control(option: OptionField) -> gr.components.Component:
    """The component behind one argument: for documentation and ranges, never seen."""
    settings = {"label": option.name, "value": _plain_default(option)}
    if option.kind == "bool":
        return gr.Checkbox(**settings)
    if option.kind == "str":
        has_fixed_choices = option.choices and option.choices_only
        return gr.Radio(option.choices, **settings) if has_fixed_choices else gr.Textbox(**settings)
    return gr.Number(minimum=option.minimum, maximum=option.maximum, step=option.step, **settings)


def _plain_default(option: OptionField) -> Any:
    return "" if option.default is None else option.default
