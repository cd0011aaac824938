"""A folder of pictures -> a training set: checked, aligned, without duplicates, with a data.csv.

    python -m train.prepare FOLDER OUT --size 256 [--aligned] [--attributes TABLE.csv]

Faces are framed as FFHQ frames them (engine/align.py), the framing every network here expects. A
picture that cannot be used is left out and named in OUT/report.txt; it never stops the others.
Read the result back with `train.data.load_images(OUT, size)`.
"""

import argparse
import io
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from engine.align import align
from engine.detect import Detector, EmbeddedDetector, FaceAlignmentDetector, YuNetDetector
from engine.errors import DataError, ImageError, OptionError, StylizeError
from engine.image import Photo, read_photo, resize
from train.dataset import Attributes, Report, Sample, write_table, write_whole
from train.duplicates import Duplicates

SUFFIXES = tuple(".jpg .jpeg .png .webp .heic .heif .avif .bmp .tif .tiff .gif".split())
# What a picture is left out for, in the words of the report.
BROKEN, SMALL, NO_FACE = "broken", "too small", "no face found"
SEVERAL, UNSQUARE, DUPLICATE = "several faces", "not square", "duplicate"


@dataclass(frozen=True)
class Preparation:
    """What is asked of the set.

    Attributes:
        size: side of the pictures written, in pixels.
        aligned: the pictures are FFHQ-framed squares already; no detector is used.
        min_native: smallest side of the crop in the original, in pixels; 0 asks for size / 2.
        several: what to do about several faces: take the "largest", or "skip" the picture.
        max_distance: see train/duplicates.py; -1 keeps duplicates.
        format: "jpg" (quality 95, full colour resolution) or "png".
    """

    size: int = 256
    aligned: bool = False
    min_native: int = 0
    several: str = "largest"
    max_distance: int = 20
    format: str = "jpg"

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        if not 4 <= self.size <= 2048:
            raise OptionError(f"--size is {self.size}; 4 to 2048 pixels are accepted: try 256")
        for flag, value, accepted in (
            ("--several", self.several, ("largest", "skip")),
            ("--format", self.format, ("jpg", "png")),
        ):
            if value not in accepted:
                raise OptionError(f"{flag} is {value!r}; accepted: {', '.join(accepted)}")

    @property
    def smallest(self) -> int:
        """The smallest side of a crop in the original, in pixels."""
        return self.min_native or self.size // 2


class Refusal(DataError):
    """A picture that cannot be used, with the word of the report for it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def prepare(
    folder: str | Path,
    out: str | Path,
    plan: Preparation,
    detector: Detector | None = None,
    table: str | Path | None = None,
    show_progress: bool = False,
) -> Report:
    """Write the pictures of `folder` that can be trained on, data.csv and report.txt into `out`.

    Of two duplicates the one with more pixels stays. `detector` may be None for aligned pictures.

    Raises:
        DataError: no pictures, a table without the columns file and attribute, or `out` is in use.
        ImageError: `out` cannot be written.
    """
    folder, out = Path(folder), Path(out)
    sources, ignored = list_pictures(folder)
    attributes = Attributes(Path(table), folder) if table else None
    _make_empty(out)
    report, seen = Report(plan.size, ignored=ignored), Duplicates(len(sources), plan.max_distance)
    for number, source in enumerate(tqdm(sources, unit="img", disable=not show_progress)):
        try:
            sample = read_sample(folder / source, plan, detector)
        except Refusal as error:
            report.refused.append((error.reason, source, str(error)))
            continue
        label = attributes.of(source) if attributes else ""
        file = f"{number:06d}.{plan.format}"
        _add(out, replace(sample, source=source, attribute=label, file=file), seen, report)
    report.kept.sort(key=lambda sample: sample.file)
    report.unused_rows = attributes.unused(sources) if attributes else 0
    write_table(out / "data.csv", report.kept)
    write_whole(out / "report.txt", f"{report.text()}\n\n{report.details()}\n".encode())
    return report


def list_pictures(folder: Path) -> tuple[list[str], int]:
    """Names of the pictures below `folder`, relative and sorted, and how many other files it has.

    Raises:
        DataError: the folder is missing or has no picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the folder that holds the pictures")
    files = [p for p in folder.rglob("*") if p.is_file() and not p.name.startswith(".")]
    pictures = [p for p in files if p.suffix.lower() in SUFFIXES]
    if not pictures:
        raise DataError(
            f"no pictures among the {len(files)} files below {folder}; "
            f"looked for {' '.join(SUFFIXES)}: convert them to one of these"
        )
    names = sorted(p.relative_to(folder).as_posix() for p in pictures)
    return names, len(files) - len(pictures)


def read_sample(file: Path, plan: Preparation, detector: Detector | None) -> Sample:
    """Read one picture and cut the crop of it that goes into the set.

    Raises:
        Refusal: the file cannot be read, or holds no face, several ones, or not enough pixels.
    """
    try:
        rgb = _over_white(read_photo(file))
    except ImageError as error:
        raise Refusal(BROKEN, str(error)) from error
    if plan.aligned:
        sample = _whole_picture(rgb, plan)
    else:
        assert detector is not None, "pictures that are not aligned need a detector"
        sample = _largest_face(rgb, plan, detector)
    if sample.native_crop_px < plan.smallest:
        raise Refusal(
            SMALL,
            f"the crop is {sample.native_crop_px} px wide in the original, at least "
            f"{plan.smallest} are asked for: find a larger version, or lower --min-native",
        )
    return sample


def _whole_picture(rgb: np.ndarray, plan: Preparation) -> Sample:
    """The picture itself, if its sides differ by no more than rounding."""
    height, width = rgb.shape[:2]
    if max(height, width) > 1.02 * min(height, width):
        raise Refusal(UNSQUARE, f"{width}x{height}; aligned pictures are square: drop --aligned")
    return Sample(resize(rgb, plan.size, plan.size), min(height, width))


def _largest_face(rgb: np.ndarray, plan: Preparation, detector: Detector) -> Sample:
    faces = detector(rgb)
    if not faces:
        raise Refusal(NO_FACE, f"no face found in {rgb.shape[1]}x{rgb.shape[0]} pixels")
    if len(faces) > 1 and plan.several == "skip":
        raise Refusal(SEVERAL, f"{len(faces)} faces; --several largest takes the largest one")
    try:
        face = align(rgb, faces[0].landmarks, plan.size)
    except ImageError as error:
        raise Refusal(NO_FACE, str(error)) from error
    scale = math.sqrt(abs(np.linalg.det(face.photo_to_crop[:2, :2])))
    return Sample(face.crop, round(plan.size / scale), len(faces))


def _add(out: Path, sample: Sample, seen: Duplicates, report: Report) -> None:
    """Write the sample unless the set has the same picture at least as large; drop a smaller."""
    place = seen.find(sample.crop)
    light = replace(sample, crop=sample.crop[:0])
    if place is None:
        seen.add(sample.crop)
        report.kept.append(light)
    elif sample.native_crop_px > report.kept[place].native_crop_px:
        old, report.kept[place] = report.kept[place], light
        seen.replace(place, sample.crop)
        (out / old.file).unlink()
        report.refused.append((DUPLICATE, old.source, f"{sample.source} is the same, and larger"))
    else:
        why = f"the same picture as {report.kept[place].source}"
        report.refused.append((DUPLICATE, sample.source, why))
        return
    buffer, format = io.BytesIO(), "PNG" if sample.file.endswith(".png") else "JPEG"
    Image.fromarray(sample.crop).save(buffer, format, quality=95, subsampling=0)
    write_whole(out / sample.file, buffer.getvalue())


def _over_white(photo: Photo) -> np.ndarray:
    """Transparent pixels hide arbitrary colours; the set gets what a white page would show."""
    if photo.alpha is None:
        return photo.rgb
    alpha = photo.alpha[..., None].astype(np.float32) / 255
    return np.rint(photo.rgb * alpha + 255 * (1 - alpha)).astype(np.uint8)


def _make_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is in use; a new or empty folder is accepted: remove or rename it")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {out}: {error.strerror}") from error


def _detector(name: str) -> Detector:
    """The embedded detector, face-alignment's 68 points over it, or YuNet from the file `name`."""
    if name == "embedded":
        return EmbeddedDetector.from_file()
    if name == "68":
        return FaceAlignmentDetector(EmbeddedDetector.from_file())
    return YuNetDetector(name)


def main(argv: list[str] | None = None) -> int:
    """The command line; 0 if the set has a picture, 1 if it has none, 2 if it cannot be made."""
    args = _parser().parse_args(argv)
    try:
        plan = Preparation(
            size=args.size,
            aligned=args.aligned,
            min_native=args.min_native,
            several=args.several,
            max_distance=args.max_distance,
            format=args.format,
        )
        detector = None if args.aligned else _detector(args.detector)
        report = prepare(args.folder, args.out, plan, detector, args.attributes, True)
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 2
    print(report.text())
    print(f"The set is in {args.out}; report.txt in it names every picture left out.")
    return 0 if report.kept else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m train.prepare", description="Make a training set of a folder of pictures."
    )
    add, plan = parser.add_argument, Preparation()
    add("folder", type=Path, help="where the pictures are; folders in it are searched too")
    add("out", type=Path, help="a new folder for the set")
    add("--size", type=int, default=plan.size, help="side in pixels (%(default)s)")
    add("--aligned", action="store_true", help="the pictures are FFHQ-framed squares already")
    add("--attributes", type=Path, metavar="CSV", help="table with the columns file, attribute")
    add("--min-native", type=int, default=0, help="smallest crop in the original (size / 2)")
    add("--several", choices=("largest", "skip"), default=plan.several, help="several faces")
    add("--max-distance", type=int, default=plan.max_distance, help="of duplicates; -1 keeps them")
    add("--format", choices=("jpg", "png"), default=plan.format)
    add("--detector", default="embedded", help="embedded, 68, or a YuNet .onnx file")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
