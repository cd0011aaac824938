"""A foreign file in our names, and the networks it becomes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.checkpoints.tensors import check_finite
from engine.checkpoints.tree import State
from engine.models.blendgan import style_encoder_from_state
from engine.models.discriminator import Discriminator, discriminator_from_state
from engine.models.encoder import encoder_from_state
from engine.models.irse import arcface_from_state
from engine.models.loading import shapes_of
from engine.models.stylegan2 import generator_from_state, mapping_from_state

_BUILDERS: dict[str, Callable[[State], nn.Module]] = {
    "encoder": encoder_from_state,
    "identity": arcface_from_state,
    "style_encoder": style_encoder_from_state,
    "style_mapping": mapping_from_state,
}
# Tables that stay tables: the networks they are of lie above the engine, in `motion.fomm`.
MOTION_PARTS = ("keypoints", "motion_generator")


@dataclass(frozen=True)
class Checkpoint:
    """What a foreign file holds.

    Attributes:
        path: where it was read.
        kind: one of `engine.checkpoints.KINDS`.
        config: what the tensors do not tell: `encoder_space` ("w", "w+", "z+"), `attributes` in the
            order of the generator's paths, `conv_clamp`, `resolution` in px.
        parts: tensors by our names for each network: `generator`, `discriminator`, `encoder`,
            `identity`, `style_encoder`, `style_mapping`, and those of `MOTION_PARTS`; or a tensor:
            `blend_weights` [L], `codes` and UI2I's `weight` ([N, 512] or [N, L, 512]),
            `directions` [512, 512].
        notes: what was added, left out or changed, one sentence each.
    """

    path: str
    kind: str
    config: Mapping[str, Any]
    parts: Mapping[str, State | Tensor]
    notes: tuple[str, ...]

    def build(self) -> dict[str, nn.Module | Tensor | State]:
        """Make the networks, float32 on the CPU and ready for inference; tensors stay tensors.

        Raises:
            CheckpointError: a tensor is missing, unexpected or of the wrong shape.
        """
        return {name: self._built(name, part) for name, part in self.parts.items()}

    def check(self) -> None:
        """Find out whether `build` would succeed, and whether all numbers are finite.

        Raises:
            CheckpointError: it would not, or a tensor holds NaN or infinity.
        """
        for name, part in self.parts.items():
            if isinstance(part, Tensor):
                check_finite({name: part})
                continue
            check_finite(part)
            with torch.device("meta"):  # shapes only: nothing is allocated
                self._built(name, shapes_of(part))

    def _built(self, name: str, part: State | Tensor) -> nn.Module | Tensor | State:
        if isinstance(part, Tensor) or name in MOTION_PARTS:
            return part
        if name == "generator":
            return generator_from_state(part, conv_clamp=self.config.get("conv_clamp"))
        if name == "discriminator":
            return self._discriminator(part)
        return _BUILDERS[name](part).eval().requires_grad_(False)

    def _discriminator(self, part: State) -> Discriminator:
        clamp = self.config.get("discriminator_conv_clamp")
        network = discriminator_from_state(part, conv_clamp=clamp)
        network.b4.group_size = self.config.get("mbstd_group_size", network.b4.group_size)
        return network
