"""Recipe: the source generator, StyleGAN2 with adaptive augmentation, alone or with an encoder.

Objective (Karras et al. 2020, arXiv 1912.04958 and 2006.06676): non-saturating logistic loss,
R1 (gamma / 2 |grad D|^2) every `r1_interval` steps, path length regularisation (weight 2) every
`path_interval` steps, style mixing, exponential moving average of G, adaptive augmentation.

With `reconstruct` > 0 the variational encoder of AgileGAN is trained along: half of the fakes are
then decoded posteriors of real photos, which also get L2 + 0.8 perceptual + 5e-4 KL (the weights
of AgileGAN, Section 3.2), the whole times `reconstruct`; for the first `warmup` images there are
these losses alone. On a CPU this is what makes a generator of few images know real faces;
train.encoder afterwards trains the encoder by itself, as published.

A run may start from a smaller one (`grow_from`): its blocks are kept, the new ones start silent.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from engine.errors import OptionError, TrainingError
from engine.latent import map_zplus, reparameterize
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Discriminator, Generator
from engine.pack import GENERATOR_FILE
from engine.runtime import Runtime, pick_runtime
from train.augment import Augment
from train.config import run_recipe
from train.data import ImageSet, draw, load_images
from train.encoder import encoder_input, narrow_encoder
from train.loop import Run, Values, autocast, ema_beta, save_grid, update_ema
from train.losses import kl_divergence, logistic_d, logistic_g, path_length_penalty, r1_penalty
from train.packs import DISCRIMINATOR_FILE, ENCODER_FILE, save_base


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of train.pretrain; see PRESETS for tried combinations."""

    data: str = field(default="", metadata={"help": "folder of aligned pictures"})
    out: str = field(default="runs/base", metadata={"help": "run folder; rerun to resume"})
    pack: str = field(default="", metadata={"help": "base pack to write at the end"})
    grow_from: str = field(default="", metadata={"help": "state.pt of a lower resolution"})
    resolution: int = field(default=64, metadata={"help": "side of the pictures, a power of two"})
    channel_base: int = field(default=3072, metadata={"help": "channels(r) = base / r ..."})
    channel_max: int = field(default=256, metadata={"help": "... but at most this many"})
    discriminator_base: int = field(default=2048, metadata={"help": "channel_base of D"})
    mapping_layers: int = field(default=4, metadata={"help": "depth of z -> w"})
    images: int = field(default=500_000, metadata={"help": "real images to show D"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    lr: float = field(default=0.0025, metadata={"help": "Adam, betas 0 and 0.99"})
    r1_gamma: float = field(default=1.0, metadata={"help": "R1 is weighted gamma / 2"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    path_interval: int = field(default=8, metadata={"help": "steps between path length steps"})
    mixing: float = field(default=0.9, metadata={"help": "probability of style mixing"})
    ema_images: float = field(default=10_000, metadata={"help": "half-life of the average of G"})
    ada_speed: float = field(default=200_000, metadata={"help": "images for p to go 0 -> 1"})
    reconstruct: float = field(default=0.0, metadata={"help": "weight of the encoder's losses"})
    warmup: int = field(default=0, metadata={"help": "images before D joins; needs an encoder"})
    adversarial: float = field(default=1.0, metadata={"help": "weight of G's logistic loss"})
    encoder_lr: float = field(default=0.001, metadata={"help": "Adam, betas 0.9 and 0.99"})
    encoder_size: int = field(default=64, metadata={"help": "side of the encoder's input"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    perceptual_weight: float = field(default=0.8, metadata={"help": "AgileGAN: 0.8"})
    kl_weight: float = field(default=5e-4, metadata={"help": "AgileGAN: 5e-4"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.resolution < 8 or self.resolution & (self.resolution - 1):
            raise OptionError(
                f"--resolution {self.resolution} is not a power of two of at least 8: try 64"
            )
        if self.batch < 2 or self.batch % 2:
            raise OptionError(f"--batch {self.batch} must be even and at least 2: try 16")
        if self.warmup > 0 >= self.reconstruct:
            raise OptionError(f"--warmup {self.warmup} needs an encoder: try --reconstruct 4")

    def channels(self, base: int) -> dict[int, int]:
        """Channels per resolution, from 4 px up: base / r between 16 and channel_max."""
        sizes = [2**i for i in range(2, self.resolution.bit_length())]
        return {r: min(max(base // r, 16), self.channel_max) for r in sizes}


PRESETS = {
    "cpu": PretrainConfig(
        batch=8,
        lr=0.003,
        r1_gamma=0.3,
        path_weight=0.0,
        reconstruct=4.0,
        warmup=24_000,
        encoder_lr=0.002,
        kl_weight=5e-5,
    ),
    "gpu": PretrainConfig(
        resolution=256,
        channel_base=16384,
        discriminator_base=16384,
        channel_max=512,
        mapping_layers=8,
        images=2_000_000,
        batch=64,
        encoder_size=128,
    ),
    "stylegan2": PretrainConfig(
        resolution=256,
        channel_base=32768,
        discriminator_base=32768,
        channel_max=512,
        mapping_layers=8,
        images=25_000_000,
        batch=32,
        lr=0.002,
        ada_speed=500_000,
    ),
}


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


def train(config: PretrainConfig) -> None:
    """Train until `config.images`, or until stopped; rerun to resume."""
    runtime = pick_runtime()
    data = load_images(config.data, config.resolution).to(runtime.device)
    nets = Networks(config, runtime)
    distance = None
    if config.reconstruct > 0:
        distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    run = Run(
        config.out,
        config,
        total=config.images,
        batch=config.batch,
        state=nets.state(),
        seed=config.seed,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            real = draw(data, run.cur_nimg, config.batch, config.seed)

            # One forward pass of G serves both losses.
            warming = run.cur_nimg < config.warmup
            ws, posterior = _codes(nets, config, real, generator, warming)
            fake = nets.G.synthesis(ws, noise="random")
            _track_w_avg(nets.G, config.batch, generator)

            # Discriminator, with lazy R1.
            losses = {}
            if not warming:
                losses |= _discriminator_step(nets, config, real, fake.detach(), step)
                if step % 4 == 0:
                    nets.augment.adapt(nets.values["sign"], 4 * config.batch, config.ada_speed)

            # Generator and encoder.
            losses |= _generator_step(nets, config, real, fake, posterior, distance, warming)
            if config.path_weight > 0 and not warming and step % config.path_interval == 0:
                losses |= _path_step(nets, config, generator)

            # Averages, statistics, pictures.
            beta = ema_beta(config.batch, config.ema_images, run.cur_nimg)
            update_ema(nets.G_ema, nets.G, beta)
            update_ema(nets.E_ema, nets.E, beta)
            run.record({**losses, "ada_p": nets.augment.p})
            if run.due("samples", config.sample_every):
                _save_samples(nets, config, data, run)
    if config.pack and not run.stopped:
        _save_pack(nets, config, run.cur_nimg)


def _generator(config: PretrainConfig) -> Generator:
    channels = config.channels(config.channel_base)
    return Generator(config.resolution, num_layers=config.mapping_layers, channels=channels)


def _encoder(config: PretrainConfig) -> FeaturePyramidEncoder:
    return narrow_encoder(2 * int(math.log2(config.resolution)) - 2, config.encoder_size)


def _grow(modules: Mapping[str, nn.Module], file: Path) -> None:
    """Take over every tensor of a smaller run that still fits; new ToRGBs start at zero."""
    saved = torch.load(file, map_location="cpu", weights_only=True)["parts"]
    for name, module in modules.items():
        own = module.state_dict()
        source = saved.get(f"{name}_ema", saved[name])
        kept = {k: v for k, v in source.items() if k in own and v.shape == own[k].shape}
        if not kept:
            raise TrainingError(f"nothing in {file} fits {name}: check --channel-base")
        module.load_state_dict({**own, **kept})
        if name == "G":
            top = module.synthesis.block(module.resolution).torgb
            nn.init.zeros_(top.weight)


def _codes(
    nets: Networks,
    config: PretrainConfig,
    real: torch.Tensor,
    generator: torch.Generator,
    warming: bool,
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]:
    """Codes of the fakes: random ones and, when an encoder is trained, half posterior samples."""
    if config.reconstruct <= 0:
        return _random_ws(nets.G, config, config.batch, generator), None
    encoded = config.batch if warming else config.batch // 2
    mu, logvar = nets.E.posterior(encoder_input(real[:encoded], config.encoder_size))
    mu, logvar = mu.float(), logvar.float()
    ws = map_zplus(nets.G.mapping, reparameterize(mu, logvar, generator))
    random = _random_ws(nets.G, config, config.batch - encoded, generator)
    return torch.cat([ws, random]), (mu, logvar)


def _random_ws(
    G: Generator, config: PretrainConfig, n: int, generator: torch.Generator
) -> torch.Tensor:
    """Codes [n, num_ws, 512] of random z, a part of them crossed over (style mixing)."""
    device = G.mapping.w_avg.device
    z = torch.randn(2 * n, G.mapping.z_dim, generator=generator).to(device)
    first, second = G.mapping(z).chunk(2)
    cutoff = torch.randint(1, G.num_ws, (n,), generator=generator)
    mixed = torch.rand(n, generator=generator) < config.mixing
    cutoff = torch.where(mixed, cutoff, G.num_ws).to(device)
    from_first = torch.arange(G.num_ws, device=device)[None] < cutoff[:, None]
    return torch.where(from_first[..., None], first[:, None], second[:, None])


@torch.no_grad()
def _track_w_avg(G: Generator, batch: int, generator: torch.Generator) -> None:
    z = torch.randn(batch, G.mapping.z_dim, generator=generator)
    w = G.mapping(z.to(G.mapping.w_avg.device)).float()
    G.mapping.w_avg.lerp_(w.mean(0), 0.005)


def _discriminator_step(
    nets: Networks, config: PretrainConfig, real: torch.Tensor, fake: torch.Tensor, step: int
) -> dict[str, torch.Tensor]:
    nets.D.requires_grad_(True)
    regularize = step % config.r1_interval == 0
    shown = nets.augment(real).detach().requires_grad_(regularize)
    real_score, fake_score = nets.D(shown), nets.D(nets.augment(fake))
    losses = {"loss_D": logistic_d(real_score, fake_score)}
    total = losses["loss_D"]
    if regularize:
        losses["r1"] = r1_penalty(real_score, shown)
        total = total + losses["r1"] * (config.r1_gamma / 2 * config.r1_interval)
    nets.opt_D.zero_grad(set_to_none=True)
    total.backward()
    nets.opt_D.step()
    sign = float(real_score.detach().sign().mean())
    nets.values["sign"] += 0.05 * (sign - nets.values["sign"])
    return {**losses, "score_real": real_score.mean(), "score_fake": fake_score.mean()}


def _generator_step(
    nets: Networks,
    config: PretrainConfig,
    real: torch.Tensor,
    fake: torch.Tensor,
    posterior: tuple[torch.Tensor, torch.Tensor] | None,
    distance: PerceptualDistance | None,
    warming: bool,
) -> dict[str, torch.Tensor]:
    losses, total = {}, torch.zeros((), device=fake.device)
    if not warming:
        nets.D.requires_grad_(False)
        losses["loss_G"] = logistic_g(nets.D(nets.augment(fake)))
        total = total + config.adversarial * losses["loss_G"]
    if posterior is not None:
        encoded = len(posterior[0])
        rebuilt, target = fake[:encoded], real[:encoded]
        losses["l2"] = (rebuilt - target).square().mean()
        losses["perceptual"] = distance(rebuilt, target).mean()
        losses["kl"] = kl_divergence(*posterior)
        total = total + config.reconstruct * (
            losses["l2"]
            + config.perceptual_weight * losses["perceptual"]
            + config.kl_weight * losses["kl"]
        )
    nets.opt_G.zero_grad(set_to_none=True)
    nets.opt_E.zero_grad(set_to_none=True)
    total.backward()
    nets.opt_G.step()
    if posterior is not None:
        nets.opt_E.step()
    return losses


def _path_step(
    nets: Networks, config: PretrainConfig, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    ws = _random_ws(nets.G, config, config.batch // 2, generator)
    image = nets.G.synthesis(ws, noise="random")
    penalty, mean = path_length_penalty(image, ws, nets.values["path_mean"])
    nets.values["path_mean"] = mean
    nets.opt_G.zero_grad(set_to_none=True)
    (penalty * config.path_weight * config.path_interval).backward()
    nets.opt_G.step()
    return {"path": penalty}


def _save_pack(nets: Networks, config: PretrainConfig, images: int) -> None:
    networks = {GENERATOR_FILE: nets.G_ema, DISCRIMINATOR_FILE: nets.D}
    if config.reconstruct > 0:
        networks[ENCODER_FILE] = nets.E_ema
    record = {"recipe": "train.pretrain", **asdict(config), "images": images}
    save_base(config.pack, networks, record)


@torch.no_grad()
def _save_samples(nets: Networks, config: PretrainConfig, data: ImageSet, run: Run) -> None:
    """A grid of fixed random samples and, with an encoder, photos over reconstructions."""
    generator = torch.Generator().manual_seed(config.seed)
    device = nets.G_ema.mapping.w_avg.device
    z = torch.randn(32, nets.G_ema.mapping.z_dim, generator=generator).to(device)
    pictures = [nets.G_ema(z)]
    if config.reconstruct > 0:
        photos = data.images[:: max(1, len(data) // 16)][:16].float() / 127.5 - 1
        mu, _ = nets.E_ema.posterior(encoder_input(photos, config.encoder_size))
        rebuilt = nets.G_ema.synthesis(map_zplus(nets.G_ema.mapping, mu.float()))
        pictures = [photos, rebuilt, *pictures]
    save_grid(run.out / f"samples-{run.cur_nimg:09d}.png", torch.cat(pictures), columns=16)


if __name__ == "__main__":
    run_recipe(PretrainConfig, PRESETS, train, __doc__)
