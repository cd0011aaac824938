"""What an inversion found, and its file: safetensors, with the settings in the metadata."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from engine.errors import CheckpointError, OptionError
from engine.inversion.settings import InversionSettings

FORMAT = "inversion-1"
LARGEST_FILE = 2**30
_NOISE = "noise."


@dataclass(frozen=True)
class Inversion:
    """What was found for N pictures; tensors are float32 on the CPU.

    Attributes:
        ws: [N, L, w_dim], codes of the generator.
        code: [N, dim] or [N, L, dim], the same in the space that was searched.
        noise: optimised maps [N, 1, R, R] by layer ("b8.conv0"); None if they were not.
        losses: [N, steps], each picture's own, without the regularisation of its noise; after the
            end of a picture its best.
        picture: [N, 3, R, R], what the generator draws of them, not clamped.
        settings: as they were given.
    """

    ws: Tensor
    code: Tensor
    noise: Mapping[str, Tensor] | None
    losses: Tensor
    picture: Tensor
    settings: InversionSettings

    @property
    def space(self) -> str:
        """The space that was searched."""
        return self.settings.space


def save_inversion(path: str | Path, found: Inversion, note: str = "") -> None:
    """Write an inversion: whole or not at all.

    Args:
        path: ends in .safetensors, by convention.
        found: the inversion.
        note: text kept in the metadata, for example which picture it was.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = Path(path)
    tensors = {name: getattr(found, name) for name in ("ws", "code", "losses", "picture")}
    tensors |= {f"{_NOISE}{name}": x for name, x in (found.noise or {}).items()}
    metadata = {"format": FORMAT, "settings": found.settings.to_json(), "note": note}
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        part.write_bytes(save({k: x.contiguous() for k, x in tensors.items()}, metadata))
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path} cannot be written: {error.strerror}; free some space or choose another folder"
        ) from error


def load_inversion(path: str | Path, note: str | None = None) -> Inversion:
    """Read what `save_inversion` wrote; nothing in the file is executed or trusted.

    Args:
        path: the file.
        note: what the file must have been saved with; None: anything.

    Raises:
        CheckpointError: the file is missing, damaged, too large, or not an inversion.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:
            raise CheckpointError(
                f"{path} has {size} bytes, an inversion at most {LARGEST_FILE}; give another file"
            )
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT or note not in (None, metadata.get("note")):
            raise ValueError(f"its metadata says {metadata.get('format')!r}")
        settings = InversionSettings.from_dict(json.loads(metadata["settings"]))
        return _checked(tensors, settings)
    except (OSError, SafetensorError, ValueError, KeyError, OptionError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is no inversion this program wrote ({error}); invert the picture again"
        ) from error


def _checked(tensors: dict[str, Tensor], settings: InversionSettings) -> Inversion:
    """Put an inversion together, if its tensors fit one another; raises ValueError, KeyError."""
    ranks = {"ws": (3,), "code": (2, 3), "losses": (2,), "picture": (4,)}
    parts = {name: tensors.pop(name) for name in ranks}
    noise = {name.removeprefix(_NOISE): x for name, x in tensors.items() if _NOISE in name}
    count = len(parts["ws"])
    for name, x in [*parts.items(), *tensors.items()]:
        fits = x.ndim in ranks.get(name, (4,)) and len(x) == count and x.dtype == torch.float32
        if not fits or not x.isfinite().all() or not x.numel():
            raise ValueError(f"{name} is {list(x.shape)} of {x.dtype}, or not finite")
    if len(noise) != len(tensors) or parts["losses"].shape[1] != settings.steps:
        raise ValueError(f"tensors {sorted(tensors)}, losses {list(parts['losses'].shape)}")
    return Inversion(noise=noise or None, settings=settings, **parts)
