"""Tiny networks of the first order motion model, and their weights under the public names."""

import re

import torch
from torch import Tensor, nn

from motion.fomm import DenseMotion, Generator, KeypointDetector, Keypoints

KEYPOINTS, SIZE = 3, 32


def shaken(network: nn.Module, seed: int) -> nn.Module:
    """The network ready for inference, every weight off its initial value."""
    random = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "reduction" not in name:
            value += 0.1 * torch.randn(value.shape, generator=random)
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return network.eval().requires_grad_(False)


def detector(step: int = 2) -> KeypointDetector:
    torch.manual_seed(0)
    return shaken(KeypointDetector(KEYPOINTS, (4, 6, 8), step), 1)


def generator(align_corners: bool = True, step: int = 2) -> Generator:
    torch.manual_seed(2)
    motion = DenseMotion(KEYPOINTS, (4, 6, 8), step, align_corners=align_corners)
    return shaken(Generator(motion, (4, 6, 8), num_residuals=2), 3)


def pictures(count: int = 1, seed: int = 4) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def keypoints(value: object, jacobian: object = ((1.0, 0.0), (0.0, 1.0))) -> Keypoints:
    """Keypoints [1, K, 2] from numbers, all with the same jacobian."""
    value = torch.tensor(value, dtype=torch.float32)[None]
    return Keypoints(value, torch.tensor(jacobian).expand(1, value.shape[1], 2, 2).clone())


def public_file(keypoints: nn.Module, generator: nn.Module) -> dict[str, dict[str, Tensor]]:
    """Both networks as `*-cpk.pth.tar` holds them."""
    return {
        "kp_detector": {_public_keypoints(n): v for n, v in keypoints.state_dict().items()},
        "generator": {_public_generator(n): v for n, v in generator.state_dict().items()},
    }


def _public_hourglass(name: str) -> str:
    name = re.sub(r"hourglass\.down\.", "hourglass.encoder.down_blocks.", name)
    return re.sub(r"hourglass\.up\.", "hourglass.decoder.up_blocks.", name)


def _public_keypoints(name: str) -> str:
    name = _public_hourglass(name).replace("hourglass.", "predictor.")
    return name.replace("heat.", "kp.").replace("reduction.", "down.")


def _public_generator(name: str) -> str:
    if name.startswith("dense_motion."):
        name = _public_hourglass(name).replace("reduction.", "down.")
        return name.replace("dense_motion.", "dense_motion_network.", 1)
    name = re.sub(r"^(down|up)\.", r"\1_blocks.", name)
    return name.replace("residuals.", "bottleneck.r")
