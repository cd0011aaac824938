"""What train.motion draws from: pairs of frames of a clip, and stills deformed twice."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from train.augment import jitter_colors
from train.clips import ClipSet, load_clips
from train.data import ImageSet, load_images
from train.deformation import draw_deformations
from train.motion_config import MotionConfig


@dataclass(frozen=True)
class Material:
    """Clips to train on, clips to measure on (the same if none is held out), photos or None.

    What is trained on is larger than the networks' pictures by the configured zoom.
    """

    clips: ClipSet
    held: ClipSet
    photos: ImageSet | None


def load_material(config: MotionConfig, device: torch.device) -> Material:
    """Read what the settings name, frames onto the device if they fit; raises DataError."""
    size = round(config.size * config.zoom)
    held, rest = load_clips(config.data, size).split_off(config.holdout)
    photos = load_images(config.photos, size) if config.photos else None
    held = replace(held if len(held) else rest, size=config.size)
    return Material(rest.resident(device), held, photos)


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
    return _zoomed(jitter_colors(torch.cat(parts), config.jitter), config.size)


def _zoomed(pairs: Tensor, size: int) -> Tensor:
    """Cut squares of `size` px or more from the middle of pairs [N, 2, 3, S, S], to `size`."""
    count, side = len(pairs), pairs.shape[-1]
    if side == size:
        return pairs
    least = size / side
    share = least + (1 - least) * torch.rand(count, device=pairs.device)
    theta = share[:, None, None] * torch.eye(2, 3, device=pairs.device)
    grid = F.affine_grid(theta, [count, 3, size, size], align_corners=False)
    both = F.grid_sample(pairs.flatten(1, 2), grid, align_corners=False)  # [N, 6, size, size]
    return both.unflatten(1, (2, 3))


def _deformed(photos: Tensor, config: MotionConfig) -> Tensor:
    sigma = (config.photo_affine, config.photo_bend)
    return draw_deformations(len(photos), *sigma, config.bend_side, device=photos.device).warp(
        photos
    )
