"""How far pictures in half precision are from those in float32, on the embedded base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from engine.card import GENERATOR_FILE
from engine.image import to_uint8
from engine.library import StyleLibrary
from engine.models.stylegan2 import generator_from_state
from engine.pack import load_pack
from engine.runtime import DTYPES, Runtime

NUM_CODES, TRUNCATION = 16, 0.7
CLOSE = 2  # grey levels
BATCHES = (1, 8)


@torch.inference_mode()
def rows(runtime: Runtime, batches: Sequence[int] = BATCHES) -> list[dict[str, Any]]:
    """Return a row per format and batch: the share of numbers that are close, and the farthest.

    The float32 it is compared with is computed without TF32. float16 has a row on GPUs only.
    """
    pack = load_pack(StyleLibrary().find("base"))
    G = generator_from_state(pack.state(GENERATOR_FILE), pack.card.conv_clamp)
    G = G.to(runtime.device).eval()
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(NUM_CODES, G.mapping.z_dim, generator=generator).to(runtime.device)
    ws = G.ws(z, TRUNCATION)

    def pictures(dtype: torch.dtype, batch: int) -> torch.Tensor:
        G.synthesis.dtype = dtype
        parts = [to_uint8(G.synthesis(part)) for part in ws.split(batch)]
        return torch.cat([torch.from_numpy(part) for part in parts]).int()

    with torch.backends.cudnn.flags(allow_tf32=False):
        exact = pictures(torch.float32, 1)
    made = []
    for name, dtype in DTYPES.items():
        if name == "float16" and runtime.device.type == "cpu":
            continue
        for batch in batches:
            off = (pictures(dtype, batch) - exact).abs()
            close = (off <= CLOSE).double().mean().item()
            made.append(
                {"format": name, "batch": batch, "close": close, "farthest": int(off.max())}
            )
    return made
