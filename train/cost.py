"""What a pack costs: size, time per image and training, as in Lu & Zhou (2025), Table 3."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from engine.base import Base
from engine.card import Card

TIMED = 5


def cost(card: Card, networks: Sequence[torch.nn.Module]) -> dict[str, Any]:
    """Size and training of a pack; None where the card does not say.

    Parameters are those of encoder and one generator. Hours and images are summed over the entries
    of a base, of which the detector's is left out.
    """
    entries = [card.training] if card.kind != "base" else _entries(card.training)

    def total(key: str) -> float | None:
        found = [entry[key] for entry in entries if key in entry]
        return round(sum(found), 3) if found else None

    parameters = sum(p.numel() for network in networks for p in network.parameters())
    return {
        "parameters": parameters,
        "resolution": card.resolution,
        "training_hours": total("hours"),
        "images_seen": total("images_seen"),
    }


def seconds_per_image(base: Base, space: str, draw: Callable[..., Tensor]) -> float:
    """Median time to encode and draw one aligned photo, after one that does not count."""
    sizes, times = (base.encoder_into(space).input_size, base.generator.resolution), []
    small, large = (torch.zeros(1, 3, size, size) for size in sizes)
    for _ in range(1 + TIMED):
        begun = time.perf_counter()
        with torch.inference_mode():
            ws = base.encode(small, space).ws
            detail = base.detail(large, ws)
            draw(*((ws,) if detail is None else (ws, detail))).cpu()
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def encoders_of(base: Base, space: str) -> list[torch.nn.Module]:
    """What reads a photo: the encoder, and that of the detail where there is one."""
    found = [base.encoder_into(space), base.detail_encoder]
    return [network for network in found if network is not None]


def _entries(training: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a base's card says of its generator and encoders, by the files they are about."""
    return [v for k, v in training.items() if "generator" in k or "encoder" in k]
