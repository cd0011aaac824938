"""Recipe: pseudo-pairs of exemplars and photos (Lu & Zhou 2025, arXiv 2506.22022, Section 3.2).

For every exemplar S three codes, each of which draws a "photo" P_k = G(w_k) of the same person:

    1  embedding      z1 = E_z+(S),  w1 = mapping(z1)                                 (Equation 4)
    2  optimisation   z2 = argmin LPIPS + 0.1 identity of (G*(z), S), from z1         (Equation 5)
    3  refinement     w3 = E_w+(P2)                                                   (Equation 6)

G* is a generator fine-tuned without constraints: any style of the base, made by train.transfer
(`--tuned`); 1000 steps of Adam at 0.02, one picture at a time, compared at 256 px. Equation 6
prints E_w+(S), but the text refines P2 and shows that embedding S itself in W+ fails (Figure 13),
so that P2 is encoded. A base without an encoder into W+ continues the search through G* in W+
instead, for a few steps and with a prior towards w_avg, because a long search breaks the picture.

The sheet shows exemplar | P1 P2 P3 | G*(w1) G*(w2) G*(w3): choose the level that train.paired gets
from it. Rerun the same command to continue after a stop; finished batches are kept.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from engine.errors import DataError, OptionError, TrainingError
from engine.inversion import InversionSettings, invert
from engine.library import StyleLibrary
from engine.runtime import Runtime
from engine.style import Style
from train.config import run_recipe
from train.data import ImageSet, as_float, load_images
from train.distributed import join_processes, num_processes, rank, wait_for_all
from train.loop import save_grid
from train.semantic import (
    IDENTITY_LEFT_OUT,
    check_size,
    identity_distance,
    perceptual_distance,
    perceptual_name,
    resized,
)

FILE, FORMAT = "codes.safetensors", "pairs-1"
LEVELS = ("level1", "level2", "level3")
SHEET_ROWS = 24


@dataclass(frozen=True)
class PairsConfig:
    """Settings of train.pairs; the defaults are those of the paper."""

    data: str = field(default="", metadata={"help": "folder of aligned exemplars"})
    tuned: str = field(default="", metadata={"help": "style pack fine-tuned on them: G*"})
    out: str = field(default="runs/pairs", metadata={"help": "folder to write; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz, or lpips"})
    identity: str = field(default="", metadata={"help": "ArcFace file, or nothing"})
    steps: int = field(default=1000, metadata={"help": "of the optimisation in Z+"})
    lr: float = field(default=0.02, metadata={"help": "of Adam there"})
    identity_weight: float = field(default=0.1, metadata={"help": "beside LPIPS at 1"})
    prior_weight: float = field(default=0.0, metadata={"help": "keeps z at the length of samples"})
    refine_steps: int = field(default=100, metadata={"help": "in W+, without an encoder into it"})
    refine_lr: float = field(default=0.01, metadata={"help": "of Adam there"})
    refine_prior: float = field(default=0.01, metadata={"help": "closeness to w_avg there"})
    batch: int = field(default=1, metadata={"help": "exemplars searched at once"})
    size: int = field(default=256, metadata={"help": "side at which pictures are compared"})
    limit: int = field(default=0, metadata={"help": "use the first exemplars only; 0: all"})

    def __post_init__(self) -> None:
        """Refuse what cannot be searched."""
        if self.batch < 1 or self.limit < 0:
            raise OptionError(
                f"--batch {self.batch} must be at least 1, --limit {self.limit} at least 0"
            )
        check_size(self.size)
        for settings in (self.optimisation, self.refinement):  # which refuse what they cannot do
            settings()

    def optimisation(self) -> InversionSettings:
        """The search in Z+ (Equation 5): Adam at one rate."""
        return InversionSettings(
            space="z+",
            steps=self.steps,
            lr=self.lr,
            ramp_up=0.0,
            ramp_down=0.0,
            prior_weight=self.prior_weight,
            identity_weight=self.identity_weight if self.identity else 0.0,
        )

    def refinement(self) -> InversionSettings:
        """The search in W+ that stands in for an encoder into it."""
        return InversionSettings(
            space="w+",
            steps=self.refine_steps,
            lr=self.refine_lr,
            ramp_up=0.0,
            prior_weight=self.refine_prior,
            identity_weight=self.identity_weight if self.identity else 0.0,
        )


PRESETS = {
    "paper": PairsConfig(),
    "cpu": PairsConfig(steps=80, lr=0.05, prior_weight=0.01, refine_steps=30, batch=8, size=128),
}


@dataclass(frozen=True)
class Pairs:
    """Pseudo-pairs of N exemplars.

    Attributes:
        codes: [N, L, 512] by level, 1 to 3.
        files: names of the exemplars, in order.
        base_sha256: of the generator that draws the codes.
        settings: those of the search and what it reached.
    """

    codes: dict[int, Tensor]
    files: tuple[str, ...]
    base_sha256: str
    settings: dict[str, object]


def load_pairs(folder: str | Path) -> Pairs:
    """Read what train.pairs wrote.

    Raises:
        DataError: the file is missing, damaged, or something else.
    """
    path = Path(folder) / FILE
    try:
        tensors, metadata = _read(path)
        if metadata["format"] != FORMAT:
            raise ValueError(f"its format is {metadata['format']!r}")
        codes = {i + 1: tensors[name] for i, name in enumerate(LEVELS)}
        files = tuple(json.loads(metadata["files"]))
        if any(len(code) != len(files) or code.ndim != 3 for code in codes.values()):
            raise ValueError("codes and names differ in number")
        return Pairs(codes, files, metadata["base_sha256"], json.loads(metadata["settings"]))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(
            f"{path} holds no pseudo-pairs ({error}): make them with python -m train.pairs"
        ) from error


class Search:
    """Finds the three codes of exemplars that share an attribute path of the tuned style."""

    def __init__(self, config: PairsConfig, style: Style, runtime: Runtime):
        self.config, self.style, self.base = config, style, style.base
        self.perceptual = perceptual_distance(config.perceptual, config.size, runtime.device)
        self.identity = identity_distance(config.identity, config.size, runtime.device)

    def __call__(self, images: Tensor, path: int) -> dict[str, Tensor]:
        """Codes [n, L, 512] per level for exemplars [n, 3, R, R] in [-1, 1]."""
        tuned = self.style.network(path)
        encoder = self.base.encoder_into("z+")
        first = self.base.encode(resized(images, encoder.input_size), "z+")
        terms = {"distance": self.perceptual, "identity": self.identity}
        second = invert(tuned, images, self.config.optimisation(), start=first.mu, **terms)
        if "w+" in self.base.encoders:
            with torch.inference_mode():
                photo = self.base.generator.synthesis(second.ws.to(images.device))
            refiner = self.base.encoder_into("w+")
            third = self.base.encode(resized(photo, refiner.input_size), "w+").ws
        else:
            third = invert(tuned, images, self.config.refinement(), start=second.ws, **terms).ws
        found = (first.ws, second.ws, third)
        return {name: ws.contiguous() for name, ws in zip(LEVELS, found, strict=True)}


def train(config: PairsConfig) -> None:
    """Search all exemplars, continue by rerunning, and write codes and sheet."""
    if not config.tuned:
        raise OptionError(
            "no style to search through: make one with train.transfer, name it with --tuned"
        )
    runtime = join_processes()
    style = StyleLibrary().load(str(Path(config.tuned).absolute()), runtime)
    exemplars = load_images(config.data, style.base.generator.resolution)
    if config.limit:
        exemplars = _some(exemplars, list(range(len(exemplars)))[: config.limit])
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    search = Search(config, style, runtime)
    fingerprint = _fingerprint(config, style, exemplars)
    files, order = [], []
    for number, (rows, path) in enumerate(tqdm(list(_batches(config, style, exemplars)))):
        file = out / f"batch-{number:04d}.safetensors"
        files.append(file)
        order += rows
        if number % num_processes() == rank() and not _is_done(file, fingerprint):
            images = as_float(exemplars.images[rows]).to(runtime.device)
            _write(file, search(images, path), {"fingerprint": fingerprint})
    wait_for_all()
    if rank() > 0:
        return
    parts = [_read(file)[0] for file in files]
    back = torch.tensor(order).argsort()
    codes = {name: torch.cat([part[name] for part in parts])[back] for name in LEVELS}
    reached = _draw_sheet(out / "sheet.png", search, exemplars, codes)
    settings = {**asdict(config), "style": style.card.name, "distance_of_levels": reached}
    settings |= {"measured_with": perceptual_name(config.perceptual)}
    settings |= {} if config.identity else {"left_out": [IDENTITY_LEFT_OUT]}
    metadata = {
        "format": FORMAT,
        "files": json.dumps(exemplars.files),
        "settings": json.dumps(settings),
        "base_sha256": style.base.sha256,
    }
    _write(out / FILE, codes, metadata)
    (out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _batches(
    config: PairsConfig, style: Style, exemplars: ImageSet
) -> Iterator[tuple[list[int], int]]:
    """Rows of exemplars that are searched together, and the attribute path they share."""
    paths = [
        style.card.path_of(name if name in style.card.attributes else None)
        for name in exemplars.attributes
    ]
    for path in sorted(set(paths)):
        rows = [row for row, own in enumerate(paths) if own == path]
        for start in range(0, len(rows), config.batch):
            yield rows[start : start + config.batch], path


@torch.inference_mode()
def _draw_sheet(
    file: Path, search: Search, exemplars: ImageSet, codes: dict[str, Tensor]
) -> list[float]:
    """Draw the sheet; returns the mean distance of G*(w_k) to the exemplars shown, per level."""
    device = search.base.runtime.device
    step = -(-len(exemplars) // SHEET_ROWS)
    shown = _some(exemplars, list(range(0, len(exemplars), step)))
    paths = dict(_path_of_rows(search, shown))
    rows, distances = [], []
    for i in range(len(shown)):
        exemplar = as_float(shown.images[i : i + 1]).to(device)
        ws = torch.cat([codes[name][i * step][None] for name in LEVELS]).to(device)
        drawn = search.style.network(paths[i]).synthesis(ws)
        distances.append(search.perceptual(drawn, exemplar.expand_as(drawn)).cpu())
        rows.append(torch.cat([exemplar, search.base.generator.synthesis(ws), drawn]).cpu())
    save_grid(file, torch.cat(rows), columns=1 + 2 * len(LEVELS))
    return [round(x, 4) for x in torch.stack(distances).mean(0).tolist()]


def _path_of_rows(search: Search, exemplars: ImageSet) -> Iterator[tuple[int, int]]:
    for rows, path in _batches(search.config, search.style, exemplars):
        yield from ((row, path) for row in rows)


def _some(data: ImageSet, rows: list[int]) -> ImageSet:
    names = (tuple(values[i] for i in rows) for values in (data.attributes, data.files))
    return ImageSet(data.images[rows], *names)


def _fingerprint(config: PairsConfig, style: Style, exemplars: ImageSet) -> str:
    """Hash of everything a batch depends on."""
    settings = {k: v for k, v in asdict(config).items() if k not in ("out", "data", "tuned")}
    text = json.dumps([settings, style.card.sha256, style.base.sha256])
    return hashlib.sha256(text.encode() + exemplars.images.numpy().tobytes()).hexdigest()


def _is_done(file: Path, fingerprint: str) -> bool:
    if not file.exists():
        return False
    if _read(file)[1].get("fingerprint") != fingerprint:
        raise TrainingError(
            f"{file} was made from other exemplars, styles or settings: choose another folder with "
            "--out, or repeat the command that made it"
        )
    return True


def _read(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(file, framework="pt") as content:
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        return tensors, content.metadata() or {}


def _write(file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    part = file.with_name(file.name + ".part")
    save_file({k: v.cpu().contiguous() for k, v in tensors.items()}, part, metadata)
    part.replace(file)


if __name__ == "__main__":
    run_recipe(PairsConfig, PRESETS, train, __doc__)
