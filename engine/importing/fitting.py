"""Whether parts of foreign checkpoints belong together: one generator, its encoders, its styles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from engine.card import GENERATOR_FILE
from engine.checkpoints import Checkpoint
from engine.errors import CheckpointError, OptionError
from engine.importing.packs import State
from engine.models.encoder import encoder_from_state
from engine.models.loading import shapes_of
from engine.models.stylegan2 import Generator, generator_from_state
from engine.pack import Pack

SAME_WITHIN = 2e-3  # of a tensor's largest value: float16 and other conversions, no training


@dataclass(frozen=True)
class Source:
    """The generator of the base: its weights, its shapes, and whose it is."""

    state: State
    network: Generator
    name: str
    checkpoint: Checkpoint | None = None  # None: of a pack


def find_source(checkpoints: Sequence[Checkpoint], base: Pack | None) -> Source:
    """Return the generator of the base: that of a pack, of an encoder's file, or the only one.

    Raises:
        CheckpointError: there is none, there are several, or it is a style's.
        OptionError: the pack is a style.
    """
    if base is not None:
        if base.card.kind != "base":
            raise OptionError(f"--base is the style {base.card.name}; name a base pack")
        state = base.state(GENERATOR_FILE)
        return Source(state, network_of(state), f"base {base.card.name}")
    drawing = [c for c in checkpoints if "generator" in c.parts]
    with_encoder = [c for c in drawing if "encoder" in c.parts]
    if not drawing:
        raise CheckpointError(
            f"{names_of(checkpoints)}: no generator of pictures in there; name the file of the "
            "generator it belongs to as well, or the pack with --base"
        )
    if not with_encoder and len(drawing) > 1:
        raise CheckpointError(
            f"{names_of(drawing)} are several generators; import that of photos first, then each "
            "style with --base"
        )
    chosen = (with_encoder or drawing)[0]
    network = network_of(chosen.parts["generator"])
    if network.synthesis.num_paths > 1:
        raise CheckpointError(
            f"{chosen.path} is a style with attribute paths, drawn with the codes of a base; name "
            "the file of its encoder as well (AgileGAN's encoder.pt), or the pack with --base"
        )
    return Source(chosen.parts["generator"], network, chosen.path, chosen)


def is_style(checkpoint: Checkpoint, source: Source) -> bool:
    """Whether a file with a generator is a style; its encoder must be one of the base."""
    if "style_mapping" in checkpoint.parts:
        return True
    is_other = not is_same(checkpoint.parts["generator"], source.state)
    if "encoder" in checkpoint.parts and is_other:
        raise CheckpointError(
            f"the encoder of {checkpoint.path} was trained for another generator than that of "
            f"{source.name}; import it by itself"
        )
    return is_other


def check_once(checkpoints: Sequence[Checkpoint]) -> None:
    """Every part but generators may be there once, an encoder once per space."""
    seen: dict[str, str] = {}
    for checkpoint in checkpoints:
        for part in set(checkpoint.parts) - {"generator", "discriminator"}:
            name = f"encoder into {space_of(checkpoint)}" if part == "encoder" else part
            if name in seen:
                raise CheckpointError(
                    f"{seen[name]} and {checkpoint.path} both hold the {name}; name one of them"
                )
            seen[name] = checkpoint.path


def check_encoder(checkpoint: Checkpoint, space: str, source: Source) -> None:
    """Codes of an encoder must be as many and as long as the generator needs."""
    with torch.device("meta"):  # shapes only
        encoder = encoder_from_state(shapes_of(checkpoint.parts["encoder"]))
    mapping = source.network.mapping
    needed = (
        source.network.num_ws if "+" in space else 1,
        mapping.z_dim if space.startswith("z") else mapping.w_dim,
    )
    if (encoder.num_ws, encoder.style_dim) != needed:
        raise CheckpointError(
            f"the encoder of {checkpoint.path} gives {encoder.num_ws} codes of "
            f"{encoder.style_dim}, {source.name} needs {needed[0]} of {needed[1]}; it was trained "
            "for a generator of another size"
        )


def is_same(a: State, b: State) -> bool:
    """Whether two networks are one, up to number formats; noise and averages do not count."""
    one, other = (
        {n: v for n, v in state.items() if not n.endswith(("noise_const", "w_avg"))}
        for state in (a, b)
    )
    return one.keys() == other.keys() and all(_is_close(one[n], other[n]) for n in one)


def _is_close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.float(), b.float()
    return bool((a - b).abs().max() <= SAME_WITHIN * b.abs().max())


def network_of(state: State) -> Generator:
    """A generator of those shapes, without memory for its weights."""
    with torch.device("meta"):
        return generator_from_state(shapes_of(state))


def layout_of(network: Generator) -> tuple[int, int, dict[int, int]]:
    """Resolution, layers of codes, and channels per resolution."""
    return network.resolution, network.num_ws, dict(network.synthesis.channels)


def space_of(checkpoint: Checkpoint) -> str:
    """The space its encoder answers in."""
    return checkpoint.config["encoder_space"]


def names_of(checkpoints: Sequence[Checkpoint]) -> str:
    """Names of the files, for messages."""
    return ", ".join(Path(c.path).name for c in checkpoints)
