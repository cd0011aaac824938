"""What the endpoints for photos do: a file in, PNG files or a zip back.

`should_stop` is asked between two steps; once it says so they raise Cancelled.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from gradio.utils import get_upload_folder

from demo.batch import new_folder, stylize_all, write_zip
from demo.edits import direction_names
from demo.looks import some_looks
from demo.statement import write_picture
from demo.studio import Studio
from engine.errors import Cancelled, ImageError, OptionError, StylizeError
from engine.image import Photo, read_photo, resize
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.provenance import COMPOSITE, GENERATED
from engine.reference import Reference

ShouldStop = Callable[[], bool]

MOST_LOOKS = 16
NO_FACE = (
    "no face found in {name} ({width}x{height}); a face of at least 24 px is needed: crop closer, "
    "or open the page and mark the face by hand"
)


def never() -> bool:
    """Go on to the end."""
    return False


def stylize_file(
    studio: Studio,
    source: str | None,
    style: str,
    options: StylizeOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Stylize a file and return the path of the PNG; raises StylizeError, also without a face."""
    return _draw(studio.stylizer(style), source, [options], should_stop=should_stop)[0]


def vary(
    studio: Studio,
    source: str | None,
    style: str,
    count: int,
    options: StylizeOptions,
    *,
    should_stop: ShouldStop = never,
) -> list[str]:
    """Draw `count` looks of a file from `options.variation` on (1 if that is 0); their paths."""
    if not 1 <= int(count) <= MOST_LOOKS:
        raise OptionError(f"count is {count}; accepted are 1 to {MOST_LOOKS}: change it")
    first = max(1, options.variation)
    looks = some_looks(first, int(count))[1:]
    every = [replace(options, variation=look.variation) for look in looks]
    return _draw(studio.stylizer(style), source, every, should_stop=should_stop)


def apply(
    studio: Studio,
    source: str | None,
    reference: str | None,
    style: str,
    options: StylizeOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Stylize a file like a reference picture and return the path of the PNG."""
    stylizer = studio.stylizer(style)
    if reference is None:
        raise ImageError("no reference was sent; send one as the second argument")
    look = stylizer.reference(read_photo(reference).rgb, should_stop=should_stop)
    return _draw(stylizer, source, [options], look, should_stop=should_stop)[0]


def stylize_batch(
    studio: Studio,
    sources: list[str],
    style: str,
    options: StylizeOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Draw many files and return the path of the zip; raises StylizeError if all failed."""
    stylizer = studio.stylizer(style)
    stylizer.card.path_of(options.attribute)
    folder = new_folder(Path(get_upload_folder()) / "api")
    outcomes = list(stylize_all(stylizer, sources, options, folder, should_stop))
    if should_stop():
        raise Cancelled("the batch was called off")
    if not any(outcome.pictures for outcome in outcomes):
        raise StylizeError("; ".join(outcome.complaint for outcome in outcomes))
    packed = write_zip(outcomes, style, folder)
    for part in folder.iterdir():  # all of it is in the zip
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
    return str(packed)


def edit(
    studio: Studio,
    source: str | None,
    style: str,
    direction: str,
    amount: float,
    options: StylizeOptions,
    *,
    should_stop: ShouldStop = never,
) -> str:
    """Move the faces along a direction, draw them, and return the path of the PNG."""
    names = [name.lower() for name in direction_names(studio.directions(style))]
    wish = str(direction).strip()
    number = names.index(wish.lower()) if wish.lower() in names else wish
    step = f"{number}:{float(amount):g}"
    edits = step if options.edits == "none" else f"{options.edits},{step}"
    changed = replace(options, edits=edits)
    return stylize_file(studio, source, style, changed, should_stop=should_stop)


def _draw(
    stylizer: Stylizer,
    source: str | None,
    every: list[StylizeOptions],
    look: Reference | None = None,
    *,
    should_stop: ShouldStop,
) -> list[str]:
    """Draw one photo with each of some options; raises StylizeError, also without a face."""
    if source is None:
        raise ImageError("no photo was sent; send one as the first argument")
    photo = read_photo(source)
    faces = stylizer.detect(photo.rgb)
    if not every[0].select(len(faces)):
        height, width = photo.rgb.shape[:2]
        raise StylizeError(NO_FACE.format(name=Path(source).name, width=width, height=height))
    folder = new_folder(Path(get_upload_folder()) / "api")
    paths = []
    for options in every:
        rgb = stylizer(photo.rgb, options, should_stop, faces=faces, look=look)
        number = f"-{options.variation}" if len(every) > 1 else ""
        paths.append(folder / f"stylized-{stylizer.card.name}{number}.png")
        made = COMPOSITE if options.whole_photo else GENERATED
        write_picture(paths[-1], rgb, _fitted_alpha(photo, rgb, options), made, source)
    return [str(path) for path in paths]


def _fitted_alpha(photo: Photo, rgb: np.ndarray, options: StylizeOptions) -> np.ndarray | None:
    if not options.whole_photo or photo.alpha is None:
        return None
    return resize(photo.alpha[..., None].repeat(3, axis=2), *rgb.shape[:2])[..., 0]
