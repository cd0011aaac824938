"""NVIDIA's stylegan2-ada-pytorch and stylegan3 (`networks_stylegan2`), whose names are ours.

Their pickles hold modules with the settings they were built with; those that change the picture
are honoured or refused.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from engine.checkpoints.renaming import completed, without_filters
from engine.checkpoints.tree import Found, State, Tree, records
from engine.checkpoints.values import Record
from engine.errors import CheckpointError

GENERATOR_PLACES, DISCRIMINATOR_PLACES = ("G_ema", "G", "g_ema", "g", ""), ("D", "d", "")

# Settings that neither names nor shapes of the weights betray, and the one value we know.
_STANDARD = {
    "activation": "lrelu",
    "nonlinearity": "lrelu",
    "act": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "lr_multiplier": 0.01,
    "mapping_lrmul": 0.01,
    "normalize_latents": True,
    "resample_filter": [1, 3, 3, 1],
    "resample_kernel": [1, 3, 3, 1],
}


def is_generator(state: State) -> bool:
    """Whether these are the names of a StyleGAN2 generator."""
    return "synthesis.b4.const" in state


def is_discriminator(state: State) -> bool:
    """Whether these are the names of a StyleGAN2 discriminator."""
    return "b4.out.weight" in state


def is_nvidia(tree: Tree) -> bool:
    """Whether a file holds one of the two networks."""
    return (
        tree.place(GENERATOR_PLACES, is_generator) is not None
        or tree.place(DISCRIMINATOR_PLACES, is_discriminator) is not None
    )


def is_stylegan3(tree: Tree) -> bool:
    """Whether a file holds an alias-free generator."""
    return tree.place(GENERATOR_PLACES, lambda s: "synthesis.input.freqs" in s) is not None


def read(tree: Tree) -> Found:
    """Generator, preferably the averaged one, and discriminator."""
    parts: dict[str, State] = {}
    config: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if (place := tree.place(GENERATOR_PLACES, is_generator)) is not None:
        refuse_unusual(tree, place)
        parts["generator"], notes = completed(_without_resampling(tree.states[place]), None)
        config["conv_clamp"] = _conv_clamp(tree, place)
        notes += _precision(tree, place)
    if (place := tree.place(DISCRIMINATOR_PLACES, is_discriminator)) is not None:
        refuse_unusual(tree, place)
        parts["discriminator"] = _without_resampling(tree.states[place])
        config["discriminator_conv_clamp"] = _conv_clamp(tree, place)
        config["mbstd_group_size"] = dict(settings(tree, place)).get("mbstd_group_size", 4)
    return Found(parts, config, notes)


def settings(tree: Tree, place: str) -> Iterator[tuple[str, Any]]:
    """Every setting the network at `place` was built with, by its innermost name."""
    record = tree.values.get(place)
    state = record.state if isinstance(record, Record) else {"_init_kwargs": tree.opts}
    for table in ("_init_kwargs", "static_kwargs"):
        yield from _flat(state.get(table))


def refuse_unusual(tree: Tree, place: str) -> None:
    """Refuse conditional networks and settings that would draw another picture.

    Raises:
        CheckpointError: the network is conditional or has such a setting.
    """
    if any("mapping.embed." in name or "/Label" in name for name in tree.states[place]):
        raise CheckpointError(
            "this network is conditional (it draws classes, c_dim > 0); only unconditional "
            "StyleGAN2 is supported: choose a model without labels"
        )
    for name, value in settings(tree, place):
        value = value.tolist() if isinstance(value, Tensor) else value
        value = list(value) if isinstance(value, tuple) else value
        if name in _STANDARD and value is not None and value != _STANDARD[name]:
            raise CheckpointError(
                f"this network was built with {name} = {str(value)[:80]}; only StyleGAN2's "
                f"{_STANDARD[name]} is supported"
            )


def _without_resampling(state: State) -> dict[str, Tensor]:
    return without_filters(state, lambda name: name.endswith("resample_filter"))


def _conv_clamp(tree: Tree, place: str) -> float | None:
    """The bound the layers themselves carry, else the one the network was asked for."""
    record = tree.values.get(place)
    layers = records(record) if isinstance(record, Record) else ()
    carried = [r.state.get("conv_clamp") for r in layers if isinstance(r.state, Mapping)]
    asked = [value for name, value in settings(tree, place) if name == "conv_clamp"]
    return next((float(c) for c in carried + asked if isinstance(c, (int, float))), None)


def _precision(tree: Tree, place: str) -> tuple[str, ...]:
    half = dict(settings(tree, place)).get("num_fp16_res")
    if not half:
        return ()
    return (f"NVIDIA's code computes its last {half} resolutions in float16; here none",)


def _flat(value: Any) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if isinstance(inner, Mapping):
            yield from _flat(inner)
        else:
            yield str(name), inner
