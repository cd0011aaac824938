"""What the recipes read from style packs and write into them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.card import (
    CARD_FILE,
    DETAIL_FILE,
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    GENERATOR_FILE,
    Card,
)
from engine.errors import OptionError, PackError
from engine.image import resize, to_uint8
from engine.models.backbone_encoder import PhotoEncoder
from engine.models.detail import DetailEncoder, detail_from_state
from engine.models.discriminator import Discriminator, discriminator_from_state
from engine.models.encoder import FeaturePyramidEncoder, encoder_from_state
from engine.models.stylegan2 import Generator, generator_from_state
from engine.pack import Pack, load_pack, read_card, save_pack
from engine.surgery import with_shared, without_shared

PREVIEW_SIZE = 256


@dataclass(frozen=True)
class Source:
    """The networks of a base pack that training starts from; all in float32 on the CPU."""

    pack: Pack
    G: Generator
    D: Discriminator
    E: FeaturePyramidEncoder | None
    detail: DetailEncoder | None = None

    @property
    def reference(self) -> dict[str, str]:
        """How a style's card names its base."""
        card = self.pack.card
        return {"name": card.name, "sha256": card.files[GENERATOR_FILE]}

    def encoder_into(self, space: str) -> PhotoEncoder | None:
        """The pack's encoder into a space, as it encodes photos; None without one."""
        file = self.pack.card.encoder_file(space)
        return encoder_from_state(self.pack.state(file)).eval() if self.pack.has(file) else None


def load_source(folder: str | Path) -> Source:
    """Read a base pack for training.

    Raises:
        PackError: it is no base pack, or has no discriminator.
    """
    pack = load_pack(folder)
    if not pack.has(GENERATOR_FILE) or not pack.has(DISCRIMINATOR_FILE):
        raise PackError(
            f"{folder} has no {GENERATOR_FILE} and {DISCRIMINATOR_FILE}; training starts from a "
            "base pack: make one with python -m train.pretrain"
        )
    encoder = detail = None
    if pack.has(ENCODER_FILE):  # as it encodes photos: with the batch statistics it learned
        encoder = encoder_from_state(pack.state(ENCODER_FILE)).eval()
    if pack.has(DETAIL_FILE):
        detail = detail_from_state(pack.state(DETAIL_FILE))
    return Source(
        pack,
        generator_from_state(pack.state(GENERATOR_FILE), pack.card.conv_clamp),
        discriminator_from_state(pack.state(DISCRIMINATOR_FILE), pack.card.conv_clamp),
        encoder,
        detail,
    )


def earlier_style(
    folder: str | Path, names: Sequence[str], source: Source
) -> dict[str, torch.Tensor]:
    """The generator of a style to go on from, whole: state dict with the paths `names`.

    Raises:
        OptionError: the style has another base or other paths.
    """
    pack = load_pack(folder)
    found = list(pack.card.attributes or [""])
    if pack.card.base != source.reference or found != list(names):
        raise OptionError(
            f"--start-from {folder} has base {pack.card.base} and paths {found}; "
            f"{source.reference} and {list(names)} are needed: choose another, or leave it out"
        )
    return with_shared(pack.state(GENERATOR_FILE), source.G.state_dict())


def save_base(folder: str | Path, networks: Mapping[str, nn.Module], record: Any) -> Pack:
    """Write or update a base pack.

    Args:
        folder: the pack; files that are not in `networks` stay as they are.
        networks: file name -> network; a new pack needs a generator among them.
        record: how the networks were trained; it replaces the entry of the same files.
    """
    folder = Path(folder)
    old = read_card(folder) if (folder / CARD_FILE).is_file() else None
    training = dict(old.training if old else {}) | {"+".join(sorted(networks)): record}
    generator = networks.get(GENERATOR_FILE)
    if generator is None and old is None:
        raise PackError(f"{folder} is no pack yet: train a generator first, train.pretrain")
    card = old or Card(
        name=folder.name,
        kind="base",
        title="Photographs",
        method="StyleGAN2 with a variational encoder into Z+",
        licence="Apache-2.0",
        **_layout(generator),
    )
    layout = _layout(generator) if generator else {}
    card = replace(card, training=training, **layout)
    states = {file: network.state_dict() for file, network in networks.items()}
    return save_pack(folder, card, states)


def save_style(
    folder: str | Path,
    G: Generator,
    source: Source,
    *,
    title: str,
    attributes: Sequence[str],
    record: Any,
    preview: np.ndarray,
    method: str = "AgileGAN transfer",
    files: Mapping[str, Mapping[str, torch.Tensor]] | None = None,
    **card_fields: Any,
) -> Pack:
    """Write a style pack: of the generator what is not its base's, never the mapping.

    Args:
        folder: of the pack; files of an older pack there that are not written stay.
        G: the tuned generator.
        source: what it was tuned from.
        title, attributes, record, preview, method: for the card.
        files: further files of the style, BlendGAN's for example: name -> tensors.
        card_fields: other fields of `engine.card.Card`: encoder_space, defaults ...; a
            swap_resolution makes it a style that hands features over.
    """
    folder = Path(folder)
    synthesis = {k: v for k, v in G.state_dict().items() if k.startswith("synthesis.")}
    state = without_shared(synthesis, source.G.state_dict())
    card = Card(
        name=folder.name,
        kind="swapped" if card_fields.get("swap_resolution") else "blended",
        title=title or folder.name.replace("_", " ").title(),
        method=method,
        base=source.reference,
        attributes=tuple(attributes) if len(attributes) > 1 else (),
        training=record,
        licence="Apache-2.0",
        **_layout(G),
        **card_fields,
    )
    return save_pack(folder, card, {GENERATOR_FILE: state, **(files or {})}, preview)


def preview_of(pictures: torch.Tensor) -> np.ndarray:
    """Up to four pictures [N, 3, R, R] in [-1, 1] as one uint8 [256, 256, 3]."""
    tiles = [resize(tile, PREVIEW_SIZE // 2, PREVIEW_SIZE // 2) for tile in to_uint8(pictures[:4])]
    if len(tiles) < 4:
        return resize(to_uint8(pictures[:1])[0], PREVIEW_SIZE, PREVIEW_SIZE)
    return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])


def _layout(G: Generator) -> dict[str, Any]:
    return {"resolution": G.resolution, "num_ws": G.num_ws, "channels": G.synthesis.channels}
