"""The networks of train.pretrain, new ones or grown from smaller ones."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from engine.errors import TrainingError
from engine.models.discriminator import Discriminator
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.stylegan2 import Generator
from engine.runtime import Runtime
from train.augment import Augment
from train.encoder import narrow_encoder
from train.loop import Values
from train.packs import load_source
from train.pretrain_config import PretrainConfig


class Networks:
    """G, D, their averages and optimizers, the encoder, the augmentation."""

    def __init__(self, config: PretrainConfig, runtime: Runtime):
        torch.manual_seed(config.seed)
        self.G = _generator(config).to(runtime.device)
        channels = config.channels(config.discriminator_base)
        self.D = Discriminator(config.resolution, channels=channels).to(runtime.device)
        self.E = _encoder(config).to(runtime.device)
        self.G_ema, self.E_ema = _generator(config), _encoder(config)
        self.augment = Augment()
        self.values = Values(path_mean=0.0, sign=0.0)
        if config.grow_from:
            _grow(self.modules(), Path(config.grow_from))
        for average, source in ((self.G_ema, self.G), (self.E_ema, self.E)):
            average.load_state_dict(source.state_dict())
            average.to(runtime.device).eval().requires_grad_(False)
        for network in (self.G, self.G_ema):
            network.synthesis.dtype = runtime.dtype
        self.D.dtype = runtime.dtype
        betas = (0.0, 0.99)
        self.opt_G = torch.optim.Adam(self.G.parameters(), config.lr, betas, fused=True)
        self.opt_D = torch.optim.Adam(self.D.parameters(), config.lr, betas, fused=True)
        self.opt_E = torch.optim.Adam(
            self.E.parameters(), config.encoder_lr, (0.9, 0.99), fused=True
        )

    def modules(self) -> dict[str, nn.Module]:
        """The trained networks by the names they are saved under."""
        return {"G": self.G, "D": self.D, "E": self.E}

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        averages = {"G_ema": self.G_ema, "E_ema": self.E_ema}
        optimizers = {"opt_G": self.opt_G, "opt_D": self.opt_D, "opt_E": self.opt_E}
        rest = {"augment": self.augment, "values": self.values}
        return {**self.modules(), **averages, **optimizers, **rest}


def _generator(config: PretrainConfig) -> Generator:
    channels = config.channels(config.channel_base)
    return Generator(config.resolution, num_layers=config.mapping_layers, channels=channels)


def _encoder(config: PretrainConfig) -> FeaturePyramidEncoder:
    return narrow_encoder(2 * int(math.log2(config.resolution)) - 2, config.encoder_size)


def _grow(modules: Mapping[str, nn.Module], file: Path) -> None:
    """Take over every tensor of a run's state or a pack that fits; new ToRGBs start at zero."""
    if file.is_dir():
        source = load_source(file)
        networks = {"G": source.G, "D": source.D} | ({"E": source.E} if source.E else {})
        saved = {name: network.state_dict() for name, network in networks.items()}
    else:
        saved = torch.load(file, map_location="cpu", weights_only=True)["parts"]
    for name, module in modules.items():
        own = module.state_dict()
        old = saved.get(f"{name}_ema", saved.get(name, {}))
        kept = {k: v for k, v in old.items() if k in own and v.shape == own[k].shape}
        if not kept:
            raise TrainingError(f"nothing in {file} fits {name}: check --channel-base")
        module.load_state_dict({**own, **kept})
        if name == "G" and len(kept) < len(own):
            top = module.synthesis.block(module.resolution).torgb
            nn.init.zeros_(top.weight)
