"""The codes a style is trained on: random ones, and those of photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import OptionError
from engine.latent import map_zplus, reparameterize
from engine.models.detail import DetailEncoder, as_addition, small_picture
from engine.models.stylegan2 import MappingNetwork
from engine.runtime import Runtime
from train.data import ImageSet, as_float, load_images, sent
from train.encoder import posteriors
from train.gan import random_z_plus
from train.packs import Source


@dataclass(frozen=True)
class Content:
    """What is drawn, a batch of it: sliced and counted like a tensor.

    Attributes:
        codes: [N, L, z_dim] in Z+ as they are drawn, [N, L, w_dim] in W+ once `mapped`.
        detail: [N, C, R / 4, R / 4], what photos show beyond their codes; None: nothing.
    """

    codes: Tensor
    detail: Tensor | None = None

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, rows: slice) -> Content:
        return Content(self.codes[rows], None if self.detail is None else self.detail[rows])

    def mapped(self, mapping: MappingNetwork) -> Content:
        """The same with its codes in W+."""
        return Content(map_zplus(mapping, self.codes), self.detail)

    @property
    def added(self) -> dict[int, Tensor] | None:
        """What a synthesis network takes as `add`."""
        return as_addition(self.detail)


class Codes:
    """Draws codes in Z+: from N(0, I), and from posteriors of photographs.

    Args:
        config: code_space, mixing, photos, photo_share.
        source: the base pack.
        runtime: where the encoders run.
        detail_share: of the codes of photographs, how many come with all that the photo shows
            beyond them, if the base reads it; the others with a random part of it.
    """

    def __init__(
        self, config: Any, source: Source, runtime: Runtime, detail_share: float = 0.0
    ) -> None:
        self.config, self.G, self.detail_share = config, source.G, detail_share
        self.photos: ImageSet | None = None
        self.reader: DetailEncoder | None = None
        if config.photos and config.photo_share > 0:
            if source.E is None or not source.E.variational:
                raise OptionError(f"{config.base} has no encoder into Z+: leave --photos out")
            self.photos = load_images(config.photos, source.E.input_size)
            self.mu, self.logvar = posteriors(source.E.to(runtime.device), self.photos)
            if detail_share > 0 and source.detail is not None:
                self.reader = source.detail.to(runtime.device).requires_grad_(False)
                self.large = load_images(config.photos, source.G.resolution).images

    def draw(self, attribute: str, n: int, generator: torch.Generator) -> Content:
        """Draw what [n] pictures show; photos of the attribute are preferred for its own path."""
        layers, z_dim = self.G.num_ws, self.G.mapping.z_dim
        device = self.G.mapping.w_avg.device
        if self.config.code_space == "z+":  # AgileGAN, Section 3.1: an own z for every layer
            z_plus = torch.randn(n, layers, z_dim, generator=generator)
        else:
            z_plus = random_z_plus(n, layers, z_dim, self.config.mixing, generator)
        if self.photos is None:
            return Content(sent(z_plus, device))
        index = self._photos_of(attribute, n, generator)
        encoded = reparameterize(self.mu[index], self.logvar[index], generator)
        take = torch.rand(n, generator=generator) < self.config.photo_share
        z_plus = sent(torch.where(take[:, None, None], encoded, z_plus), device)
        if self.reader is None:
            return Content(z_plus)
        part, whole = torch.rand(2, n, generator=generator)
        part[whole < self.detail_share] = 1
        return Content(z_plus, self._detail(index, z_plus, sent(part * take, device)))

    @torch.no_grad()
    def _detail(self, index: Tensor, z_plus: Tensor, part: Tensor) -> Tensor:
        """As large a part [n] as wanted of what the photos show beyond their codes."""
        photos = as_float(sent(self.large[index], z_plus.device))
        drawn = small_picture(self.G.synthesis, map_zplus(self.G.mapping, z_plus))
        return part[:, None, None, None] * self.reader(photos, drawn).float()

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
