"""The HTTP endpoint `stylize_image`: one photo and the fields of `StylizeOptions`, one PNG back."""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from demo.controls import option_control, photo_input, uploaded_path
from demo.studio import Studio
from engine.errors import ImageError, StylizeError
from engine.image import read_photo, resize, write_png
from engine.options import OptionField, StylizeOptions

DESCRIPTION = """Draw the people in a photo in a style, and return the picture as a PNG file.

Args:
    photo: a JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF file of at most 40 megapixels.
    style: name of the style, as the page offers it."""
RETURNS = """Returns:
    The stylized picture, a PNG without metadata."""
TYPES = {"float": float, "int": int, "bool": bool, "str": str}
NO_FACE = (
    "no face found in {name} ({width}x{height}); a face of at least 24 px is needed: crop closer, "
    "or open the page and mark the face by hand"
)


def add_stylize_endpoint(studio: Studio) -> None:
    """Add the endpoint to the current `gr.Blocks`; the page itself shows nothing of it.

    The order of the arguments is that of `StylizeOptions` after the photo and the style; new
    options are added at the end, so that callers by position go on working.
    """

    def stylize_image(photo: dict, style: str, *values: object) -> str:
        try:
            given = dict(zip(StylizeOptions.describe(), values, strict=False))
            options = StylizeOptions(**{k: None if v == "" else v for k, v in given.items()})
            return stylize_file(studio, uploaded_path(photo), style, options)
        except StylizeError as error:
            raise gr.Error(str(error), title="stylize_image", print_exception=False) from error

    _document(stylize_image, studio.default_style)
    with gr.Column(visible=False):
        photo = photo_input(label="photo")
        style = gr.Textbox(studio.default_style, label="style")
        controls = [_plain_control(name) for name in StylizeOptions.describe()]
        result = gr.Image(label="picture", type="filepath", image_mode=None, format="png")
        gr.Button().click(
            stylize_image,
            [photo, style, *controls],
            result,
            api_name="stylize_image",
            preprocess=False,
            concurrency_id="gpu",
            concurrency_limit=1,
        )


def _document(endpoint: Callable[..., str], style: str) -> None:
    """Give the endpoint the signature and docstring that the options say it has.

    Gradio makes the argument names, the page of the API and the MCP tool from them.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = StylizeOptions.describe().values()
    arguments = [
        inspect.Parameter("photo", kind, annotation=dict),
        inspect.Parameter("style", kind, annotation=str, default=style),
        *(
            inspect.Parameter(o.name, kind, annotation=TYPES[o.kind], default=_plain_default(o))
            for o in options
        ),
    ]
    endpoint.__signature__ = inspect.Signature(arguments, return_annotation=str)
    lines = "\n".join(f"    {o.name}: {o.accepted}; {o.help}" for o in options)
    endpoint.__doc__ = f"{DESCRIPTION}\n{lines}\n\n{RETURNS}"


def stylize_file(studio: Studio, source: str | None, style: str, options: StylizeOptions) -> str:
    """Stylize a file and return the path of the PNG; raises StylizeError, also without a face."""
    if source is None:
        raise ImageError("no photo was sent; send one as the first argument")
    photo = read_photo(source)
    stylizer = studio.stylizer(style)
    faces = stylizer.detect(photo.rgb)
    if not options.select(len(faces)):
        height, width = photo.rgb.shape[:2]
        raise StylizeError(NO_FACE.format(name=Path(source).name, width=width, height=height))
    rgb = stylizer(photo.rgb, options, faces=faces)
    alpha = None
    if options.whole_photo and photo.alpha is not None:
        alpha = resize(photo.alpha[..., None].repeat(3, axis=2), *rgb.shape[:2])[..., 0]
    folder = Path(get_upload_folder()) / "api" / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    path = folder / f"stylized-{stylizer.card.name}.png"
    write_png(path, rgb, alpha)
    return str(path)


def _plain_control(name: str) -> gr.components.Component:
    """The component behind one argument: for documentation and ranges, never seen."""
    option = StylizeOptions.describe()[name]
    if option.kind == "bool":
        return gr.Checkbox(option.default, label=name)
    return option_control(name, label=name, value=_plain_default(option))


def _plain_default(option: OptionField) -> Any:
    return "" if option.default is None else option.default
