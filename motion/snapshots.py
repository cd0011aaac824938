"""State as a flat dict of tensors and JSON values, which safetensors and a JSON text can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def flattened(state: Mapping[str, Any]) -> dict[str, Any]:
    """Join the names of nested dicts with "/"; arrays become tensors. Empty dicts are left out."""
    flat: dict[str, Any] = {}
    for name, value in state.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}/{k}": v for k, v in flattened(value).items()})
        elif isinstance(value, np.ndarray):
            flat[name] = torch.from_numpy(np.array(value))  # a copy: the state goes on
        else:
            flat[name] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `flattened`: nested dicts of arrays and values, copied."""
    state: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, name = path.split("/")
        inner = state
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[name] = value.numpy().copy() if isinstance(value, torch.Tensor) else value
    return state
