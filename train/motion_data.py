"""What train.motion draws from: pairs of frames of a clip, and stills deformed twice."""

from dataclasses import dataclass

import torch
from torch import Tensor

from train.augment import jitter_colors
from train.clips import ClipSet, load_clips
from train.data import ImageSet, load_images
from train.deformation import draw_deformations
from train.motion_config import MotionConfig


@dataclass(frozen=True)
class Material:
    """Clips to train on, clips to measure on (the same if none is held out), photos or None."""

    clips: ClipSet
    held: ClipSet
    photos: ImageSet | None


def load_material(config: MotionConfig) -> Material:
    """Read what the settings name; raises DataError."""
    clips = load_clips(config.data, config.size)
    held, rest = clips.split_off(config.holdout)
    photos = load_images(config.photos, config.size) if config.photos else None
    return Material(rest, held if len(held) else rest, photos)


def draw_pairs(
    config: MotionConfig, material: Material, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Sources and driving pictures of a step, float [batch, 2, 3, S, S] in [0, 1]."""
    count = 0
    if material.photos:
        count = int((torch.rand(config.batch, generator=generator) < config.photo_share).sum())
    parts = []
    if count < config.batch:
        pairs = material.clips.pairs(config.batch - count, generator)
        parts.append(pairs.to(device).float() / 255)
    if count:
        index = torch.randint(len(material.photos), (count,), generator=generator)
        photos = material.photos.images[index].to(device).float() / 255
        parts.append(torch.stack([_deformed(photos, config) for _ in range(2)], dim=1))
    return jitter_colors(torch.cat(parts), config.jitter)


def _deformed(photos: Tensor, config: MotionConfig) -> Tensor:
    sigma = (config.photo_affine, config.photo_bend)
    return draw_deformations(len(photos), *sigma, config.bend_side, device=photos.device).warp(
        photos
    )
