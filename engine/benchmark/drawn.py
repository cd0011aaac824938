"""Packs with drawn weights as large as the public networks: speed does not see what they draw."""

from __future__ import annotations

from pathlib import Path

import torch

from engine.card import DETECTOR_FILE, DISCRIMINATOR_FILE, ENCODER_FILE, GENERATOR_FILE, Card
from engine.library import StyleLibrary
from engine.models.discriminator import Discriminator
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.stylegan2 import Generator
from engine.pack import load_pack, save_pack

STYLE = "drawn"


def write_drawn(folder: Path, resolution: int, *, trainable: bool = False) -> Path:
    """Write a base in config-f with AgileGAN's encoder at 256 px, and the style "drawn" of it.

    Faces are found by the detector of the embedded base, whose weights are real.

    Args:
        folder: gets the packs `base` and `drawn`.
        resolution: of the generators, in pixels.
        trainable: add a discriminator, which only trainings need.

    Returns:
        `folder`.
    """
    torch.manual_seed(0)
    G = Generator(resolution)
    thirds = (G.num_ws // 3, G.num_ws // 3)  # Song et al. 2021, Section 3.2
    encoder = FeaturePyramidEncoder(G.num_ws, shared_blocks=True, levels=thirds)
    detector = load_pack(StyleLibrary().find("base")).state(DETECTOR_FILE)
    states = {
        GENERATOR_FILE: G.state_dict(),
        ENCODER_FILE: encoder.state_dict(),
        DETECTOR_FILE: detector,
    }
    if trainable:
        states[DISCRIMINATOR_FILE] = Discriminator(resolution).state_dict()
    layout = {"resolution": resolution, "num_ws": G.num_ws, "channels": G.synthesis.channels}
    fields = {"licence": "Apache-2.0", "training": {"weights": "drawn"}, **layout}
    card = Card(name="base", kind="base", title="Drawn", **fields)
    base = save_pack(folder / "base", card, states).card
    reference = {"name": "base", "sha256": base.files[GENERATOR_FILE]}
    card = Card(name=STYLE, kind="blended", title="Drawn", base=reference, **fields)
    synthesis = {k: v for k, v in G.state_dict().items() if k.startswith("synthesis.")}
    save_pack(folder / STYLE, card, {GENERATOR_FILE: synthesis})
    return folder
