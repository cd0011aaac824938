"""Surgery on generators: interpolate, swap and blend layers, copy paths, take colour out, share.

Pure functions from state dicts to state dicts.

Names are NVIDIA's: `mapping.fc0.weight`, `synthesis.b8.conv0.weight`, attribute paths
`synthesis.paths.1.b8.conv0.weight`. Both generators must descend from one, or the result is noise.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from engine.errors import CheckpointError, OptionError

_PATH = re.compile(r"\bpaths\.\d+\.")
_TO_RGB = re.compile(r"\btorgb\.(weight|bias)$")
LUMA = (0.299, 0.587, 0.114)
_RESOLUTION = re.compile(r"^synthesis\.(?:paths\.\d+\.)?b(\d+)\.")


def block_resolution(name: str) -> int | None:
    """Return the resolution of the block the tensor `name` belongs to, None for the mapping."""
    match = _RESOLUTION.match(name)
    return int(match[1]) if match else None


def interpolate(a: Mapping[str, Tensor], b: Mapping[str, Tensor], t: float) -> dict[str, Tensor]:
    """Mix all weights of two generators: (1 - t) a + t b.

    Network interpolation (Wang et al. 2019, arXiv 1811.10515, equation 1): how strong a style is.

    Args:
        a, b: state dicts with the same names and shapes.
        t: 0 gives `a`, 1 gives `b`; values outside extrapolate.

    Returns:
        New tensors of the type of those of `a`; what is not floating point comes from `a`.

    Raises:
        CheckpointError: names or shapes differ.
    """
    _check_same_names(a, b)
    mixed = {}
    for name, weight in a.items():
        other = _fitting(name, weight, b[name])
        if weight.is_floating_point():
            mixed[name] = torch.lerp(weight, other.to(weight), t)
        else:
            mixed[name] = weight.clone()
    return mixed


def swap_layers(
    low: Mapping[str, Tensor],
    high: Mapping[str, Tensor],
    resolution: int,
    *,
    target: Literal["low", "high"] = "low",
) -> dict[str, Tensor]:
    """Join the low blocks of one generator to the high blocks of another.

    Resolution dependent interpolation (Pinkney & Adler 2020, arXiv 2010.05334, section 2), with a
    step: weights are those of `low` where r <= `resolution`, those of `high` where r > it. With the
    fine-tuned generator as `low` and its source as `high` this is Toonify: shapes of the style,
    texture of a photo; the other way round shapes stay and the texture is drawn.

    A block takes everything along: convolutions, noise, ToRGB.

    Args:
        low, high: state dicts of two generators of the same resolution.
        resolution: the last one taken from `low`, one of the blocks below the highest.
        target: the fine-tuned one of the two. Its mapping and its w_avg are kept, and its
            attribute paths: the other may have a single path, which then serves all of them.

    Returns:
        A new dict with the names of the target; the tensors are not copied.

    Raises:
        OptionError: no block with that resolution, or nothing above it.
        CheckpointError: the generators do not fit each other.
    """
    kept = low if target == "low" else high
    _check_resolution(kept, resolution)
    swapped = {}
    for name, weight in kept.items():
        block = block_resolution(name)
        if block is None:
            swapped[name] = weight
        else:
            swapped[name] = _take(name, weight, low if block <= resolution else high)
    return swapped


def blend_layers(
    low: Mapping[str, Tensor],
    high: Mapping[str, Tensor],
    resolution: int,
    *,
    width: float = 0.25,
) -> dict[str, Tensor]:
    """Join the low blocks of a fine-tuned generator to the high ones of its source, smoothly.

    Resolution dependent interpolation (Pinkney & Adler 2020, arXiv 2010.05334, section 2): block r
    takes `high` with weight 1 / (1 + exp(-x / width)), x = log2(r / resolution) - 1/2, so that the
    middle lies between `resolution` and the next block. The mapping is that of `low`.

    Args:
        low, high: state dicts of two generators of one architecture, each with a single path.
        resolution: the last block, in pixels, that is mostly `low`.
        width: in blocks; 0 is the step of `swap_layers`.

    Returns:
        A new dict with the names of `low`.

    Raises:
        OptionError: no block with that resolution, or nothing above it.
        CheckpointError: the generators do not fit each other.
    """
    if width == 0:
        return swap_layers(low, high, resolution)
    _check_same_names(low, high)
    _check_resolution(low, resolution)
    blended = {}
    for name, weight in low.items():
        block = block_resolution(name)
        if block is None:
            blended[name] = weight
            continue
        x = (math.log2(block / resolution) - 0.5) / width
        other = _fitting(name, weight, high[name])
        blended[name] = torch.lerp(weight, other.to(weight), 1 / (1 + math.exp(-x)))
    return blended


def without_shared(state: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a style that are not its source's: what of it a pack has to hold.

    The last digit of float16 does not count, in which packs are stored: a source in 8 bits lies
    between its steps, and weights that were mixed with the source's are a rounding away from them.
    """
    kept = {k: v for k, v in state.items() if k not in source or not _is_same(v, source[k])}
    return kept or dict(state)  # a style that changed nothing stays a generator


def _is_same(value: Tensor, other: Tensor) -> bool:
    a, b = value.cpu().float(), other.cpu().float()
    return a.shape == b.shape and torch.allclose(a, b, rtol=2**-10, atol=2**-24)


def with_shared(state: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a style's tensors and those of its source that it has none of its own for.

    A tensor in attribute paths stands for the one without paths.
    """
    own = {_PATH.sub("", name) for name in state}
    return {**{k: v for k, v in source.items() if k not in own}, **state}


def without_color(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a generator that draws the luma (BT.601) of what `state` draws, in all channels.

    A picture is a sum of ToRGB outputs, so that it is enough to give each of them equal rows. For
    styles without colour: a young generator leaves traces of the photo's.
    """
    luma = torch.tensor(LUMA)

    def gray(value: Tensor) -> Tensor:
        row = torch.tensordot(luma.to(value), value, dims=1)
        return row.expand_as(value).clone()

    return {k: gray(v) if _TO_RGB.search(k) else v for k, v in state.items()}


def _check_resolution(state: Mapping[str, Tensor], resolution: int) -> None:
    """Raise OptionError unless `resolution` is one of the blocks below the highest."""
    present = sorted({r for name in state if (r := block_resolution(name))})
    if resolution not in present[:-1]:
        raise OptionError(
            f"cannot swap layers at {resolution} px; accepted for this generator: "
            f"{', '.join(map(str, present[:-1])) or 'none'}"
        )


def _take(name: str, weight: Tensor, donor: Mapping[str, Tensor]) -> Tensor:
    """Return the tensor `name` of `donor`, of its only path where it has no attribute paths."""
    plain = _PATH.sub("", name)
    found = donor.get(name, donor.get(plain))
    if found is None:
        raise CheckpointError(
            f"cannot swap layers: one generator has {name}, the other neither that nor {plain}; "
            "both must have the same resolution, and only the target attribute paths"
        )
    return _fitting(name, weight, found)


def _fitting(name: str, weight: Tensor, other: Tensor) -> Tensor:
    if weight.shape != other.shape:
        raise CheckpointError(
            f"{name} is {list(weight.shape)} in one generator and {list(other.shape)} in the "
            "other; only generators fine-tuned from the same source fit each other"
        )
    return other


def _check_same_names(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    different = sorted(set(a) ^ set(b))
    if different:
        raise CheckpointError(
            f"the generators have different tensors ({len(different)}, for example "
            f"{different[0]}); only generators of one architecture can be interpolated"
        )


def expand_paths(
    state: Mapping[str, Tensor], num_paths: int, path_until: int, path_from: int = 8
) -> dict[str, Tensor]:
    """Give every attribute its own copy of the blocks `path_from` .. `path_until` px.

    AgileGAN, section 3.3: paths in the low layers (8 .. 64 px of 1024) for what changes the shape
    of a face, in the high ones for what changes its texture; all start as the source.

    Args:
        state: a generator with a single path.
        num_paths: number of attributes; 1 returns the state as it is.
        path_until, path_from: highest and lowest resolution, in pixels, that is copied.

    Raises:
        OptionError: these are no blocks from 8 px up, or in the wrong order.
    """
    if num_paths == 1:
        return dict(state)
    present = sorted({r for name in state if (r := block_resolution(name))})
    if not {path_from, path_until} <= set(present[1:]) or path_from > path_until:
        raise OptionError(
            f"attribute paths cannot reach from {path_from} to {path_until} px; accepted for this "
            f"generator, in rising order: {', '.join(map(str, present[1:]))}"
        )
    expanded = {}
    for name, weight in state.items():
        if path_from <= (block_resolution(name) or 0) <= path_until:
            for path in range(num_paths):
                copied = name.replace("synthesis.", f"synthesis.paths.{path}.", 1)
                expanded[copied] = weight.clone()
        else:
            expanded[name] = weight
    return expanded
