"""Semantic directions of a generator, from its weights alone; the basis V; moving along them.

SeFa (Shen & Zhou 2021, arXiv 2007.06600): what a step n in W changes first is A n, A the matrices
that turn a code into styles, so the directions that change most are the eigenvectors of A^T A. Two
stacks A are in use, and both are here. UI2I-StyleGAN2 (Huang et al. 2021, Section III.B) takes all
of them as the basis V of an inversion, w = v^T V. AgileGAN edits along them (Song et al. 2021,
Figure 16). Pure functions on state dicts in our names: of a source or of a fine-tuned generator.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from engine.errors import CheckpointError, OptionError

Definition = Literal["ui2i", "sefa"]
Convention = Literal["paper", "script"]
_AFFINE = re.compile(r"synthesis\.(?:paths\.(\d+)\.)?b(\d+)\.(conv0|conv1|torgb)\.affine\.weight$")


@dataclass(frozen=True)
class Directions:
    """Directions in W, the most visible first.

    Attributes:
        vectors: [K, w_dim], orthonormal rows; the largest element of each is positive, so that a
            slider goes the same way on every machine.
        values: [K], singular values of the stacked weights: how much each changes the styles.
    """

    vectors: Tensor
    values: Tensor


def stacked_weights(
    state: Mapping[str, Tensor],
    *,
    definition: Definition = "ui2i",
    layers: Sequence[int] | None = None,
    path: int = 0,
) -> Tensor:
    """Stack the modulation matrices, one below the other in the order of their codes.

    Args:
        state: a generator.
        definition: "ui2i", as the public UI2I code does: every convolution and the ToRGB at 4 px.
            "sefa", as genforce/sefa does: every convolution and the last ToRGB, each row of length
            one.
        layers: only matrices that read these codes (0 .. num_ws - 1), for example range(4) for
            coarse changes; None: all.
        path: which of the attribute paths, where there are several.

    Returns:
        A, float64 [M, w_dim].

    Raises:
        CheckpointError: there are no modulation matrices in `state`.
        OptionError: a definition or layers that do not exist.
    """
    found = _matrices(state, definition, path)
    num_ws = 2 * len({resolution for resolution, *_ in _affines(state, path)})
    wanted = range(num_ws) if layers is None else layers
    if not len(wanted) or min(wanted) < 0 or max(wanted) >= num_ws:
        raise OptionError(
            f"layers {list(wanted)} for semantic directions; accepted are one or more of "
            f"0 .. {num_ws - 1}, the codes of this generator"
        )
    chosen = [weight for layer, weight in found if layer in wanted]
    if not chosen:
        raise OptionError(
            f"no modulation matrix of definition {definition!r} reads layers {list(wanted)}; "
            f"it uses {sorted({layer for layer, _ in found})}"
        )
    stack = torch.cat([weight.detach().cpu().double() for weight in chosen])
    if definition == "sefa":
        return stack / stack.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return stack


def directions(
    state: Mapping[str, Tensor],
    *,
    definition: Definition = "ui2i",
    layers: Sequence[int] | None = None,
    count: int | None = None,
    path: int = 0,
) -> Directions:
    """Find the directions in W that change the styles most (Shen & Zhou 2021, Equation 8).

    Args:
        state, definition, layers, path: see `stacked_weights`.
        count: how many, the strongest first; None: all w_dim.

    Raises:
        CheckpointError, OptionError: see `stacked_weights`; a count outside 1 .. w_dim.
    """
    stack = stacked_weights(state, definition=definition, layers=layers, path=path)
    w_dim = stack.shape[1]
    count = w_dim if count is None else count
    if not 1 <= count <= w_dim:
        raise OptionError(f"{count} semantic directions; accepted are 1 .. {w_dim}")
    squares, vectors = torch.linalg.eigh(stack.T @ stack)  # ascending, vectors as columns
    vectors = vectors.T.flip(0)[:count]
    peaks = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    values = squares.flip(0)[:count].clamp_min(0).sqrt()
    return Directions((vectors * peaks.sign()).float(), values.float())


def v_basis(
    state: Mapping[str, Tensor], *, convention: Convention = "paper", path: int = 0
) -> Tensor:
    """Return V [w_dim, w_dim], orthogonal, for w = v @ V (Huang et al. 2021, Equation 9).

    Args:
        state: a generator.
        convention: "paper": the rows of V are the semantic directions, so that v holds one
            coordinate per direction. "script": its columns are, because the public code multiplies
            `weight @ eigvec`; only that way do the `weight` entries of its files give their codes.
        path: which of the attribute paths, where there are several.

    Raises:
        CheckpointError: there are no modulation matrices in `state`.
        OptionError: another convention.
    """
    if convention not in ("paper", "script"):
        raise OptionError(f"V convention {convention!r}; accepted are paper and script")
    rows = directions(state, path=path).vectors
    return rows if convention == "paper" else rows.T.contiguous()


def edit(
    ws: Tensor, direction: Tensor, amount: float, layers: Sequence[int] | None = None
) -> Tensor:
    """Move codes along a direction: ws + amount * direction (AgileGAN, Figure 16).

    Args:
        ws: [N, L, w_dim].
        direction: [w_dim], for example a row of `Directions.vectors`; or [L, w_dim], one per layer
            (train.directions).
        amount: how far; 0 changes nothing, negative goes the other way.
        layers: which of the L codes move; None: all.

    Returns:
        [N, L, w_dim], a new tensor.

    Raises:
        OptionError: shapes that do not fit, or layers outside 0 .. L - 1.
    """
    if ws.ndim != 3 or direction.shape not in (ws.shape[1:], ws.shape[2:]):
        raise OptionError(
            f"codes of shape {list(ws.shape)} and a direction of shape {list(direction.shape)}; "
            "expected [N, L, w_dim] and [w_dim] or [L, w_dim]"
        )
    num_ws = ws.shape[1]
    moved = range(num_ws) if layers is None else layers
    if any(not 0 <= layer < num_ws for layer in moved):
        raise OptionError(f"layers {list(moved)} to edit; accepted are 0 .. {num_ws - 1}")
    share = torch.zeros(num_ws, 1, dtype=ws.dtype, device=ws.device)
    share[list(moved)] = amount
    return ws + share * direction.to(ws)


def _affines(state: Mapping[str, Tensor], path: int) -> dict[tuple[int, str], Tensor]:
    """The modulation matrices of one path, by resolution and layer, from 4 px up."""
    found = {}
    for name, weight in state.items():
        match = _AFFINE.match(name)
        if match and match[1] in (None, str(path)):
            found[int(match[2]), match[3]] = weight
    if not found:
        raise CheckpointError(
            f"no modulation matrices in these {len(state)} tensors (path {path}); names such as "
            "synthesis.b4.conv1.affine.weight are expected: give the state of a generator"
        )
    return dict(sorted(found.items()))


def _matrices(
    state: Mapping[str, Tensor], definition: Definition, path: int
) -> list[tuple[int, Tensor]]:
    """(index of the code it reads, matrix) for all that a definition takes, in that order."""
    affines = _affines(state, path)
    resolutions = sorted({resolution for resolution, _ in affines})
    if definition not in ("ui2i", "sefa"):
        raise OptionError(f"definition {definition!r}; accepted are ui2i and sefa")
    torgb = resolutions[0] if definition == "ui2i" else resolutions[-1]
    found = []
    for (resolution, layer), weight in affines.items():
        if layer != "torgb" or resolution == torgb:
            block = 2 * resolutions.index(resolution)
            found.append((block + {"conv0": -1, "conv1": 0, "torgb": 1}[layer], weight))
    return sorted(found, key=lambda pair: pair[0])
