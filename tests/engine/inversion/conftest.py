"""A tiny generator, pictures it drew, and a distance, for all tests of inversions."""

import pytest
import torch

from engine.inversion import DiscriminatorDistance
from engine.models.discriminator import Discriminator
from engine.models.stylegan2 import Generator

CHANNELS = {4: 8, 8: 8, 16: 8, 32: 4}


@pytest.fixture(scope="session")
def G() -> Generator:
    torch.manual_seed(0)
    network = Generator(32, z_dim=16, w_dim=16, num_layers=2, channels=CHANNELS).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.1)
        if name.endswith("torgb.weight"):
            parameter.data.mul_(0.15)
    return network


@pytest.fixture(scope="session")
def images(G: Generator) -> torch.Tensor:
    """Three pictures the generator can draw, [3, 3, 32, 32]."""
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return G(z).clamp(-1, 1)


@pytest.fixture(scope="session")
def distance() -> DiscriminatorDistance:
    torch.manual_seed(1)
    return DiscriminatorDistance(Discriminator(32, channels=CHANNELS).requires_grad_(False))
