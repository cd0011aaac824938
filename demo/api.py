"""The HTTP endpoint `stylize_image`: one photo and the fields of `StylizeOptions`, one PNG back."""

from __future__ import annotations

import secrets
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from demo.controls import option_control, photo_input, uploaded_path
from demo.studio import Studio
from engine.errors import ImageError, StylizeError
from engine.image import read_photo, resize, write_png
from engine.options import StylizeOptions

NO_FACE = (
    "no face found in {name} ({width}x{height}); a face of at least 24 px is needed: crop closer, "
    "or open the page and mark the face by hand"
)


def add_stylize_endpoint(studio: Studio) -> None:
    """Add the endpoint to the current `gr.Blocks`; the page itself shows nothing of it.

    The order of the arguments is that of `StylizeOptions` after the photo and the style; new
    options are added at the end, so that callers by position go on working.
    """

    def stylize_image(
        photo: dict,
        style: str = studio.default_style,
        strength: float = 1.0,
        truncation_psi: float = 1.0,
        seed: int = 0,
        samples: int = 1,
        attribute: str = "",
        faces: str = "all",
        whole_photo: bool = True,
        color: str = "style",
        output_size: int = 0,
    ) -> str:
        """Draw the people in a photo in a style, and return the picture as a PNG file.

        Args:
            photo: a JPEG, PNG, WebP, HEIC, AVIF, BMP, TIFF or GIF file of at most 40 megapixels.
            style: name of the style, as the page offers it.
            strength: 0 to 1, how far from the photo (0) to the full style (1).
            truncation_psi: 0 to 1, lower pulls the face toward the average face.
            seed: 0 to 2147483647, the number behind the random draws.
            samples: 1 to 16, how many readings of the face to draw; the most typical is kept.
            attribute: variant of the style by name; empty for the style's own choice.
            faces: "all", "largest", or numbers of faces from 0, such as "0" or "0,2".
            whole_photo: true for the whole photo, false for the square face alone.
            color: "style" for the colours of the style, "keep" for those of the photo.
            output_size: longest side of the result in pixels; 0 for as large as it comes.

        Returns:
            The stylized picture, a PNG without metadata.
        """
        try:
            options = StylizeOptions(
                strength=strength,
                truncation_psi=truncation_psi,
                seed=seed,
                samples=samples,
                attribute=attribute or None,
                faces=faces,
                whole_photo=whole_photo,
                color=color,
                output_size=output_size,
            )
            return stylize_file(studio, uploaded_path(photo), style, options)
        except StylizeError as error:
            raise gr.Error(str(error), title="stylize_image", print_exception=False) from error

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
    return option_control(name, label=name, value="" if option.default is None else option.default)
