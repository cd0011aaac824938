"""The data doctor: looks at a training set before the first step, and says what it found.

    python -m train.doctor FOLDER --base PACK [--attributes female,male]

Every recipe asks it (`before_training`, called by train.config): the settings whose field says what
its folder `holds` are looked at, once, and what is found lies in the run folder as doctor.txt and
doctor.json. It takes seconds: beyond MOST_READ pictures, evenly spaced ones are looked at.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from engine.card import DETECTOR_FILE
from engine.detect import Detector, EmbeddedDetector
from engine.errors import DataError, StylizeError, TrainingError
from engine.models.detector import detector_from_state
from train import checks
from train.data import SUFFIXES, as_float, attributes_of, seeded
from train.features import discriminator_eyes
from train.findings import FINE, NOTE, STOP, WARNING, Diagnosis, Finding, write_diagnoses
from train.metrics import energy_coefficient
from train.packs import Source, load_source

EXEMPLARS, PHOTOS = "exemplars", "photos"  # what a folder `holds`: a style, or people as they are
MOST_READ, MOST_FACES, MOST_COMPARED = 400, 48, 64  # pictures
# Energy coefficient of Gram matrices, in the eyes of the base's discriminator, between pictures and
# what the embedded base draws of random codes: photos 0.01, oil 0.11, comic 0.13, cartoon 0.25,
# engraving 0.25, black and white 0.30, pencil 0.49; within 0.02 for other codes and other halves.
NEAR, FAR = 0.2, 0.4
FEW_PHOTOS = 50


def examine(
    folder: str | Path,
    resolution: int,
    source: Source | None = None,
    *,
    holds: str = EXEMPLARS,
    attributes: Sequence[str] = (),
    detector: Detector | None = None,
) -> Diagnosis:
    """Look at a folder of aligned pictures; what is wrong with it is a finding, never raised.

    Args:
        folder: whose own pictures are looked at, as `train.data.load_images` would read them.
        resolution: side of the pictures trained on.
        source: the base that training starts from; None: there is none.
        holds: EXEMPLARS, which are counted and compared with the base, or PHOTOS.
        attributes: names of the paths that each need pictures.
        detector: of faces; None: that of the base, or the embedded one.

    Raises:
        DataError: the set's table has no column `file`.
    """
    folder = Path(folder)
    names = sorted(p.name for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not names:
        return Diagnosis(str(folder), (checks.missing(folder),))
    read, broken = checks.read_all(folder, checks.spaced(names, MOST_READ))
    detector = detector or _detector_of(source)
    wanted = [name for name in attributes if name]
    findings = [
        *checks.unreadable(broken),
        *checks.count(len(names), len(read) + len(broken), few_matter=holds == EXEMPLARS),
        *checks.shapes(read),
        *checks.sizes(read, resolution),
        *checks.duplicates(read),
        *checks.attributes(attributes_of(folder), names, wanted),
        *checks.faces(checks.spaced(read, MOST_FACES), detector),
    ]
    square = [p for p in read if p.rgb.shape[0] == p.rgb.shape[1]]
    if source is None or holds != EXEMPLARS or len(square) < 2:
        return Diagnosis(str(folder), tuple(findings))
    found = distance(checks.spaced(square, MOST_COMPARED), source)
    return Diagnosis(str(folder), (*findings, _interpreted(found)), round(found, 4))


def before_training(config: Any) -> list[Diagnosis]:
    """Examine the folders of a recipe's settings, unless its run has begun already.

    Fields whose metadata has "holds" name the folders; `base`, `resolution`, `attributes` and `out`
    are used where there are any.

    Raises:
        DataError: something was found that cannot be trained on.
        TrainingError: the run has begun with other pictures.
        PackError: the base cannot be read.
    """
    folders = {f.name: f.metadata["holds"] for f in fields(config) if "holds" in f.metadata}
    folders = {name: holds for name, holds in folders.items() if getattr(config, name)}
    out = Path(getattr(config, "out", "."))
    if (out / "state.pt").exists():
        _check_origin(out, config, folders)
        return []
    if not folders:
        return []
    source = load_source(config.base) if hasattr(config, "base") else None
    resolution = source.G.resolution if source else config.resolution
    diagnoses = []
    for name, holds in folders.items():
        paths = getattr(config, "attributes", "") if holds == EXEMPLARS else ""
        split = [path.strip() for path in paths.split(",")]
        folder = getattr(config, name)
        diagnoses.append(examine(folder, resolution, source, holds=holds, attributes=split))
    diagnoses[0] = replace(diagnoses[0], findings=(*diagnoses[0].findings, *_left_out(config)))
    write_diagnoses(out, diagnoses)
    if any(diagnosis.severity == STOP for diagnosis in diagnoses):
        told = "\n".join(diagnosis.text() for diagnosis in diagnoses)
        raise DataError(f"{told}\nNothing was trained. --skip-doctor trains all the same.")
    return diagnoses


def _check_origin(out: Path, config: Any, folders: Iterable[str]) -> None:
    """Refuse to go on with the run of another style, which the default run folder invites to."""
    file = out / "config.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in folders:
        old, new = before.get(name), getattr(config, name)
        if old and Path(old).resolve() != Path(new).resolve():
            raise TrainingError(
                f"{out} is a run with --{name} {old}, not {new}: choose another folder with --out "
                f"(if the pictures only moved, correct {file})"
            )


def distance(read: Sequence[checks.Picture], source: Source) -> float:
    """How unlike the base's own pictures square ones are in colour and texture: 0 .. 1.

    The energy coefficient of Gram matrices in the eyes of the base's discriminator.
    """
    size, eyes = source.G.resolution, discriminator_eyes(source.D)
    tiles = [Image.fromarray(p.rgb).resize((size, size), Image.Resampling.LANCZOS) for p in read]
    shown = torch.from_numpy(np.stack([np.asarray(tile) for tile in tiles])).permute(0, 3, 1, 2)
    z = torch.randn(MOST_COMPARED, source.G.mapping.z_dim, generator=seeded("doctor"))
    with torch.inference_mode():
        drawn = torch.cat([eyes.style(source.G(rows)) for rows in z.split(8)])
    return energy_coefficient(torch.cat([eyes.style(as_float(x)) for x in shown.split(8)]), drawn)


def _interpreted(found: float) -> Finding:
    """What the distance means for the training."""
    scale = f"({found:.2f}; photos 0.01, oil portraits 0.11, pencil drawings 0.49)"
    if found < NEAR:
        return Finding("distance", FINE, f"near the base {scale}: 400 steps of 4 pictures show it")
    if found < FAR:
        remedy = "about 400 steps of 4 pictures; watch the sample grids"
        return Finding("distance", NOTE, f"some way from the base {scale}", remedy)
    remedy = "train longer, or freer: --sim-weight 0.5 (train.transfer)"
    return Finding("distance", NOTE, f"far from the base {scale}", remedy)


def _left_out(config: Any) -> Iterator[Finding]:
    """What a training can do without, and is worse for it."""
    if not getattr(config, "photos", "given"):
        text = "no --photos: the style learns from random faces, which a small base draws badly"
        remedy = f"give {FEW_PHOTOS} portrait photos or more: python -m train.prepare makes a set"
        yield Finding("photos", WARNING, text, remedy)
    if not getattr(config, "perceptual", "given"):
        text = "no --perceptual: the base's discriminator watches over eyes and mouths, less well"
        yield Finding("perceptual", NOTE, text, "python -m demo.doctor fetch squeezenet")


def _detector_of(source: Source | None) -> Detector:
    if source and source.pack.has(DETECTOR_FILE):
        return EmbeddedDetector(detector_from_state(source.pack.state(DETECTOR_FILE)))
    return EmbeddedDetector.from_file()


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; 0 if the set can be trained on, 1 if not, 2 if the base cannot be read."""
    parser = argparse.ArgumentParser(description="Look at a training set before training on it.")
    parser.add_argument("folder", type=Path, help="aligned square pictures, as of train.prepare")
    parser.add_argument("--base", default="engine/packs/base", help="base pack to start from")
    parser.add_argument("--attributes", default="", help="paths, separated by commas")
    args = parser.parse_args(argv)
    try:
        source = load_source(args.base)
    except StylizeError as error:
        print(error)
        return 2
    names = [name.strip() for name in args.attributes.split(",")]
    diagnosis = examine(args.folder, source.G.resolution, source, attributes=names)
    print(diagnosis.text())
    return 1 if diagnosis.severity == STOP else 0


if __name__ == "__main__":
    raise SystemExit(main())
