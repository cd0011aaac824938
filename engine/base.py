"""What all styles of a base pack share: source generator, encoders, detector, attribute classifier.

Loaded networks are read-only and shared by all threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from engine import sefa
from engine.card import (
    ATTRIBUTE_FILE,
    DETAIL_FILE,
    DETECTOR_FILE,
    DIRECTIONS_FILE,
    DISCRIMINATOR_FILE,
    ENCODER_SPACES,
    GENERATOR_FILE,
    UPSCALER_FILE,
)
from engine.errors import CheckpointError, PackError
from engine.latent import map_zplus
from engine.models.attribute import AttributeClassifier, attribute_from_state
from engine.models.detail import SHRINKING, DetailEncoder, detail_from_state, small_picture
from engine.models.detector import FaceNetwork, detector_from_state
from engine.models.discriminator import Discriminator, discriminator_from_state
from engine.models.encoder import encoder_from_state
from engine.models.stylegan2 import Generator, generator_from_state
from engine.models.upscaler import Upscaler, upscaler_from_state
from engine.pack import Pack, State
from engine.runtime import Runtime

NUM_DIRECTIONS = 64


@dataclass(frozen=True)
class Codes:
    """An encoded picture; tensors are float32 on the CPU.

    Attributes:
        ws: [1, L, w_dim], what the generator draws.
        mu, logvar: [1, L, z_dim], the posterior in Z+; None where the encoder has none.
    """

    ws: Tensor
    mu: Tensor | None = None
    logvar: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Base:
    """A base pack, loaded. `encoders` maps the spaces it encodes into to their networks."""

    pack: Pack
    runtime: Runtime
    generator: Generator
    encoders: Mapping[str, nn.Module] = field(default_factory=dict)
    detector: FaceNetwork | None = None
    classifier: AttributeClassifier | None = None
    detail_encoder: DetailEncoder | None = None
    upscaler: Upscaler | None = None

    @property
    def sha256(self) -> str:
        """Hash of the source generator: portraits and styles fit together if theirs are equal."""
        return self.pack.card.files[GENERATOR_FILE]

    @property
    def encoder(self) -> nn.Module | None:
        """The encoder of the pack's own space, None without one."""
        return self.encoders.get(self.pack.card.encoder_space)

    @cached_property
    def discriminator(self) -> Discriminator:
        """The source's discriminator, read on first use: inversions see with its eyes.

        Raises PackError where the pack has none.
        """
        if not self.pack.has(DISCRIMINATOR_FILE):
            raise PackError(
                f"base pack {self.pack.folder} has no {DISCRIMINATOR_FILE}, which inversions "
                "compare pictures with; import the base again from a file with its discriminator"
            )
        clamp = self.pack.card.conv_clamp
        state = self.pack.state(DISCRIMINATOR_FILE)
        network = build(self.pack, DISCRIMINATOR_FILE, discriminator_from_state, state, clamp)
        return freeze(network, self.runtime)

    @cached_property
    def directions(self) -> tuple[Tensor, ...]:
        """Semantic directions of the source generator, the most visible first.

        Those the pack has learned (train.directions), [L, w_dim] each; then [w_dim] each those of
        its factors (UI2I's files hold them as columns), else genforce/sefa's. Raises PackError
        where those of the pack do not fit.
        """
        shape = self.generator.num_ws, self.generator.synthesis.w_dim
        count = min(NUM_DIRECTIONS, shape[1])
        stored = self.pack.state(DIRECTIONS_FILE) if self.pack.has(DIRECTIONS_FILE) else {}
        learned = self._fitting(stored.get("learned", torch.empty(0, *shape)), (None, *shape))
        if "directions" in stored:
            factors = self._fitting(stored["directions"], (shape[1], shape[1]))
            return (*learned, *factors.T[:count])
        state = self.generator.state_dict()
        return (*learned, *sefa.directions(state, definition="sefa", count=count).vectors)

    def _fitting(self, stored: Tensor, wanted: tuple[int | None, ...]) -> Tensor:
        fits = stored.ndim == len(wanted) and all(
            w in (None, n) for n, w in zip(stored.shape, wanted, strict=True)
        )
        if not fits:
            raise PackError(
                f"{self.pack.folder / DIRECTIONS_FILE} has directions of shape "
                f"{list(stored.shape)}; {[w or 'K' for w in wanted]} is needed: import the file "
                "again"
            )
        return stored.float()

    def encoder_into(self, space: str) -> nn.Module:
        """Return the encoder into a space; PackError where the pack has none."""
        if space not in self.encoders:
            present = ", ".join(self.encoders) or "none"
            raise PackError(
                f"base pack {self.pack.folder} has no encoder into {space} (it has {present}); "
                "import one with python -m demo.doctor import, or train it with train.encoder"
            )
        return self.encoders[space]

    def encode(self, image: Tensor, space: str) -> Codes:
        """Encode pictures [N, 3, S, S] in [-1, 1] of the encoder's size; raises PackError."""
        encoder, mapping = self.encoder_into(space), self.generator.mapping
        num_ws = self.generator.num_ws
        with torch.inference_mode():
            image = image.to(self.runtime.device)
            mu = logvar = None
            if encoder.variational:
                mu, logvar = encoder.posterior(image)
            found = encoder(image) if mu is None else mu
            found = found[:, None].expand(-1, num_ws, -1) if found.ndim == 2 else found
            ws = map_zplus(mapping, found) if space.startswith("z") else found
            mu = found if mu is None and space == "z+" else mu
        return Codes(*(None if x is None else x.float().cpu().clone() for x in (ws, mu, logvar)))

    def detail(self, photo: Tensor, ws: Tensor) -> Tensor | None:
        """Return what a photo shows beyond its codes, [N, C, R / 4, R / 4]; None: cannot tell.

        Args:
            photo: [N, 3, R, R] in [-1, 1], of the generator's size.
            ws: [N, L, w_dim], its codes.
        """
        if self.detail_encoder is None:
            return None
        with torch.inference_mode():
            device = self.runtime.device
            drawn = small_picture(self.generator.synthesis, ws.to(device))
            return self.detail_encoder(photo.to(device), drawn).float().cpu().clone()

    def attributes(self, codes: Codes) -> dict[str, float]:
        """Return how likely each attribute is for a face, {} without a classifier."""
        if self.classifier is None or codes.mu is None:
            return {}
        with torch.inference_mode():
            row = self.classifier(codes.mu.to(self.runtime.device))[0]
        return dict(zip(self.classifier.names, row.tolist(), strict=True))


def read_base(pack: Pack, runtime: Runtime) -> Base:
    """Build the networks of a base pack; raises PackError where weights and card do not fit."""
    card = pack.card
    if card.kind != "base":
        raise PackError(f"{pack.folder} is a {card.kind} style where a base pack is needed")
    state = pack.state(GENERATOR_FILE)
    generator = build(pack, GENERATOR_FILE, generator_from_state, state, card.conv_clamp)
    check_layout(pack, generator)
    generator.synthesis.dtype = runtime.dtype
    encoders = {
        space: freeze(_read_encoder(pack, file, space, generator), runtime)
        for space in ENCODER_SPACES
        if pack.has(file := card.encoder_file(space))
    }
    optional = {
        DETECTOR_FILE: detector_from_state,
        ATTRIBUTE_FILE: attribute_from_state,
        DETAIL_FILE: detail_from_state,
        UPSCALER_FILE: upscaler_from_state,
    }
    rest = {
        file: freeze(build(pack, file, make), runtime) if pack.has(file) else None
        for file, make in optional.items()
    }
    if rest[DETAIL_FILE] is not None:
        _check_detail(pack, rest[DETAIL_FILE])
    return Base(pack, runtime, freeze(generator, runtime), encoders, *rest.values())


def freeze(network: nn.Module, runtime: Runtime) -> nn.Module:
    """Move a network to where it runs, for inference only."""
    return network.to(runtime.device).eval().requires_grad_(False)


def build(
    pack: Pack,
    file: str,
    from_state: Callable[..., Any],
    state: State | None = None,
    *settings: Any,
) -> Any:
    """Build the network of a file; whatever the reader trips over means that the file is wrong.

    Raises:
        PackError: with the file, and what the reader said.
    """
    try:
        return from_state(pack.state(file) if state is None else state, *settings)
    except (CheckpointError, KeyError, IndexError, ValueError, RuntimeError) as error:
        raise PackError(f"{pack.folder / file}: {error}; copy the pack again") from error


def check_layout(pack: Pack, generator: Generator) -> None:
    """Compare a generator with the card of its pack; raises PackError."""
    found = (generator.resolution, generator.num_ws, generator.synthesis.channels)
    said = (pack.card.resolution, pack.card.num_ws, dict(pack.card.channels))
    if found != said:
        raise PackError(
            f"the generator has resolution, codes and channels {found}, the card in {pack.folder} "
            f"says {said}; copy the pack again"
        )


def _read_encoder(pack: Pack, file: str, space: str, generator: Generator) -> nn.Module:
    """The encoder of a file, which must give as many codes of the length the space needs."""
    encoder = build(pack, file, encoder_from_state)
    mapping = generator.mapping
    length = mapping.z_dim if space.startswith("z") else mapping.w_dim
    counts = (generator.num_ws,) if "+" in space else (1,)
    if encoder.num_ws not in counts or encoder.style_dim != length:
        raise PackError(
            f"{pack.folder / file} gives {encoder.num_ws} codes of {encoder.style_dim}; the "
            f"generator needs {counts[0]} of {length} in {space}: copy the pack again"
        )
    return encoder


def _check_detail(pack: Pack, detail: DetailEncoder) -> None:
    """The detail encoder must answer as many channels as the generator has at its resolution."""
    found, size = detail.out.out_channels, pack.card.resolution // SHRINKING
    if found != pack.card.channels.get(size):
        raise PackError(
            f"{pack.folder / DETAIL_FILE} answers {found} channels; the generator has "
            f"{pack.card.channels.get(size)} at {size} px: copy the pack again"
        )
