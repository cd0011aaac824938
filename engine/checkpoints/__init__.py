"""Foreign weights, read safely: names of public checkpoints -> our names."""

from engine.checkpoints.nvidia import discriminator_from_nvidia, generator_from_nvidia
from engine.checkpoints.rosinality import discriminator_from_rosinality, generator_from_rosinality

__all__ = [
    "discriminator_from_nvidia",
    "discriminator_from_rosinality",
    "generator_from_nvidia",
    "generator_from_rosinality",
]
