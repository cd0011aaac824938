"""Weights in 8 bits: rounded per output channel, half the size of float16.

A matrix or kernel [O, ...] is kept as int8 [O, ...] and a float32 scale [O] beside it, under the
same name with `.int8_scale`: w = q * scale, with scale = max |w| / 127 of its row. Short tensors
(biases, noise strengths, constants) stay as they are: they cost little and round badly.
"""

from collections.abc import Mapping

import torch

from engine.errors import PackError

State = dict[str, torch.Tensor]
SUFFIX = ".int8_scale"
SMALLEST = 4096  # values: shorter tensors stay as they are


def to_eight_bits(state: Mapping[str, torch.Tensor]) -> State:
    """Return a state whose matrices and kernels are int8 with scales; the rest as it was."""
    stored: State = {}
    for name, value in state.items():
        if not value.is_floating_point() or value.ndim < 2 or value.numel() < SMALLEST:
            stored[name] = value
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        stored[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
        stored[name + SUFFIX] = scale
    return stored


def from_eight_bits(state: State) -> State:
    """Return the state with float32 in place of int8 and its scales; raises PackError.

    A state without scales comes back as it is.
    """
    scales = [name for name in state if name.endswith(SUFFIX)]
    restored = {name: value for name, value in state.items() if name not in scales}
    for name in scales:
        weight, scale = name.removesuffix(SUFFIX), state[name]
        value = restored.get(weight)
        if value is None or value.dtype != torch.int8 or scale.shape != value.shape[:1]:
            raise PackError(
                f"{name} of shape {list(scale.shape)} belongs to no int8 tensor [{len(scale)}, ...]"
                f" called {weight}: copy the pack again"
            )
        restored[weight] = (value.flatten(1).float() * scale.float()[:, None]).view(value.shape)
    return restored
