"""The networks of train.transfer: what is trained, what is kept, and what resuming needs."""

from typing import Any

import torch
from torch import Tensor

from engine.latent import map_zplus
from engine.models.discriminator import discriminator_from_state
from engine.models.stylegan2 import generator_from_state
from engine.runtime import Runtime
from engine.surgery import expand_paths
from train.augment import Augment
from train.codes import Content
from train.gan import first_layers, layers_below, lazy_adam
from train.loop import Values
from train.monitors import Choice
from train.packs import Source, earlier_style
from train.transfer_config import TransferConfig


class Networks:
    """The style's generator with its average, one discriminator per attribute, optimizers."""

    def __init__(self, config: TransferConfig, source: Source, runtime: Runtime):
        self.config, self.source = config, source.G.to(runtime.device)
        count, clamp = len(config.names), source.pack.card.conv_clamp
        state = _first_state(config, source)
        networks = (generator_from_state(state, clamp).to(runtime.device) for _ in range(2))
        self.G, self.G_ema = networks
        self.D = torch.nn.ModuleList(
            discriminator_from_state(source.D.state_dict(), clamp) for _ in range(count)
        ).to(runtime.device)
        for network in (self.G, self.G_ema, self.source):
            network.synthesis.dtype = runtime.dtype
        for discriminator in self.D:
            discriminator.dtype = runtime.dtype
        part = self.G.synthesis if config.freeze_mapping else self.G
        lazy = config.path_interval if config.path_weight > 0 else 0
        part.requires_grad_(True)
        kept = round(config.freeze_share * self.G.resolution)
        for parameter in layers_below(self.G.synthesis, kept):  # backward ends above
            parameter.requires_grad_(False)
        trained = [p for p in part.parameters() if p.requires_grad]
        self.opt_G = lazy_adam(trained, config.lr, lazy)
        frozen = {p for D in self.D for p in first_layers(D, config.freeze_d)}
        self.trained_D = [p for p in self.D.parameters() if p not in frozen]
        self.opt_D = lazy_adam(self.trained_D, config.lr)
        self.augment, self.choice = Augment(config.ada_p), Choice()
        self.values = Values(path_mean=0.0, sign=0.0)

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"G": self.G, "G_ema": self.G_ema, "D": self.D}
        optimizers = {"opt_G": self.opt_G, "opt_D": self.opt_D}
        return {
            **networks,
            **optimizers,
            "values": self.values,
            "augment": self.augment,
            "choice": self.choice,
        }

    def draw(self, content: Content, path: int, noise: Any) -> Tensor:
        """What the generator in training draws, [N, 3, R, R]."""
        ws = map_zplus(self.G.mapping, content.codes)
        return self.G.synthesis(ws, noise, path, add=content.added)

    @torch.no_grad()
    def draw_source(self, content: Content) -> Tensor:
        """What the source draws of the same content."""
        ws = map_zplus(self.source.mapping, content.codes)
        return self.source.synthesis(ws, add=content.added)

    @torch.no_grad()
    def score(self, pictures: Tensor, path: int) -> float | None:
        """Mean score a discriminator gives [N, 3, R, R]; None for fewer than four pictures.

        It compares the pictures of a group, so that only whole groups of four are looked at.
        """
        whole = pictures[: len(pictures) // 4 * 4]
        return self.D[path](whole).mean().item() if len(whole) else None

    @torch.no_grad()
    def draw_average(self, content: Content, path: int) -> Tensor:
        """What the average of the generator, the result, draws."""
        ws = map_zplus(self.G_ema.mapping, content.codes)
        return self.G_ema.synthesis(ws, path=path, add=content.added)


def _first_state(config: TransferConfig, source: Source) -> dict[str, Tensor]:
    """What the style's generator starts as: the source's with paths, or an earlier style."""
    if config.start_from:
        return earlier_style(config.start_from, config.names, source)
    paths = (len(config.names), config.path_until, config.path_from)
    return expand_paths(source.G.state_dict(), *paths)
