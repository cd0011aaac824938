"""One visitor's photo, read and encoded once, and what is drawn from it again and again.

A `Visit` is an immutable value that the page keeps per visitor (`gr.State`); its files lie in a
folder of its own with an unguessable name, and are deleted with it.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from demo.statement import write_picture
from engine.detect import Face, face_from_points
from engine.errors import DetectorError
from engine.image import Photo, read_photo, resize
from engine.options import StylizeOptions
from engine.pipeline import Portrait, Stylizer
from engine.provenance import COMPOSITE, GENERATED

log = logging.getLogger(__name__)

ShouldStop = Callable[[], bool]

VIEW_SIDE = 1600  # px; a larger photo is shown smaller than it is, and downloaded in full
THUMBNAIL_SIDE = 160
FILES_KEPT = 16  # the browser may still be fetching the previous pictures
MARK_NAMES = ("left eye", "right eye", "mouth")
SHOWN_BY_BROWSERS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".avif")


@dataclass(frozen=True)
class Visit:
    """A photo and the portraits in it.

    `source` is the uploaded file, `base` the hash of the network it was encoded for, `view` the
    photo as the page shows it, `marks` the points (x, y) in photo pixels placed by hand so far.
    """

    source: str
    base: str
    photo: Photo
    portraits: tuple[Portrait, ...]
    folder: Path
    view: Path
    seconds: float
    marks: tuple[tuple[float, float], ...] = field(default=())

    def fits(self, source: str, stylizer: Stylizer) -> bool:
        """Tell whether these are the portraits of this file, for this style, files still there."""
        is_same = self.source == source and self.base == stylizer.style.base.sha256
        return is_same and self.folder.is_dir()

    @property
    def is_converted(self) -> bool:
        """True if `source` was replaced by `view`, because browsers cannot show the upload."""
        return self.source == str(self.view)

    @property
    def is_marked(self) -> bool:
        """True once every point of a face has been placed by hand."""
        return len(self.marks) == len(MARK_NAMES)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the photo in pixels."""
        return self.photo.rgb.shape[:2]


@dataclass(frozen=True)
class Picture:
    """A result: `rgb` uint8 [H, W, 3], `alpha` uint8 [H, W] or None, `before` of the same size.

    `made` is GENERATED for a crop, COMPOSITE for a photo with drawn faces in it.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None
    before: np.ndarray
    made: str


@dataclass(frozen=True)
class Drawn:
    """A stylized portrait: `crop` uint8 [R, R, 3].

    If several samples were drawn: `samples` [n, R, R, 3] and the `number` of this one.
    """

    portrait: Portrait
    crop: np.ndarray
    samples: np.ndarray | None = None
    number: int | None = None


@dataclass(frozen=True)
class PickedSample:
    """A sample picked by hand: it stands only for the face, count and seed it was drawn with."""

    face: int
    samples: int
    seed: int
    number: int

    def belongs_to(self, face: int, options: StylizeOptions) -> bool:
        """Tell whether the drawing of portrait `face` with `options` has this sample."""
        return (self.face, self.samples, self.seed) == (face, options.samples, options.seed)


def open_visit(
    stylizer: Stylizer, source: str, shelf: Path, should_stop: ShouldStop | None = None
) -> Visit:
    """Read the uploaded file `source`, find and encode its faces.

    Files go to a new folder in `shelf`. Raises ImageError for a file that is no picture we read,
    Cancelled where `should_stop` said so.
    """
    photo = read_photo(source)
    started = time.perf_counter()
    try:
        portraits = tuple(stylizer.encode(photo.rgb, should_stop=should_stop))
    except DetectorError as error:  # the face can still be marked by hand
        log.warning("%s", error)
        portraits = ()
    seconds = time.perf_counter() - started
    log.info("encoded a photo: %d faces in %.2f s", len(portraits), seconds)
    folder = shelf / secrets.token_hex(16)
    folder.mkdir(parents=True, mode=0o700)
    view = write_view(folder, Path(source).stem, photo.rgb, photo.alpha)
    base = stylizer.style.base.sha256
    if Path(source).suffix.lower() not in SHOWN_BY_BROWSERS:
        source = str(view)
    return Visit(source, base, photo, portraits, folder, view, seconds)


def reopened(
    visit: Visit | None, source: str | None, stylizer: Stylizer, shelf: Path
) -> Visit | None:
    """Return the visit of `source`: the one there is if it fits, else a new one, None for none.

    Files go to a new folder in `shelf`; those of a visit that is replaced are deleted. Raises
    ImageError for a file that is no picture we read.
    """
    if visit is not None and source is not None and visit.fits(source, stylizer):
        return visit
    close_visit(visit)
    return None if source is None else open_visit(stylizer, source, shelf)


def close_visit(visit: Visit | None) -> None:
    """Delete the files of a visit; nothing happens where there is none."""
    if visit is not None:
        shutil.rmtree(visit.folder, ignore_errors=True)


def mark(visit: Visit, x: float, y: float) -> Visit:
    """Add the next point, given in pixels of `visit.view`; a fourth one starts again."""
    scale = visit.shape[1] / fit(*visit.shape, VIEW_SIDE)[1]
    marks = visit.marks if len(visit.marks) < len(MARK_NAMES) else ()
    return replace(visit, marks=(*marks, (x * scale, y * scale)))


def unmark(visit: Visit, num_kept: int) -> Visit:
    """Keep the first `num_kept` points only (-1: all but the last)."""
    return replace(visit, marks=visit.marks[:num_kept])


def with_marked_face(visit: Visit, stylizer: Stylizer) -> Visit:
    """Encode the face that the three points describe and put it first; the points are used up."""
    face: Face = face_from_points(*visit.marks)
    started = time.perf_counter()
    portraits = tuple(stylizer.encode(visit.photo.rgb, [face]))
    seconds = time.perf_counter() - started
    log.info("encoded a marked face in %.2f s", seconds)
    return replace(visit, portraits=(*portraits, *visit.portraits), marks=(), seconds=seconds)


def draw_face(
    visit: Visit,
    stylizer: Stylizer,
    options: StylizeOptions,
    index: int,
    picked: PickedSample | None = None,
    *,
    should_stop: ShouldStop | None = None,
) -> Drawn:
    """Draw portrait `index`; of several samples the one `picked` by hand, or the most typical.

    Raises Cancelled where `should_stop` said so.
    """
    portrait = visit.portraits[index]
    if options.samples == 1:
        return Drawn(portrait, stylizer.render(portrait, options, should_stop))
    samples = stylizer.render_samples(portrait, options, should_stop)
    if picked is not None and picked.belongs_to(index, options):
        return Drawn(portrait, samples[picked.number], samples, picked.number)
    number = stylizer.most_typical(samples)
    return Drawn(portrait, samples[number], samples, number)


def compose(
    visit: Visit, stylizer: Stylizer, drawn: list[Drawn], options: StylizeOptions
) -> Picture:
    """Put the drawn faces into the photo, or return the first one alone, as `options` say."""
    if not options.whole_photo:
        rgb = stylizer.crop(drawn[0].portrait, drawn[0].crop, options)
        before = resize(drawn[0].portrait.face.crop, *rgb.shape[:2])
        return Picture(rgb, None, before, GENERATED)
    portraits, crops = [d.portrait for d in drawn], [d.crop for d in drawn]
    rgb = stylizer.paste(visit.photo.rgb, portraits, crops, options)
    return Picture(rgb, visit.photo.alpha, visit.photo.rgb, COMPOSITE)


def write_pair(visit: Visit, picture: Picture) -> tuple[Path, Path]:
    """Write a result as the page shows it: the files before and after, of equal size."""
    result = (picture.rgb, picture.alpha, picture.made, visit.source)
    after = write_view(visit.folder, "result", *result)
    if picture.before is visit.photo.rgb:
        return visit.view, after
    return write_view(visit.folder, "before", picture.before, picture.alpha), after


def write_download(visit: Visit, style: str, picture: Picture, shown: Path) -> Path:
    """Write a result in full size under a speaking name; `shown` is copied if it is just that."""
    stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(visit.source).stem).strip("-")[:40]
    path = new_file(visit.folder, f"{stem or 'picture'}-{style}.png")
    if fit(*picture.rgb.shape[:2], VIEW_SIDE) == picture.rgb.shape[:2]:
        shutil.copyfile(shown, path)
    else:
        write_picture(path, picture.rgb, picture.alpha, picture.made, visit.source)
    return path


def write_marked(visit: Visit) -> Path:
    """Write the photo as shown, with the points placed so far drawn in."""
    height, width = fit(*visit.shape, VIEW_SIDE)
    rgb = np.ascontiguousarray(resize(visit.photo.rgb, height, width)).copy()
    radius = max(4, round(min(height, width) / 90))
    for x, y in visit.marks:
        point = (round(x * width / visit.shape[1]), round(y * height / visit.shape[0]))
        cv2.circle(rgb, point, radius + 2, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(rgb, point, radius, (79, 70, 229), -1, cv2.LINE_AA)
    return write_view(visit.folder, "marked", rgb, None)


def fit(height: int, width: int, side: int) -> tuple[int, int]:
    """Return (height, width) scaled down so that the longer one is at most `side`."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def write_view(
    folder: Path,
    name: str,
    rgb: np.ndarray,
    alpha: np.ndarray | None,
    made: str | None = None,
    original: str | None = None,
) -> Path:
    """Write a picture as the page shows it, at most VIEW_SIDE px, and return the file.

    `made` and `original` are for a result: see `write_picture`.
    """
    height, width = fit(*rgb.shape[:2], VIEW_SIDE)
    if (height, width) != rgb.shape[:2]:
        rgb = resize(rgb, height, width)
        alpha = None if alpha is None else resize(np.dstack([alpha] * 3), height, width)[..., 0]
    path = new_file(folder, f"{name}.png")
    write_picture(path, rgb, alpha, made, original)
    return path


def new_file(folder: Path, name: str) -> Path:
    """Return a path `name` that no other visitor can guess, and forget the oldest files."""
    parts = sorted((p for p in folder.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime_ns)
    for old in parts[1 : max(1, len(parts) + 2 - FILES_KEPT)]:  # the first holds the photo
        shutil.rmtree(old, ignore_errors=True)
    part = folder / secrets.token_hex(16)
    part.mkdir(mode=0o700)
    return part / name
