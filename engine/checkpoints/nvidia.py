"""NVIDIA's stylegan2-ada-pytorch and stylegan3 (`networks_stylegan2`): its names are ours."""

from collections.abc import Mapping

import torch

State = Mapping[str, torch.Tensor]


def generator_from_nvidia(state: State) -> dict[str, torch.Tensor]:
    """State of stylegan2-ada-pytorch's or stylegan3's `networks_stylegan2` G in our names.

    The filter buffers are dropped: they hold a constant of the architecture.
    """
    return {k: v for k, v in state.items() if not k.endswith("resample_filter")}


discriminator_from_nvidia = generator_from_nvidia
