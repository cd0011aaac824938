"""The HTTP endpoints: photos and the fields of `StylizeOptions` in, PNG files back.

`stylize_image` draws one photo, `vary` several looks of it, `apply_reference` one like another
picture. The order of the arguments is that of `StylizeOptions` after those of the endpoint; new
options are added at the end, so that callers by position go on working.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder
from torch import Tensor

from demo.controls import option_control, photo_input, uploaded_path
from demo.looks import some_looks
from demo.statement import write_picture
from demo.studio import Studio
from engine.errors import ImageError, OptionError, StylizeError
from engine.image import Photo, read_photo, resize
from engine.options import OptionField, StylizeOptions
from engine.pipeline import Stylizer
from engine.provenance import COMPOSITE, GENERATED

PHOTO = "a JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF file of at most 40 megapixels."
STYLE = "name of the style, as the page offers it."
MOST_LOOKS = 16
TYPES = {"float": float, "int": int, "bool": bool, "str": str}
NO_FACE = (
    "no face found in {name} ({width}x{height}); a face of at least 24 px is needed: crop closer, "
    "or open the page and mark the face by hand"
)


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: its own arguments as (name, default, help), and what it does.

    `run` takes the studio, the values of the arguments (files as paths) and the options, and
    returns one path or several; an argument whose default is `dict` is a file.
    """

    name: str
    summary: str
    returns: str
    arguments: tuple[tuple[str, Any, str], ...]
    run: Callable[..., str | list[str]]


def add_endpoints(studio: Studio) -> None:
    """Add all endpoints to the current `gr.Blocks`; the page itself shows nothing of them."""
    style = ("style", studio.default_style, STYLE)
    photo = ("photo", dict, PHOTO)
    looks = ("count", 4, f"how many looks, 1 to {MOST_LOOKS}, from the number `variation` on.")
    like = ("reference", dict, "the picture to paint like: a painting, a drawing, any portrait.")
    summary = "Draw the people in a photo"
    one = "The stylized picture, a PNG whose only metadata say that a network drew it."
    several = "The pictures as PNG files: the first with `variation`, the next with its successors."
    for endpoint in (
        Endpoint("stylize_image", f"{summary} in a style.", one, (photo, style), stylize_file),
        Endpoint("vary", f"{summary} in several looks.", several, (photo, style, looks), vary),
        Endpoint(
            "apply_reference", f"{summary} like a reference.", one, (photo, like, style), apply
        ),
    ):
        _add(endpoint, studio)


def _add(endpoint: Endpoint, studio: Studio) -> None:
    is_file = [default is dict for _, default, _ in endpoint.arguments]

    def call(*values: object) -> str | list[str]:
        own, rest = values[: len(is_file)], values[len(is_file) :]
        try:
            given = dict(zip(StylizeOptions.describe(), rest, strict=False))
            options = StylizeOptions(**{k: None if v == "" else v for k, v in given.items()})
            pairs = zip(own, is_file, strict=True)
            arguments = [uploaded_path(v) if is_path else v for v, is_path in pairs]
            return endpoint.run(studio, *arguments, options)
        except StylizeError as error:
            raise gr.Error(str(error), title=endpoint.name, print_exception=False) from error

    _document(call, endpoint)
    with gr.Column(visible=False):
        inputs = [_own_control(name, default) for name, default, _ in endpoint.arguments]
        inputs += [_plain_control(name) for name in StylizeOptions.describe()]
        result: gr.components.Component = (
            gr.File(label="pictures", file_count="multiple")
            if endpoint.name == "vary"
            else gr.Image(label="picture", type="filepath", image_mode=None, format="png")
        )
        gr.Button().click(
            call,
            inputs,
            result,
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
    options = StylizeOptions.describe().values()
    own = [
        inspect.Parameter(name, kind, annotation=dict)
        if default is dict
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


def stylize_file(studio: Studio, source: str | None, style: str, options: StylizeOptions) -> str:
    """Stylize a file and return the path of the PNG; raises StylizeError, also without a face."""
    return _draw(studio.stylizer(style), source, [options])[0]


def vary(
    studio: Studio, source: str | None, style: str, count: int, options: StylizeOptions
) -> list[str]:
    """Draw `count` looks of a file from `options.variation` on (1 if that is 0); their paths."""
    if not 1 <= int(count) <= MOST_LOOKS:
        raise OptionError(f"count is {count}; accepted are 1 to {MOST_LOOKS}: change it")
    first = max(1, options.variation)
    looks = some_looks(first, int(count))[1:]
    every = [replace(options, variation=look.variation) for look in looks]
    return _draw(studio.stylizer(style), source, every)


def apply(
    studio: Studio,
    source: str | None,
    reference: str | None,
    style: str,
    options: StylizeOptions,
) -> str:
    """Stylize a file like a reference picture and return the path of the PNG."""
    stylizer = studio.stylizer(style)
    if reference is None:
        raise ImageError("no reference was sent; send one as the second argument")
    code = stylizer.reference(read_photo(reference).rgb)
    return _draw(stylizer, source, [options], code)[0]


def _draw(
    stylizer: Stylizer,
    source: str | None,
    every: list[StylizeOptions],
    style_ws: Tensor | None = None,
) -> list[str]:
    """Draw one photo with each of some options; raises StylizeError, also without a face."""
    if source is None:
        raise ImageError("no photo was sent; send one as the first argument")
    photo = read_photo(source)
    faces = stylizer.detect(photo.rgb)
    if not every[0].select(len(faces)):
        height, width = photo.rgb.shape[:2]
        raise StylizeError(NO_FACE.format(name=Path(source).name, width=width, height=height))
    folder = Path(get_upload_folder()) / "api" / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    paths = []
    for options in every:
        rgb = stylizer(photo.rgb, options, faces=faces, style_ws=style_ws)
        number = f"-{options.variation}" if len(every) > 1 else ""
        paths.append(folder / f"stylized-{stylizer.card.name}{number}.png")
        made = COMPOSITE if options.whole_photo else GENERATED
        write_picture(paths[-1], rgb, _fitted_alpha(photo, rgb, options), made, source)
    return [str(path) for path in paths]


def _fitted_alpha(photo: Photo, rgb: np.ndarray, options: StylizeOptions) -> np.ndarray | None:
    if not options.whole_photo or photo.alpha is None:
        return None
    return resize(photo.alpha[..., None].repeat(3, axis=2), *rgb.shape[:2])[..., 0]


def _own_control(name: str, default: Any) -> gr.components.Component:
    """The component behind an endpoint's own argument: a file, a number or a text."""
    if default is dict:
        return photo_input(label=name)
    return (gr.Number if isinstance(default, int) else gr.Textbox)(default, label=name)


def _plain_control(name: str) -> gr.components.Component:
    """The component behind one argument: for documentation and ranges, never seen."""
    option = StylizeOptions.describe()[name]
    if option.kind == "bool":
        return gr.Checkbox(option.default, label=name)
    return option_control(name, label=name, value=_plain_default(option))


def _plain_default(option: OptionField) -> Any:
    return "" if option.default is None else option.default
