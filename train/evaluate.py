"""Measure packs: how well a base gives photos back, how well a style is one and keeps the face.

    python -m train.evaluate engine/packs/base engine/packs/comic \
        --photos ../shared/data/photos/test --exemplars ../shared/data/styles \
        --perceptual squeezenet_v1.0.npz --identity mobilefacenet.npz --out runs/evaluation

Prints one table of the bases and one of the styles, an attribute path a row, with size, speed and
training cost as in Lu & Zhou (2025), Table 3. Writes evaluation.json, figure.png and a sheet of
pictures per pack. What each number is, is said in train/metrics; its name in the JSON says from
which extractor and how many pictures. Nothing is kept between runs, and nothing is downloaded.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from engine.base import Base, read_base
from engine.errors import OptionError, StylizeError
from engine.inversion import lpips_distance
from engine.library import StyleLibrary
from engine.models.mobilefacenet import MobileFaceNet
from engine.pack import load_pack, read_card
from engine.runtime import Runtime, pick_runtime
from engine.style import Style
from train import figures
from train.cost import cost, encoders_of, seconds_per_image
from train.data import ImageSet, load_images
from train.features import IdentityFeatures, discriminator_eyes, squeezenet_eyes
from train.loop import save_grid
from train.measures import measure_base, measure_style
from train.seen import Instruments, Photos, Result, drawing, encode_photos, seen_size

SHOWN = 8  # photos of a sheet
LEAST_PHOTOS = 8
COSTS = {
    "params M": lambda row: f"{row['parameters'] / 1e6:.1f}",
    "res.": lambda row: str(row["resolution"]),
    "ms/image": lambda row: f"{1000 * row['seconds_per_image']:.0f}",
    "train h": lambda row: _or_dash(row["training_hours"]),
    "images seen": lambda row: _or_dash(row["images_seen"]),
}


@dataclass(frozen=True)
class Evaluation:
    """One row: a base, or one attribute path of a style."""

    name: str
    kind: str
    results: list[Result]
    cost: Mapping[str, Any]
    plane: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def number(self, metric: str) -> float:
        """Return the value of a metric, by its short name."""
        return next(r.value for r in self.results if r.metric == metric)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values, the numbers under their full names."""
        numbers = {r.name: r.value for r in self.results}
        numbers |= {f"{r.name}_deviation": r.deviation for r in self.results if r.deviation}
        return {"name": self.name, "kind": self.kind, "results": numbers, "cost": self.cost}


class Evaluator:
    """The photos, exemplars and networks that all packs are measured with."""

    def __init__(self, arguments: argparse.Namespace, runtime: Runtime) -> None:
        self.arguments, self.runtime = arguments, runtime
        self.library = StyleLibrary()
        self.out = Path(arguments.out)
        self._photos: dict[tuple[str, str], Photos] = {}
        self._bases: dict[str, Base] = {}

    def evaluate(self, name: str) -> Iterator[Evaluation]:
        """Measure one pack, by name or folder; a row each. Raises StylizeError."""
        folder = self.library.find(name)
        if read_card(folder).kind == "base":
            yield self._of_base(folder)
        else:
            yield from self._of_style(self.library.load(name))

    def _of_base(self, folder: Path) -> Evaluation:
        base = read_base(load_pack(folder), self.runtime)
        base = self._bases.setdefault(base.sha256, base)
        card = base.pack.card
        photos = self._photos_of(base, card.encoder_space)
        results, plane = measure_base(base, photos)
        seconds = seconds_per_image(base, card.encoder_space, drawing(base))
        networks = [*encoders_of(base, card.encoder_space), base.generator]
        costs = {**cost(card, networks), "seconds_per_image": seconds}
        self._save_sheet(card.name, [plane.pop(k) for k in ("photos", "rebuilt", "samples")])
        return Evaluation(card.name, card.kind, results, costs, plane)

    def _of_style(self, style: Style) -> Iterator[Evaluation]:
        card = style.card
        photos = self._photos_of(style.base, card.encoder_space)
        exemplars = self._exemplars_of(card.name, seen_size(style.base))
        sheet = [photos.seen.pictures]
        for path, attribute in enumerate(card.attributes or ("",)):
            wanted = exemplars.of(attribute) if attribute in exemplars.attributes else exemplars
            results, pictures = measure_style(style, photos, wanted, path)
            sheet.append(pictures)
            networks = [*encoders_of(style.base, card.encoder_space), style.network(path)]

            def draw(
                ws: torch.Tensor, detail: torch.Tensor | None = None, path: int = path
            ) -> torch.Tensor:
                return style.synthesize(ws, path=path, detail=detail)

            seconds = seconds_per_image(style.base, card.encoder_space, draw)
            costs = {**cost(card, networks), "seconds_per_image": seconds}
            label = f"{card.name} {attribute}".strip()
            yield Evaluation(label, card.kind, results, costs)
        self._save_sheet(card.name, sheet)

    def _photos_of(self, base: Base, space: str) -> Photos:
        """The photos, encoded and looked at once for all packs of one base."""
        key = (base.sha256, space)
        if key not in self._photos:
            size = max(seen_size(base), base.encoder_into(space).input_size)
            data = load_images(self.arguments.photos, size)
            data = replace(data, images=spread(data.images, self.arguments.count))
            if len(data.images) < LEAST_PHOTOS:
                raise OptionError(
                    f"{len(data.images)} photos in {self.arguments.photos}; at least "
                    f"{LEAST_PHOTOS} are accepted: name a larger folder, or raise --count"
                )
            self._photos[key] = encode_photos(base, space, data, self._instruments(base))
        return self._photos[key]

    def _instruments(self, base: Base) -> Instruments:
        arguments, device = self.arguments, self.runtime.device
        if arguments.perceptual:
            eyes = squeezenet_eyes(arguments.perceptual, device)
        else:
            eyes = discriminator_eyes(base.discriminator)
        identity = None
        if arguments.identity:
            identity = IdentityFeatures(MobileFaceNet.from_npz(arguments.identity).to(device))
        lpips = lpips_distance(network="alex") if arguments.lpips else None
        return Instruments(eyes, identity, arguments.seed, lpips)

    def _exemplars_of(self, name: str, size: int) -> ImageSet:
        """Those of FOLDER/NAME if there is such a folder, else of FOLDER."""
        if not self.arguments.exemplars:
            raise OptionError(
                f"style {name} is measured against its exemplars: name their folder, or a folder "
                "that holds one per style, with --exemplars"
            )
        folder = Path(self.arguments.exemplars)
        return load_images(folder / name if (folder / name).is_dir() else folder, size)

    def _save_sheet(self, name: str, rows: Sequence[torch.Tensor]) -> None:
        """Rows of pictures below each other: the photos, then what became of each."""
        self.out.mkdir(parents=True, exist_ok=True)
        tiles = [spread(row, SHOWN) for row in rows]
        save_grid(self.out / f"sheet-{name}.png", torch.cat(tiles), len(tiles[0]))


def spread(pictures: torch.Tensor, count: int) -> torch.Tensor:
    """Return `count` of [N, ...], evenly spread; all for 0, or if there are no more."""
    if not 0 < count < len(pictures):
        return pictures
    return pictures[torch.linspace(0, len(pictures) - 1, count).long()]


def table(rows: Sequence[Evaluation]) -> list[str]:
    """Return the lines of a table: a row per evaluation, a column per metric and cost.

    What was not measured of a row is a dash: grey styles have no drift of the skin's colour.
    """
    metrics = dict.fromkeys(result.metric for row in rows for result in row.results)
    names, texts = [*metrics, *COSTS], []
    for row in rows:
        found = {result.metric: f"{result.value:.3g}" for result in row.results}
        found |= {name: of(row.cost) for name, of in COSTS.items()}
        texts.append([found.get(name, "-") for name in names])
    head = max(len(row.name) for row in rows)
    lines = [""]
    for first in range(0, len(names), 9):  # nine columns fit a terminal
        part = slice(first, first + 9)
        widths = [max(10, len(name) + 2) for name in names[part]]
        labels = [("", names)] + [(row.name, text) for row, text in zip(rows, texts, strict=True)]
        for label, cells in labels:
            cells = zip(cells[part], widths, strict=True)
            lines.append(f"{label:<{head}}" + "".join(f"{c:>{width}}" for c, width in cells))
        lines.append("")
    return lines


def evaluate(arguments: argparse.Namespace) -> Iterator[str]:
    """Measure all packs, write the files, and yield the lines of the tables."""
    if not arguments.photos:
        raise OptionError("no folder of aligned photos given: name one with --photos")
    runtime = pick_runtime()
    evaluator = Evaluator(arguments, runtime)
    rows = []
    for name in arguments.packs:
        for row in evaluator.evaluate(name):
            rows.append(row)
            yield f"measured {row.name}"  # a row takes a minute on two processors
    settings = {**vars(arguments), "device": runtime.reason, "torch": torch.__version__}
    document = {"settings": settings, "rows": [row.to_dict() for row in rows]}
    file = evaluator.out / "evaluation.json"
    file.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    figures.save_evaluation(evaluator.out / "figure.png", rows)
    for kinds in (["base"], ["blended", "swapped"]):
        if chosen := [row for row in rows if row.kind in kinds]:
            yield from table(chosen)
    yield f"{file}, figure.png and a sheet per pack written; {runtime.reason}"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and print the tables; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packs", nargs="+", metavar="PACK", help="names or folders")
    parser.add_argument("--photos", default="", help="folder of aligned photos, not trained on")
    parser.add_argument("--exemplars", default="", help="drawings, or a folder of them per style")
    parser.add_argument("--out", default="runs/evaluation", help="folder for what is written")
    parser.add_argument("--count", type=int, default=0, help="photos, spread over all; 0: all")
    parser.add_argument(
        "--perceptual", default="", help="squeezenet_v1.0.npz; left out: the base's discriminator"
    )
    parser.add_argument("--identity", default="", help="mobilefacenet.npz; left out: no identity")
    parser.add_argument(
        "--lpips", action="store_true", help="AlexNet's LPIPS too; torch must have its weights"
    )
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn")
    try:
        for line in evaluate(parser.parse_args(argv)):
            print(line, flush=True)
    except StylizeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
