"""Tiny random packs for tests: a base and styles whose pictures are 32 px of noise.

`write_packs(tmp_path)` gives a folder for `StyleLibrary([folder])` or `$STYLIZE_HOME/packs`;
`FixedFaces` is a detector that finds what it is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine.card import (
    BLEND_FILE,
    GENERATOR_FILE,
    STYLE_ENCODER_FILE,
    STYLE_MAPPING_FILE,
    Card,
)
from engine.models.blendgan import StyleEncoder
from engine.models.detector import CellNetwork, FaceNetwork, PointNetwork
from engine.models.discriminator import Discriminator
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.stylegan2 import Generator, MappingNetwork
from engine.pack import save_pack

RESOLUTION, CODE = 32, 16
CHANNELS = {4: 8, 8: 8, 16: 8, 32: 8}
NUM_WS = 8
PATHS = ("first", "second")


def generator(seed: int, num_paths: int = 1) -> Generator:
    torch.manual_seed(seed)
    sizes = {"z_dim": CODE, "w_dim": CODE, "num_layers": 2, "channels": CHANNELS}
    network = Generator(RESOLUTION, **sizes, num_paths=num_paths, path_until=16)
    network.mapping.w_avg.normal_()
    return network


def card(name: str, kind: str, **more: object) -> Card:
    layout = {"resolution": RESOLUTION, "num_ws": NUM_WS, "channels": CHANNELS}
    return Card(name=name, kind=kind, title=name.title(), licence="Apache-2.0", **layout, **more)


def _detector() -> FaceNetwork:
    return FaceNetwork(
        CellNetwork((8,) * 5, (0,) * 5, neck=8), PointNetwork((8,) * 4, (0,) * 4, neck=8)
    )


def write_base(folder: Path, *, seed: int = 0, detector: bool = False) -> Card:
    """Write the base pack `folder`/base; a random detector finds random things."""
    source = generator(seed)
    encoder = FeaturePyramidEncoder(
        NUM_WS,
        input_size=32,
        widths=(4, 8, 16, 8, 16),
        units=(1, 1, 1, 1),
        style_dim=CODE,
        initial_logvar=-1.0,
    )
    torch.nn.init.normal_(encoder.fc_mu.weight)  # else every face has the same posterior mean
    states = {
        GENERATOR_FILE: source.state_dict(),
        "discriminator.safetensors": Discriminator(RESOLUTION, channels=CHANNELS).state_dict(),
        "encoder.safetensors": encoder.state_dict(),
    }
    if detector:
        states["detector.safetensors"] = _detector().state_dict()
    return save_pack(folder / "base", card("base", "base"), states).card


def write_style(
    folder: Path, base: Card, name: str, *, kind: str = "blended", seed: int = 1
) -> Card:
    """Write a style; blended ones have the two attribute paths of PATHS."""
    network = generator(seed, num_paths=1 if kind == "swapped" else 2)
    state = {k: v for k, v in network.state_dict().items() if k.startswith("synthesis.")}
    more = {"swap_resolution": 8} if kind == "swapped" else {"attributes": PATHS}
    more["base"] = {"name": "base", "sha256": base.files[GENERATOR_FILE]}
    preview = np.full((16, 16, 3), 128, np.uint8)
    return save_pack(folder / name, card(name, kind, **more), {GENERATOR_FILE: state}, preview).card


def write_any_style(folder: Path, base: Card) -> Card:
    """Write a style of BlendGAN's kind, "any": style encoder, second mapping, learned weights."""
    torch.manual_seed(11)
    state = generator(4).state_dict()
    encoder = StyleEncoder((4, 6), (1, 1), hidden=(CODE,), style_dim=CODE)
    files = {
        GENERATOR_FILE: {k: v for k, v in state.items() if k.startswith("synthesis.")},
        STYLE_ENCODER_FILE: encoder.state_dict(),
        STYLE_MAPPING_FILE: MappingNetwork(CODE, CODE, 2).state_dict(),
        BLEND_FILE: {"face_weights": torch.linspace(-0.2, 1.2, NUM_WS)},
    }
    reference = {"name": "base", "sha256": base.files[GENERATOR_FILE]}
    return save_pack(folder / "any", card("any", "blended", base=reference), files).card


def write_packs(folder: Path, styles: Sequence[str] = ("cartoon", "comic")) -> Path:
    """Write a base and blended styles into `folder`, and return it."""
    base = write_base(folder)
    for seed, name in enumerate(styles, start=1):
        write_style(folder, base, name, seed=seed)
    return folder


@dataclass(frozen=True)
class FixedFaces:
    """A detector that finds the same faces in every photo."""

    faces: tuple = ()

    def __call__(self, rgb: np.ndarray) -> list:
        return list(self.faces)
