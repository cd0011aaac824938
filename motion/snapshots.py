"""State as a flat dict of tensors and JSON values, which safetensors and a JSON text can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.align import AlignedFace
from engine.pipeline import Portrait, Stylizer

POSTERIOR = ("mu", "logvar")  # of a portrait; a video is drawn from the mean


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


def kept_faces(faces: Mapping[int, Mapping[int, Portrait]]) -> dict[str, Any]:
    """Return portraits by frame and number, as far as their posterior means can be drawn again."""
    kept = {
        str(i): {str(k): _kept(p) for k, p in of_frame.items()} for i, of_frame in faces.items()
    }
    return {"placed": list(faces), "faces": kept}  # frames without a face have no arrays


def restored_faces(state: Mapping[str, Any], stylizer: Stylizer) -> dict[int, dict[int, Portrait]]:
    """Undo `kept_faces` for a stylizer of the same base."""
    faces = state.get("faces", {})
    return {
        index: {int(k): _restored(p, stylizer) for k, p in faces.get(str(index), {}).items()}
        for index in state["placed"]
    }


def _kept(portrait: Portrait) -> dict[str, Any]:
    values = {field.name: getattr(portrait, field.name) for field in fields(portrait)}
    needed = {name: v for name, v in values.items() if name not in POSTERIOR}
    tensors = {name: v.numpy() for name, v in needed.items() if isinstance(v, Tensor)}
    face = {"crop": portrait.face.crop, "photo_to_crop": portrait.face.photo_to_crop}
    rest = {"landmarks": portrait.landmarks, "attributes": dict(portrait.attributes)}
    return {**face, **rest, "tensors": tensors}


def _restored(kept: Mapping[str, Any], stylizer: Stylizer) -> Portrait:
    tensors = {name: torch.from_numpy(value) for name, value in kept["tensors"].items()}
    return Portrait(
        face=AlignedFace(kept["crop"], kept["photo_to_crop"]),
        landmarks=kept["landmarks"],
        space=stylizer.card.encoder_space,
        base_sha256=stylizer.style.base.sha256,
        attributes=kept.get("attributes", {}),
        **{**dict.fromkeys(POSTERIOR), **tensors},
    )
