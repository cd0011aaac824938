"""Which parts of foreign checkpoints make which pack.

What `engine.checkpoints.read` found becomes a base (a generator of photos with encoders into it), a
style of a base (another generator of the same layout), or both at once. `plan` decides and checks
without touching a disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from engine.card import (
    BLEND_FILE,
    DIRECTIONS_FILE,
    DISCRIMINATOR_FILE,
    ENCODER_FILE,
    ENCODER_SPACES,
    GENERATOR_FILE,
    STYLE_ENCODER_FILE,
    STYLE_MAPPING_FILE,
    Card,
)
from engine.checkpoints import Checkpoint
from engine.errors import CheckpointError, OptionError
from engine.importing.fitting import (
    Source,
    check_encoder,
    check_once,
    find_source,
    is_same,
    is_style,
    layout_of,
    names_of,
    network_of,
    space_of,
)
from engine.importing.packs import NewPack, State, Wishes, reference
from engine.models.stylegan2 import Generator

BASE_FILES = {
    "identity": "identity.safetensors",
    "directions": DIRECTIONS_FILE,
    **dict.fromkeys(("codes", "weight"), "codes.safetensors"),  # weight: UI2I's codes in V
}
STYLE_FILES = {"style_encoder": STYLE_ENCODER_FILE, "blend_weights": BLEND_FILE}
METHODS = {"agilegan-style": "AgileGAN", "mmgen": "AgileGAN (FaceStylor)", "blendgan": "BlendGAN"}
ZPLUS_KINDS = ("agilegan-style", "mmgen")  # styles made for codes in Z+; others draw W+ best


def plan(checkpoints: Sequence[Checkpoint], wishes: Wishes) -> list[NewPack]:
    """Decide which packs some checkpoints make, the base first.

    The generator that came with an encoder, that of `wishes.base`, or else the only one is the
    base's. One that differs from it is a style, and so is one that BlendGAN's parts came with.

    Raises:
        CheckpointError: parts are missing, are there twice, or do not fit each other.
        OptionError: a wish does not fit the files.
    """
    check_once(checkpoints)
    source = find_source(checkpoints, wishes.base)
    styles = [c for c in checkpoints if "generator" in c.parts and is_style(c, source)]
    if len(styles) > 1:
        raise CheckpointError(f"{names_of(styles)} are several styles; import them one by one")
    style = styles[0] if styles else None
    if style is None:
        _check_without_style(checkpoints, wishes)
    base = _base(checkpoints, style, source, wishes)
    packs = [base] if base.files else []
    return packs if style is None else [*packs, _style(style, checkpoints, base, source, wishes)]


def plain_name(path: str | Path) -> str:
    """Return a name for a pack out of that of a file: small letters, digits, _ and -."""
    stem = Path(path).name.lower().split(".")[0]
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64] or "imported"


def _check_without_style(checkpoints: Sequence[Checkpoint], wishes: Wishes) -> None:
    if wishes.swap_resolution or wishes.attributes:
        raise OptionError(
            "--swap-resolution and --attributes are for a style, and these files make a base only; "
            "name the base that the style was tuned from with --base"
        )
    if orphans := [c for c in checkpoints if STYLE_FILES.keys() & c.parts.keys()]:
        raise CheckpointError(
            f"{names_of(orphans)} reads the style of pictures for a generator that is not there; "
            "name blendgan.pt, which holds both, in its place"
        )


def _base(
    checkpoints: Sequence[Checkpoint], style: Checkpoint | None, source: Source, wishes: Wishes
) -> NewPack:
    """The new base, or what an old one gets further; without files if that is nothing."""
    files: dict[str, State] = {}
    if source.checkpoint is None:
        added = _origin([c for c in checkpoints if c is not style])
        card, folder = wishes.base.card, wishes.base.folder
        card = replace(card, training={**card.training, **added})
    else:
        card, folder = _base_card(checkpoints, style, source, wishes), None
        files[GENERATOR_FILE] = source.state
    encoders = {space_of(c): c for c in checkpoints if "encoder" in c.parts}
    if encoders and ENCODER_FILE not in card.files:
        card = replace(card, encoder_space=next(s for s in ENCODER_SPACES if s in encoders))
    for space, checkpoint in encoders.items():
        check_encoder(checkpoint, space, source)
        files[card.encoder_file(space)] = checkpoint.parts["encoder"]
    for checkpoint in checkpoints:
        if "discriminator" in checkpoint.parts and checkpoint is not style:
            files[DISCRIMINATOR_FILE] = checkpoint.parts["discriminator"]
        for part in BASE_FILES.keys() & checkpoint.parts.keys():
            file = BASE_FILES[part]
            files[file] = {**files.get(file, {}), **_table(part, checkpoint.parts[part])}
    return NewPack(card, files, folder)


def _base_card(
    checkpoints: Sequence[Checkpoint], style: Checkpoint | None, source: Source, wishes: Wishes
) -> Card:
    files = [c for c in checkpoints if c is source.checkpoint or c is not style]
    return _card(
        files,
        source.network,
        wishes,
        name=wishes.name if style is None else f"{wishes.name}-base",
        kind="base",
        method=f"StyleGAN2, imported ({', '.join(dict.fromkeys(c.kind for c in files))})",
        conv_clamp=source.checkpoint.config.get("conv_clamp"),
        framing=wishes.framing,
    )


def _style(
    checkpoint: Checkpoint,
    checkpoints: Sequence[Checkpoint],
    base: NewPack,
    source: Source,
    wishes: Wishes,
) -> NewPack:
    state = checkpoint.parts["generator"]
    network = network_of(state)
    attributes = wishes.attributes or tuple(checkpoint.config.get("attributes", ()))
    _check_style(checkpoint, network, source, attributes, wishes.swap_resolution)
    card = _card(
        [checkpoint],
        network,
        wishes,
        name=wishes.name,
        kind="swapped" if wishes.swap_resolution else "blended",
        method=METHODS.get(checkpoint.kind, f"fine-tuned StyleGAN2, imported ({checkpoint.kind})"),
        base={"name": base.card.name} if wishes.base is None else reference(wishes.base),
        encoder_space=_wanted_space(checkpoint, base),
        conv_clamp=checkpoint.config.get("conv_clamp"),
        swap_resolution=wishes.swap_resolution,
        attributes=attributes,
    )
    files: dict[str, State] = {
        GENERATOR_FILE: {n: v for n, v in state.items() if n.startswith("synthesis.")}
    }
    if mapping := _style_mapping(checkpoint, source):
        files[STYLE_MAPPING_FILE] = mapping
    for other in checkpoints:
        for part in STYLE_FILES.keys() & other.parts.keys():
            files[STYLE_FILES[part]] = _table("face_weights", other.parts[part])
    return NewPack(card, files)


def _check_style(
    checkpoint: Checkpoint,
    network: Generator,
    source: Source,
    attributes: Sequence[str],
    swap_resolution: int | None,
) -> None:
    found, needed = layout_of(network), layout_of(source.network)
    if found != needed:
        raise CheckpointError(
            f"{checkpoint.path} has resolution, layers and channels {found}, {source.name} has "
            f"{needed}; a style is tuned from its base: name the one it comes from"
        )
    num_paths = network.synthesis.num_paths
    if num_paths != max(1, len(attributes)):
        raise OptionError(
            f"--attributes names {len(attributes)} paths, {checkpoint.path} has {num_paths}: "
            f"give {f'{num_paths} names' if num_paths > 1 else 'none'}"
        )
    accepted = network.synthesis.resolutions
    if swap_resolution and swap_resolution not in accepted:
        raise OptionError(
            f"--swap-resolution is {swap_resolution}; this generator has "
            f"{', '.join(map(str, accepted))}"
        )


def _wanted_space(checkpoint: Checkpoint, base: NewPack) -> str:
    """Which of the base's encoders a style is drawn with."""
    present = {*base.files, *base.card.files}
    spaces = [space for space in ENCODER_SPACES if base.card.encoder_file(space) in present]
    order = ("z+", "w+") if checkpoint.kind in ZPLUS_KINDS else ("w+", "z+")
    return next((space for space in (*order, *spaces) if space in spaces), base.card.encoder_space)


def _style_mapping(checkpoint: Checkpoint, source: Source) -> State:
    """What makes style codes of noise, {} for the base's: BlendGAN's second one, or its own.

    AgileGAN draws with the codes of the base alone: the mapping in its file was never used.
    """
    if "style_mapping" in checkpoint.parts:
        return checkpoint.parts["style_mapping"]
    own, theirs = (
        {n.removeprefix("mapping."): v for n, v in state.items() if n.startswith("mapping.")}
        for state in (checkpoint.parts["generator"], source.state)
    )
    return {} if checkpoint.kind == "agilegan-style" or is_same(own, theirs) else own


def _card(
    checkpoints: Sequence[Checkpoint], network: Generator, wishes: Wishes, **fields: object
) -> Card:
    resolution, num_ws, channels = layout_of(network)
    return Card(
        resolution=resolution,
        num_ws=num_ws,
        channels=channels,
        title=wishes.name.replace("-", " ").replace("_", " ").capitalize(),
        licence=wishes.licence,
        training=_origin(checkpoints),
        **fields,
    )


def _origin(checkpoints: Sequence[Checkpoint]) -> dict[str, object]:
    """What the card keeps of files: their kind, the reader's notes, the names of codes."""
    return {
        f"imported {Path(c.path).name}": {
            "kind": c.kind,
            **({"codes of": list(c.config["names"])} if "names" in c.config else {}),
            **({"notes": list(c.notes)} if c.notes else {}),
        }
        for c in checkpoints
    }


def _table(name: str, part: State | Tensor) -> State:
    return {name: part} if isinstance(part, Tensor) else part
