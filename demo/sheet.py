"""Contact sheets: photo, reconstruction and every style, one row per photo, to look at.

python -m demo.sheet sheet.png --style cartoon --style comic:second photos/*.jpg
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from demo.jobs import find_photos
from demo.photo import add_setup_arguments, load_stylizer
from demo.statement import write_picture
from engine.errors import OptionError, StylizeError
from engine.options import StylizeOptions

if TYPE_CHECKING:
    import numpy as np

    from engine.pipeline import Stylizer

SUCCESS, SOME_FAILED, USAGE = 0, 1, 2
GAP, LABEL_WIDTH, HEADER_HEIGHT, PAPER, INK = 4, 150, 24, (255, 255, 255), (40, 40, 40)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m demo.sheet`."""
    parser = argparse.ArgumentParser(
        prog="python -m demo.sheet",
        description="Draw a contact sheet: photo | reconstruction | styles, largest face of each.",
        epilog="exit codes: 0 fine, 1 some photo failed or has no face, 2 nothing was written",
    )
    parser.add_argument("output", metavar="OUT.png")
    parser.add_argument("photos", metavar="PHOTO", nargs="+", help="photos, folders or globs")
    parser.add_argument(
        *("--style", "-s"), action="append", metavar="NAME[:ATTRIBUTE]", help="may be repeated"
    )
    parser.add_argument("--tile", type=int, default=192, metavar="PIXELS", help="side of a picture")
    add_setup_arguments(parser)
    StylizeOptions.add_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        photos = [photo for pattern in arguments.photos for photo in find_photos(pattern)[1]]
        columns = _columns(arguments)
        num_failed = _draw(Path(arguments.output), photos, columns, arguments.tile)
    except StylizeError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    print(f"{arguments.output}: {len(photos)} photos, {num_failed} without a result")
    return SOME_FAILED if num_failed else SUCCESS


def portrait_row(
    path: Path, columns: Sequence[tuple[str, Stylizer, StylizeOptions]]
) -> list[np.ndarray]:
    """Return crop, reconstruction and one picture per column, uint8 [R, R, 3] of their own sizes.

    Raises StylizeError if the photo cannot be read or has no face.
    """
    from engine.image import read_photo

    first = columns[0][1]
    rgb = read_photo(path).rgb
    faces = first.detect(rgb)[:1]
    if not faces:
        raise StylizeError(f"no face found in {path.name}")
    portrait = first.encode(rgb, faces)[0]
    plain = replace(first.card.options(), strength=0.0, truncation_psi=1.0, samples=1)
    pictures = [portrait.face.crop, first.render(portrait, plain)]
    for _, stylizer, options in columns:
        is_shared = stylizer.style.base is first.style.base
        own = portrait if is_shared else stylizer.encode(rgb, faces)[0]
        pictures.append(own.shaped(stylizer.render(own, options), options))
    return pictures


def compose(
    rows: Sequence[tuple[str, list[np.ndarray]]], header: Sequence[str], tile: int
) -> np.ndarray:
    """Arrange labelled rows under a header as uint8 [H, W, 3]; a row may have no pictures."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from engine.image import resize

    step = tile + GAP
    size = (LABEL_WIDTH + step * len(header), HEADER_HEIGHT + step * len(rows))
    sheet = Image.new("RGB", size, PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(header):
        draw.text((LABEL_WIDTH + column * step, 4), title, INK, font)
    for row, (label, pictures) in enumerate(rows):
        top = HEADER_HEIGHT + row * step
        draw.multiline_text((4, top), _wrapped(label), INK, font)
        for column, picture in enumerate(pictures):
            tile_image = Image.fromarray(resize(picture, tile, tile))
            sheet.paste(tile_image, (LABEL_WIDTH + column * step, top))
    return np.asarray(sheet)


def _columns(arguments: argparse.Namespace) -> list[tuple[str, Stylizer, StylizeOptions]]:
    """Load each style once, whatever number of its attributes is shown."""
    from engine.library import StyleLibrary

    if arguments.tile < 16:
        raise OptionError(f"--tile is {arguments.tile}; 16 pixels or more are accepted")
    library = StyleLibrary([arguments.packs] if arguments.packs else None)
    columns = []
    for wish in arguments.style or library.names():
        name, _, attribute = wish.partition(":")
        stylizer = load_stylizer(arguments, name, library)
        options = StylizeOptions.from_arguments(arguments, stylizer.card.options())
        options = replace(options, attribute=attribute) if attribute else options
        stylizer.card.path_of(options.attribute)
        columns.append((wish, stylizer, options))
    if not columns:
        raise OptionError("no style found; name one with --style, or a folder with --packs")
    return columns


def _draw(
    output: Path,
    photos: Sequence[Path],
    columns: Sequence[tuple[str, Stylizer, StylizeOptions]],
    tile: int,
) -> int:
    """Write the sheet; return how many photos have no result."""
    from tqdm import tqdm

    from engine.image import resize

    rows: list[tuple[str, list[np.ndarray]]] = []
    for path in tqdm(photos, unit="photo"):
        try:
            pictures = [resize(picture, tile, tile) for picture in portrait_row(path, columns)]
            rows.append((path.name, pictures))
        except StylizeError as error:
            rows.append((f"{path.name}: {error}", []))
    header = ["photo", "reconstruction", *(name for name, _, _ in columns)]
    write_picture(output, compose(rows, header, tile))
    return sum(not pictures for _, pictures in rows)


def _wrapped(text: str, width: int = 20) -> str:
    return "\n".join(text[i : i + width] for i in range(0, min(len(text), 9 * width), width))


if __name__ == "__main__":
    sys.exit(main())
