"""What all tables work with: parts trained once, photos looked at once, inversions kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.base import Base, freeze, read_base
from engine.errors import Cancelled, DataError, TrainingError
from engine.inversion import PRESETS, Inversion, InversionCache, invert
from engine.inversion.cache import cache_key
from engine.library import StyleLibrary
from engine.models.stylegan2 import Generator, generator_from_state
from engine.pack import load_pack
from engine.runtime import pick_runtime
from engine.style import Style
from train import metrics
from train.compare_inversions import METHODS, starts
from train.data import SUFFIXES, as_float, load_images, seeded
from train.evaluate import spread
from train.features import squeezenet_eyes
from train.loop import save_grid
from train.packs import Source, load_source
from train.reproduce.settings import Settings
from train.reproduce.table import Number, mean_of, number
from train.seen import Instruments, Photos, Result, Seen, drawn_by, encode_photos, seen_size
from train.semantic import perceptual_distance

FINISHED = "finished.json"
BATCH = 8  # pictures inverted at once, and drawn for a distance of models
CACHE_BYTES = 2**32


@dataclass(frozen=True)
class Part:
    """One run of a recipe.

    Attributes:
        name: of its run folder.
        train: the recipe's function.
        config: its settings; `out` is the run folder.
        images: how many it has seen when it is finished; 0: it returns only then.
    """

    name: str
    train: Callable[[Any], None]
    config: Any
    images: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The settings that differ from the recipe's defaults, as JSON values."""
        given = {f.name: getattr(self.config, f.name) for f in fields(self.config)}
        changed = {f.name: given[f.name] for f in fields(self.config) if given[f.name] != f.default}
        return {"name": self.name, "recipe": self.train.__module__, "images": self.images} | changed


class Workshop:
    """The base, the photos, the exemplars, the instruments, and everything made so far."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.runtime = settings, pick_runtime()
        self.out = Path(settings.out)
        self.parts: list[Part] = []  # those this process asked for
        eyes = squeezenet_eyes(settings.perceptual, self.runtime.device)
        self.tools = Instruments(eyes, None, settings.seed)

    def run(self, part: Part) -> Path:
        """Train a part unless that is done, going on where it was stopped; returns its folder.

        Raises:
            Cancelled: the user stopped it.
            TrainingError: the folder holds a part of other settings.
        """
        self.parts.append(part)
        folder = Path(part.config.out)
        settings = json.loads(json.dumps(asdict(part.config), default=str))
        done = folder / FINISHED
        if done.is_file():
            if json.loads(done.read_text(encoding="utf-8")) != settings:
                raise TrainingError(
                    f"{folder} was finished with other settings, which are in {done}: choose "
                    "another folder with --out, or remove this one"
                )
            return folder
        part.train(part.config)
        if part.images and _images_seen(folder) < part.images:
            raise Cancelled(f"{part.name} was stopped; the same command goes on with it")
        done.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        return folder

    @cached_property
    def base(self) -> Base:
        """The base, for drawing and encoding."""
        return read_base(load_pack(self.settings.base), self.runtime)

    @cached_property
    def source(self) -> Source:
        """The base as training sees it, on its device."""
        source = load_source(self.settings.base)
        for network in (source.G, source.D, source.E):
            if network is not None:
                network.to(self.runtime.device)
        return source

    @cached_property
    def photos(self) -> Photos:
        """The test photos in the codes of the base's own encoder."""
        return self.encoded(self.base, self.base.pack.card.encoder_space)

    @cached_property
    def exemplars(self) -> Seen:
        """All exemplars of the style."""
        data = load_images(self.settings.drawings, seen_size(self.base))
        return Seen(as_float(data.images), self.tools)

    def encoded(self, base: Base, space: str) -> Photos:
        """The test photos in the codes of one of a base's encoders."""
        size = max(seen_size(base), base.encoder_into(space).input_size)
        data = load_images(Path(self.settings.data) / "photos" / "test", size)
        data = replace(data, images=spread(data.images, self.settings.photos))
        return encode_photos(base, space, data, self.tools, with_detail=False)

    def chosen(self, photos: Photos) -> Photos:
        """Those of the photos that are optimised as well."""
        count = self.settings.inverted
        seen, rebuilt = (
            Seen(spread(x.pictures, count), self.tools) for x in (photos.seen, photos.rebuilt)
        )
        return Photos(seen, spread(photos.ws, count), rebuilt)

    def style(self, folder: str | Path) -> Style:
        """Load a style pack of this base."""
        library = StyleLibrary([Path(self.settings.base).parent])
        return library.load(str(Path(folder).absolute()), self.runtime)

    def trained_generator(self, folder: Path) -> Generator:
        """The average generator of a run, its own mapping included, which a pack does not keep."""
        saved = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
        return freeze(generator_from_state(saved["parts"]["G_ema"]), self.runtime)

    def invert(self, method: str, photos: Photos, start: Tensor | None = None) -> Inversion:
        """Optimise codes of photos as a method of train.compare_inversions does.

        Args:
            method: a key of METHODS.
            photos: at the size of the generator.
            start: codes to start from instead of those of the method.
        """
        preset, begin = METHODS[method]
        recipe = replace(PRESETS[preset], steps=self.settings.steps)
        cache = InversionCache(self.out / "inversions", CACHE_BYTES)
        found = []
        for first in range(0, len(photos.ws), BATCH):
            pictures = photos.seen.pictures[first : first + BATCH].to(self.runtime.device)
            codes = starts(self.source, pictures)[begin]
            codes = codes if start is None else start[first : first + BATCH]
            origin = b"" if codes is None else codes.cpu().numpy().tobytes()
            key = cache_key(
                pictures.cpu().numpy().tobytes() + origin,
                self.base.sha256,
                recipe,
                f"{self.settings.perceptual} {self.settings.size}",
            )
            inversion = cache.get(key) or invert(
                self.source.G, pictures, recipe, distance=self._distance, start=codes
            )
            cache.put(key, inversion)
            found.append(inversion)
        joined = {
            name: torch.cat([getattr(part, name) for part in found])
            for name in ("ws", "code", "losses", "picture")
        }
        return Inversion(**joined, noise=None, settings=recipe)

    @cached_property
    def _distance(self) -> Any:
        settings = self.settings
        return perceptual_distance(settings.perceptual, settings.size, self.runtime.device)

    def stylized(self, style: Style, ws: Tensor, photos: Photos) -> tuple[dict[str, Number], Seen]:
        """How near results are to the exemplars, and to their photos: (numbers, the results)."""
        drawn = Seen(drawn_by(style.synthesize, ws), self.tools)
        eyes, wanted = self.tools.eyes, self.exemplars
        counts = (len(ws), len(wanted.pictures))

        def fid(rows: slice) -> float:
            return metrics.frechet_distance(drawn.pooled[rows], wanted.pooled)

        def kid(rows: slice) -> float:
            generator = seeded(self.settings.seed, "kid")
            return metrics.kernel_distance(drawn.pooled[rows], wanted.pooled, generator).mean

        numbers = {
            "FID": number("fid", eyes.pooled.name, counts, fid),
            "KID": number("kid", eyes.pooled.name, counts, kid),
            "LPIPS_s": self.distance_of(drawn, photos.seen),
        }
        return numbers, drawn

    def distance_of(self, a: Seen, b: Seen) -> Number:
        """Perceptual distance of picture i to picture i."""
        return mean_of(
            "perceptual",
            (a.perceptual - b.perceptual).square().sum(dim=1),
            self.tools.eyes.perceptual.name,
        )

    def model_distance(self, draw: Callable[[Tensor], Tensor]) -> Number:
        """UI2I's Equation 1 between the base and `draw`, z [n, z_dim] -> pictures."""
        G, look, device = self.base.generator, self.tools.eyes.perceptual, self.runtime.device
        generator = seeded(self.settings.seed, "model distance")
        z = torch.randn(self.settings.codes, G.mapping.z_dim, generator=generator)

        def distance(a: Tensor, b: Tensor) -> Tensor:
            return (look(a) - look(b)).square().sum(dim=1)

        halves = tuple(
            metrics.model_distance(
                lambda x: G(x.to(device)), lambda x: draw(x.to(device)), x, distance
            )
            for x in (z[::2], z[1::2])
        )
        mean = (len(z[::2]) * halves[0] + len(z[1::2]) * halves[1]) / len(z)
        return Number(Result("model distance", mean, look.name, (len(z),)), halves)

    def copied(self, folder: Path, name: str, count: int) -> Path:
        """Copy `count` pictures of a folder, evenly spread, to OUT/NAME; all if there are fewer."""
        files = pictures_in(folder)
        rows = spread(torch.arange(len(files)), count).tolist()
        target = self.out / name
        target.mkdir(parents=True, exist_ok=True)
        for row in rows:
            copy = target / files[row].name
            if not copy.is_file():
                shutil.copyfile(files[row], copy)
        return target

    def save_figure(self, name: str, rows: Sequence[Tensor]) -> str:
        """Write rows of pictures [n, 3, R, R] below each other as DOCS/NAME.jpg; its file name."""
        folder = Path(self.settings.docs)
        folder.mkdir(parents=True, exist_ok=True)
        save_grid(folder / f"{name}.jpg", torch.cat(list(rows)), columns=len(rows[0]))
        return f"{name}.jpg"


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder by name; raises DataError without any."""
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(
            f"no pictures in {folder}; a folder with photos/train, photos/test and styles is "
            "accepted: name it with --data"
        )
    return files


def _images_seen(folder: Path) -> int:
    return torch.load(folder / "state.pt", map_location="cpu", weights_only=True)["cur_nimg"]
