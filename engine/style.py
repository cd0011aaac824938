"""Styles, loaded: a card, its networks, and the one call every method shares.

    image = style.synthesize(content_ws, style_ws, weights)

Content meets style in latent space (`BlendedStyle`: AgileGAN, Toonify, BlendGAN) or inside the
generator (`SwappedStyle`: UI2I-StyleGAN2). Loaded styles are read-only and shared by all threads;
nothing of a visitor is kept here.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import CheckpointError, PackError
from engine.latent import blend
from engine.models.detector import FaceNetwork, detector_from_state
from engine.models.encoder import FeaturePyramidEncoder, encoder_from_state
from engine.models.stylegan2 import Generator, generator_from_state
from engine.pack import (
    CARD_FILE,
    GENERATOR_FILE,
    Card,
    Pack,
    State,
    load_pack,
    read_card,
    save_pack,
    search_folders,
)
from engine.runtime import Runtime, pick_runtime
from engine.surgery import interpolate

__all__ = ["Base", "BlendedStyle", "Card", "Pack", "StyleLibrary", "SwappedStyle", "load_pack",
           "save_pack", "search_folders"]  # fmt: skip

ENCODER_FILE, DETECTOR_FILE = "encoder.safetensors", "detector.safetensors"
NUM_KEPT_NETWORKS = 3
STRENGTH_STEPS = 100


@dataclass(frozen=True, eq=False)
class Base:
    """What styles share: source generator with w_avg; encoder and detector if the pack has them."""

    pack: Pack
    runtime: Runtime
    generator: Generator
    encoder: FeaturePyramidEncoder | None
    detector: FaceNetwork | None

    @property
    def sha256(self) -> str:
        """Hash of the source generator: portraits and styles fit together if theirs are equal."""
        return self.pack.card.files[GENERATOR_FILE]


class BlendedStyle:
    """A style whose content and style codes meet in latent space."""

    def __init__(self, pack: Pack, base: Base) -> None:
        self.pack, self.card, self.base = pack, pack.card, base
        self._state = _synthesis_state(pack, base)
        self._networks: OrderedDict[tuple[int, int], Generator] = OrderedDict()
        self._lock = threading.Lock()

    def synthesize(
        self,
        content_ws: Tensor,
        style_ws: Tensor | None = None,
        weights: Tensor | float | None = None,
        *,
        path: int = 0,
        strength: float = 1.0,
    ) -> Tensor:
        """Draw the picture of some codes.

        Args:
            content_ws: [N, L, w_dim], what is shown.
            style_ws: [N, L, w_dim], how it is shown; None: the codes of the content.
            weights: [L] or one number, how much of `style_ws`; None: all of it.
            path: index of the attribute path.
            strength: 0 draws with the source generator, 1 with that of the style, between them
                with the interpolated weights, in steps of 0.01.

        Returns:
            float32 [N, 3, R, R], nominally in [-1, 1].
        """
        with torch.inference_mode():
            network = self.network(path, strength)
            return network.synthesis(self._codes(content_ws, style_ws, weights))

    def network(self, path: int = 0, strength: float = 1.0) -> Generator:
        """Return the generator between source (0) and style (1); the last few are kept."""
        step = round(strength * STRENGTH_STEPS)
        if step == 0:
            return self.base.generator
        with self._lock:
            if (path, step) not in self._networks:
                self._networks[path, step] = self._build(path, step / STRENGTH_STEPS)
            self._networks.move_to_end((path, step))
            while len(self._networks) > NUM_KEPT_NETWORKS:
                self._networks.popitem(last=False)
            return self._networks[path, step]

    def _build(self, path: int, strength: float) -> Generator:
        source = {name: value.cpu() for name, value in self.base.generator.state_dict().items()}
        style = {**source, **_one_path(self._state, path)}
        mixed = style if strength == 1 else interpolate(source, style, strength)
        # Not as inference tensors: an inversion may need gradients through this network later.
        with torch.inference_mode(False):
            generator = generator_from_state(mixed)
            generator.synthesis.dtype = self.base.runtime.dtype
            return _freeze(generator, self.base.runtime)

    def _codes(self, content_ws: Tensor, style_ws: Tensor | None, weights: Any) -> Tensor:
        content = content_ws.to(self.base.runtime.device)
        if style_ws is None:
            return content
        style = style_ws.to(content)
        return style if weights is None else blend(content, style, weights)


class SwappedStyle(BlendedStyle):
    """A style that takes its content as a feature map of the source (UI2I, section 3.2)."""

    def synthesize(
        self,
        content_ws: Tensor,
        style_ws: Tensor | None = None,
        weights: Tensor | float | None = None,
        *,
        path: int = 0,
        strength: float = 1.0,
    ) -> Tensor:
        """Draw as `BlendedStyle` does, from the source's features at `card.swap_resolution`."""
        size = self.card.swap_resolution
        with torch.inference_mode():
            content = content_ws.to(self.base.runtime.device)
            features = self.base.generator.synthesis.features(content, until=size)
            codes = self._codes(content, style_ws, weights)
            return self.network(path, strength).synthesis(codes, replace={size: features})


KINDS_OF_STYLE = {"blended": BlendedStyle, "swapped": SwappedStyle}


class StyleLibrary:
    """All packs of some folders; each is loaded on first use and then shared.

    Args:
        search: folders that hold packs, the first one wins; None: `search_folders()`.
    """

    def __init__(self, search: Sequence[str | Path] | None = None) -> None:
        self.search = [Path(folder) for folder in (search_folders() if search is None else search)]
        self._loaded: dict[tuple[Path, torch.device, torch.dtype], Base | BlendedStyle] = {}
        self._lock = threading.RLock()

    def packs(self) -> dict[Path, Card | PackError]:
        """Return every pack folder with its card, or with what is wrong with the card."""
        found: dict[Path, Card | PackError] = {}
        for folder in self.search:
            for path in sorted(folder.glob(f"*/{CARD_FILE}")):
                try:
                    found[path.parent] = read_card(path.parent)
                except PackError as error:
                    found[path.parent] = error
        return found

    def names(self) -> list[str]:
        """Return the names of all styles with a readable card, sorted; base packs are none."""
        cards = [card for card in self.packs().values() if isinstance(card, Card)]
        return sorted({card.name for card in cards if card.kind != "base"})

    def card(self, name: str) -> Card:
        """Return the card of a style; raises PackError."""
        return read_card(self.find(name))

    def preview(self, name: str) -> Path | None:
        """Return the path of the preview picture of a style, None without one."""
        return Pack(folder := self.find(name), read_card(folder)).preview

    def find(self, name: str) -> Path:
        """Return the folder of a pack. A name with a path separator in it is a path of the user."""
        if {"/", os.sep} & set(name) or name in (".", ".."):
            return Path(name)
        for folder in self.search:
            if (folder / name / CARD_FILE).is_file():
                return folder / name
        raise PackError(
            f"no style {name!r}; there are {', '.join(self.names()) or 'none'} in "
            f"{', '.join(map(str, self.search))}: choose one of them, or name a folder as ./{name}"
        )

    def load(self, name: str, runtime: Runtime | None = None) -> BlendedStyle:
        """Load a style, or return the one loaded before; raises PackError."""
        folder, runtime = self.find(name), runtime or pick_runtime()
        with self._lock:
            return self._shared(folder, runtime, self._read_style)

    def _shared(self, folder: Path, runtime: Runtime, read: Callable[[Pack, Runtime], Any]) -> Any:
        key = (folder.resolve(), runtime.device, runtime.dtype)
        if key not in self._loaded:
            self._loaded[key] = read(load_pack(folder), runtime)
        return self._loaded[key]

    def _read_style(self, pack: Pack, runtime: Runtime) -> BlendedStyle:
        if pack.card.kind not in KINDS_OF_STYLE:
            raise PackError(f"{pack.card.name} is a base pack, no style; styles: {self.names()}")
        name, wanted = pack.card.base["name"], pack.card.base.get("sha256", "")
        beside = pack.folder.parent / name
        folder = beside if (beside / CARD_FILE).is_file() else self.find(name)
        base = self._shared(folder, runtime, read_base)
        if base.sha256 != wanted:
            raise PackError(
                f"style {pack.card.name} was trained on another base than {folder}: generator "
                f"{wanted[:12]}..., found {base.sha256[:12]}...; copy the base it belongs to"
            )
        return KINDS_OF_STYLE[pack.card.kind](pack, base)


def read_base(pack: Pack, runtime: Runtime) -> Base:
    """Build the networks of a base pack; raises PackError where weights and card do not fit."""
    if pack.card.kind != "base":
        raise PackError(f"{pack.folder} is a {pack.card.kind} style where a base pack is needed")
    generator = _build(pack, GENERATOR_FILE, generator_from_state)
    _check_layout(pack, generator)
    generator.synthesis.dtype = runtime.dtype
    encoder = detector = None
    if pack.has(ENCODER_FILE):
        encoder = _build(pack, ENCODER_FILE, encoder_from_state)
        found = (encoder.num_ws, encoder.style_dim, encoder.variational)
        needed = (generator.num_ws, generator.mapping.z_dim, True)
        if found != needed:
            raise PackError(
                f"{pack.folder / ENCODER_FILE} has codes, length, variational = {found}; "
                f"the generator needs {needed}: copy the pack again"
            )
    if pack.has(DETECTOR_FILE):
        detector = _build(pack, DETECTOR_FILE, detector_from_state)
    networks = [_freeze(network, runtime) for network in (generator, encoder, detector)]
    return Base(pack, runtime, *networks)


def _freeze(network: nn.Module | None, runtime: Runtime) -> nn.Module | None:
    return None if network is None else network.to(runtime.device).eval().requires_grad_(False)


def _build(pack: Pack, file: str, from_state: Callable[[State], Any], state: State | None = None):
    """Build the network of a file; whatever the reader trips over means that the file is wrong."""
    try:
        return from_state(pack.state(file) if state is None else state)
    except (CheckpointError, KeyError, IndexError, ValueError, RuntimeError) as error:
        raise PackError(f"{pack.folder / file}: {error}; copy the pack again") from error


def _synthesis_state(pack: Pack, base: Base) -> State:
    """The style's synthesis weights as stored, after a trial build with the base's mapping."""
    stored = pack.state(GENERATOR_FILE)
    state = {name: value for name, value in stored.items() if name.startswith("synthesis.")}
    mapping = {f"mapping.{k}": v for k, v in base.generator.mapping.state_dict().items()}
    generator = _build(pack, GENERATOR_FILE, generator_from_state, {**mapping, **state})
    _check_layout(pack, generator)
    _check_layout(base.pack, generator)
    if generator.synthesis.num_paths != max(1, len(pack.card.attributes)):
        raise PackError(
            f"{pack.folder / GENERATOR_FILE} has {generator.synthesis.num_paths} attribute paths, "
            f"the card names {list(pack.card.attributes)}; copy the pack again"
        )
    return state


def _check_layout(pack: Pack, generator: Generator) -> None:
    found = (generator.resolution, generator.num_ws, generator.synthesis.channels)
    said = (pack.card.resolution, pack.card.num_ws, dict(pack.card.channels))
    if found != said:
        raise PackError(
            f"the generator has resolution, codes and channels {found}, the card in {pack.folder} "
            f"says {said}; copy the pack again"
        )


def _one_path(state: Mapping[str, Tensor], path: int) -> State:
    """Weights of a plain generator: those all paths share, and those of one path renamed."""
    prefix = f"synthesis.paths.{path}."
    return {
        name.replace(prefix, "synthesis."): value.float()
        for name, value in state.items()
        if name.startswith(prefix) or ".paths." not in name
    }
