"""Recipe: the source generator, StyleGAN2 with adaptive augmentation, alone or with an encoder.

Objective (Karras et al. 2020, arXiv 1912.04958 and 2006.06676): non-saturating logistic loss,
R1 (gamma / 2 |grad D|^2) every `r1_interval` steps, path length regularisation (weight 2) every
`path_interval` steps, style mixing, exponential moving average of G, adaptive augmentation.

With `reconstruct` > 0 the variational encoder of AgileGAN is trained along: half of the fakes are
then decoded posteriors of real photos, which also get L2 + 0.8 perceptual + 5e-4 KL (the weights
of AgileGAN, Section 3.2), the whole times `reconstruct`; for the first `warmup` images there are
these losses alone. On a CPU this is what makes a generator of few images know real faces;
train.encoder afterwards trains the encoder by itself, as published.

`face_weight` adds the two picture losses once more on the part of the face from the eyes to the
mouth, enlarged: little of the picture, and most of who and in what mood somebody is.

A run may start from a smaller one or from a pack (`grow_from`): blocks that fit are kept, the new
ones start silent.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from engine.card import DISCRIMINATOR_FILE, ENCODER_FILE, GENERATOR_FILE
from engine.errors import TrainingError
from engine.latent import map_zplus, reparameterize
from engine.models.discriminator import Discriminator
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Generator
from engine.runtime import Runtime, pick_runtime
from train.augment import Augment
from train.config import run_recipe
from train.data import ImageSet, draw, load_images
from train.encoder import bounded_posterior, narrow_encoder, photos_and_reconstructions
from train.gan import Losses, discriminator_step, path_step, random_z_plus
from train.loop import Run, Values, autocast, ema_beta, save_grid, set_lr, update_ema
from train.losses import enlarged_face, kl_divergence, logistic_d, logistic_g
from train.packs import load_source, save_base
from train.pretrain_config import PRESETS, PretrainConfig


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

            if config.anneal > 0:
                _anneal(nets, config, run.cur_nimg)

            # One forward pass of G serves both losses.
            warming = run.cur_nimg < config.warmup
            ws, posterior = _codes(nets, config, real, generator, warming)
            fake = nets.G.synthesis(ws, noise="random")
            _track_w_avg(nets.G, config.batch, generator)

            # Discriminator, with lazy R1.
            losses = {}
            if not warming:
                losses |= _discriminator_step(nets, config, real, fake, step)

            # Generator and encoder.
            losses |= _generator_step(nets, config, real, fake, posterior, distance, warming)
            if config.path_weight > 0 and not warming and step % config.path_interval == 0:
                ws = _random_ws(nets.G, config, config.batch // 2, generator)
                weight = config.path_weight * config.path_interval
                losses |= path_step(nets.G, nets.opt_G, nets.values, ws, weight)

            # Averages, statistics, pictures.
            beta = ema_beta(config.batch, config.ema_images, run.cur_nimg)
            update_ema(nets.G_ema, nets.G, beta)
            update_ema(nets.E_ema, nets.E, beta)
            run.record({**losses, "ada_p": nets.augment.p})
            if run.due(config.sample_every):
                _save_samples(nets, config, data, run)
    if config.pack and not run.stopped:
        _save_pack(nets, config, run)


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


def _anneal(nets: Networks, config: PretrainConfig, cur_nimg: int) -> None:
    """Let all learning rates fall to zero along a line over the last `anneal` images."""
    factor = min(1.0, (config.images - cur_nimg) / config.anneal)
    set_lr(nets.opt_G, config.lr * factor)
    set_lr(nets.opt_D, config.lr * factor)
    set_lr(nets.opt_E, config.encoder_lr * factor)


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
    mu, logvar = bounded_posterior(nets.E, real[:encoded])
    ws = map_zplus(nets.G.mapping, reparameterize(mu, logvar, generator))
    random = _random_ws(nets.G, config, config.batch - encoded, generator)
    return torch.cat([ws, random]), (mu, logvar)


def _random_ws(
    G: Generator, config: PretrainConfig, n: int, generator: torch.Generator
) -> torch.Tensor:
    """Codes [n, num_ws, 512] of random z, a part of them crossed over (style mixing)."""
    z_plus = random_z_plus(n, G.num_ws, G.mapping.z_dim, config.mixing, generator)
    return map_zplus(G.mapping, z_plus.to(G.mapping.w_avg.device))


@torch.no_grad()
def _track_w_avg(G: Generator, batch: int, generator: torch.Generator) -> None:
    z = torch.randn(batch, G.mapping.z_dim, generator=generator)
    w = G.mapping(z.to(G.mapping.w_avg.device)).float()
    G.mapping.w_avg.lerp_(w.mean(0), 0.005)


def _discriminator_step(
    nets: Networks, config: PretrainConfig, real: torch.Tensor, fake: torch.Tensor, step: int
) -> Losses:
    """A step of D with lazy R1, after which the augmentation adapts (every fourth step)."""
    r1 = config.r1_gamma / 2 * config.r1_interval * (step % config.r1_interval == 0)
    losses = discriminator_step(nets.D, nets.opt_D, nets.augment, logistic_d, real, fake, r1)
    nets.values["sign"] += 0.05 * (float(losses["sign"]) - nets.values["sign"])
    if step % 4 == 0:
        nets.augment.adapt(nets.values["sign"], 4 * config.batch, config.ada_speed)
    return losses


def _generator_step(
    nets: Networks,
    config: PretrainConfig,
    real: torch.Tensor,
    fake: torch.Tensor,
    posterior: tuple[torch.Tensor, torch.Tensor] | None,
    distance: PerceptualDistance | None,
    warming: bool,
) -> Losses:
    losses, total = {}, torch.zeros((), device=fake.device)
    if not warming:
        losses["loss_G"] = logistic_g(nets.D(nets.augment(fake)))
        total = total + config.adversarial * losses["loss_G"]
    if posterior is not None:
        encoded = len(posterior[0])
        rebuilt, target = fake[:encoded], real[:encoded]
        losses["l2"] = (rebuilt - target).square().mean()
        losses["perceptual"] = distance(rebuilt, target).mean()
        losses["kl"] = kl_divergence(*posterior)
        picture = losses["l2"] + config.perceptual_weight * losses["perceptual"]
        if config.face_weight > 0:
            rebuilt, target = enlarged_face(rebuilt), enlarged_face(target)
            l2, perceptual = (rebuilt - target).square().mean(), distance(rebuilt, target).mean()
            losses["face"] = l2 + config.perceptual_weight * perceptual
            picture = picture + config.face_weight * losses["face"]
        total = total + config.reconstruct * (picture + config.kl_weight * losses["kl"])
    nets.opt_G.zero_grad(set_to_none=True)
    nets.opt_E.zero_grad(set_to_none=True)
    total.backward()
    nets.opt_G.step()
    if posterior is not None:
        nn.utils.clip_grad_norm_(nets.E.parameters(), 1.0)
        nets.opt_E.step()
    return losses


def _save_pack(nets: Networks, config: PretrainConfig, run: Run) -> None:
    networks = {GENERATOR_FILE: nets.G_ema, DISCRIMINATOR_FILE: nets.D}
    if config.reconstruct > 0:
        networks[ENCODER_FILE] = nets.E_ema
    record = {"recipe": "train.pretrain", **run.record_of_run}
    save_base(config.pack, networks, record)


@torch.no_grad()
def _save_samples(nets: Networks, config: PretrainConfig, data: ImageSet, run: Run) -> None:
    """A grid of fixed random samples and, with an encoder, photos over reconstructions."""
    generator = torch.Generator().manual_seed(config.seed)
    device = nets.G_ema.mapping.w_avg.device
    z = torch.randn(32, nets.G_ema.mapping.z_dim, generator=generator).to(device)
    pictures = [nets.G_ema(z)]
    if config.reconstruct > 0:
        pictures = [photos_and_reconstructions(nets.E_ema, nets.G_ema, data), *pictures]
    save_grid(run.out / f"samples-{run.cur_nimg:09d}.png", torch.cat(pictures), columns=16)


if __name__ == "__main__":
    run_recipe(PretrainConfig, PRESETS, train, __doc__)
