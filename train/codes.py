"""The codes a style is trained on: random ones, and those of photographs."""

import torch
from torch import Tensor

from engine.errors import OptionError
from engine.latent import map_zplus, reparameterize
from engine.runtime import Runtime
from train.data import ImageSet, load_images
from train.encoder import posteriors
from train.gan import random_z_plus
from train.packs import Source
from train.transfer_config import TransferConfig


class Codes:
    """Draws codes in Z+: from N(0, I), and from posteriors of photographs."""

    def __init__(self, config: TransferConfig, source: Source, runtime: Runtime):
        self.config, self.G = config, source.G
        self.photos: ImageSet | None = None
        if config.photos and config.photo_share > 0:
            if source.E is None or not source.E.variational:
                raise OptionError(f"{config.base} has no encoder into Z+: leave --photos out")
            self.photos = load_images(config.photos, source.E.input_size)
            self.mu, self.logvar = posteriors(source.E.to(runtime.device), self.photos)

    def draw(self, attribute: str, n: int, generator: torch.Generator) -> Tensor:
        """Codes [n, num_ws, z_dim]; photos of the attribute are preferred for its own path."""
        layers, z_dim = self.G.num_ws, self.G.mapping.z_dim
        if self.config.code_space == "z+":  # AgileGAN, Section 3.1: an own z for every layer
            z_plus = torch.randn(n, layers, z_dim, generator=generator)
        else:
            z_plus = random_z_plus(n, layers, z_dim, self.config.mixing, generator)
        if self.photos is not None:
            index = self._photos_of(attribute, n, generator)
            encoded = reparameterize(self.mu[index], self.logvar[index], generator)
            take = torch.rand(n, generator=generator) < self.config.photo_share
            z_plus = torch.where(take[:, None, None], encoded, z_plus)
        return z_plus.to(self.G.mapping.w_avg.device)

    @torch.no_grad()
    def nobody(self, attribute: str, n: int, generator: torch.Generator) -> Tensor:
        """ws [n, num_ws, w_dim] of people who do not exist: each blends the codes of three photos.

        Without photos they are random codes at truncation 0.7.
        """
        device = self.G.mapping.w_avg.device
        if self.photos is None:
            z = torch.randn(n, self.G.mapping.z_dim, generator=generator)
            return self.G.ws(z.to(device), truncation_psi=0.7)
        index = self._photos_of(attribute, 3 * n, generator)
        blended = self.mu[index].unflatten(0, (n, 3)).mean(1)
        return map_zplus(self.G.mapping, blended.to(device))

    def _photos_of(self, attribute: str, n: int, generator: torch.Generator) -> Tensor:
        names = self.photos.attributes
        rows = [i for i, name in enumerate(names) if name == attribute] or list(range(len(names)))
        return torch.tensor(rows)[torch.randint(len(rows), (n,), generator=generator)]
