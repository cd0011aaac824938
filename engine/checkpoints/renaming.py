"""What importing a StyleGAN2 from any source comes down to: rename, and complete.

Weights are renamed and reshaped, never rescaled: all public files store raw weights and apply the
equalised learning rate at run time, as we do.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from engine.checkpoints.tree import State
from engine.errors import CheckpointError
from engine.models.stylegan2 import mapping_from_state

SAMPLES_FOR_CENTRE = 4096  # as many as rosinality's code averages
_MAX_LISTED = 8


def listed(names: list[str]) -> str:
    """The first eight names, and how many more there are."""
    more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more


def renamed(state: State, name_of: Callable[[str], str | None], what: str) -> dict[str, Tensor]:
    """Give every tensor the name `name_of` says.

    Raises:
        CheckpointError: `name_of` knows no name for some tensors.
    """
    names = {name: name_of(name) for name in state}
    unknown = [name for name, ours in names.items() if ours is None]
    if unknown:
        raise CheckpointError(
            f"{len(unknown)} tensors are no part of {what}: {listed(unknown)}; the file is of "
            "another kind or was saved by changed code"
        )
    return {ours: state[name] for name, ours in names.items()}


def without_filters(state: State, is_filter: Callable[[str], bool]) -> dict[str, Tensor]:
    """Leave out the resampling filters: a constant of the architecture, which our networks know.

    Raises:
        CheckpointError: a filter is not the one of StyleGAN2, outer([1, 3, 3, 1]).
    """
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    for name in filter(is_filter, state):
        kernel = state[name].float()
        if kernel.shape != (4, 4) or not torch.allclose(
            kernel / kernel.sum(), torch.outer(row, row), atol=1e-3
        ):
            raise CheckpointError(
                f"{name} is not StyleGAN2's resampling filter outer([1, 3, 3, 1]) but "
                f"{list(kernel.shape)} {kernel.flatten()[:4].tolist()} ...: generators with other "
                "filters are not supported"
            )
    return {name: value for name, value in state.items() if not is_filter(name)}


def completed(state: State, centre: Tensor | None) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Add what files of a generator may lack: noise maps, and the mean of w.

    Args:
        state: a generator in our names.
        centre: what the file says the mean of w [512] is; None: `mapping.w_avg`, or estimated.

    Returns:
        The state, and a note on each thing that was added.
    """
    drawn = missing_noise(state)
    notes = [f"{len(drawn)} noise maps are not in the file: drawn from a fixed seed"] * bool(drawn)
    if centre is None and "mapping.w_avg" not in state:
        centre = estimated_centre(state)
        notes.append(
            "the file has no mean of w: estimated as the mean of the mapping over "
            f"{SAMPLES_FOR_CENTRE} codes drawn from a fixed seed"
        )
    w_avg = {} if centre is None else {"mapping.w_avg": centre}
    return {**state, **w_avg, **drawn}, tuple(notes)


def missing_noise(state: State) -> dict[str, Tensor]:
    """Noise maps [R, R] for the layers of `state` that have a noise strength but no map."""
    random = torch.Generator().manual_seed(0)
    drawn = {}
    for name in state:
        if m := re.fullmatch(r"(synthesis\.b(\d{1,4})\.conv[01])\.noise_strength", name):
            if f"{m[1]}.noise_const" not in state:
                size = int(m[2])
                drawn[f"{m[1]}.noise_const"] = torch.randn(size, size, generator=random)
    return drawn


@torch.no_grad()
def estimated_centre(state: State) -> Tensor:
    """Mean of w [w_dim] over seeded z, by the mapping network in `state`.

    Raises:
        CheckpointError: there is no mapping network, or it is damaged.
    """
    layers = {n.removeprefix("mapping."): v for n, v in state.items() if n.startswith("mapping.fc")}
    mapping = mapping_from_state(layers)
    random = torch.Generator().manual_seed(0)
    return mapping(torch.randn(SAMPLES_FOR_CENTRE, mapping.z_dim, generator=random)).mean(dim=0)
