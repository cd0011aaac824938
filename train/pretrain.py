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

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from engine.card import DISCRIMINATOR_FILE, ENCODER_FILE, GENERATOR_FILE
from engine.latent import map_zplus
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Generator
from train.captured import Captured, mean_of
from train.config import run_recipe
from train.data import ImageSet, draw, load_images, sent
from train.distributed import Share, join_processes, mean_of_processes, take_step
from train.encoder import bounded_posterior, photos_and_reconstructions
from train.gan import (
    SIGN_INTERVAL,
    Losses,
    discriminator_losses,
    follow_sign,
    path_length,
    random_z_plus,
)
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.losses import enlarged_face, kl_divergence, logistic_d, logistic_g
from train.packs import save_base
from train.pretrain_config import PRESETS, PretrainConfig
from train.pretrain_networks import Networks


def train(config: PretrainConfig) -> None:
    """Train until `config.images`, or until stopped; rerun to resume."""
    runtime = join_processes()
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
        accumulate=config.accumulate,
        device=runtime.device,
    )
    step_of = partial(_update, nets, run, distance)
    optimizers = (nets.opt_G, nets.opt_D, nets.opt_E)
    update = Captured(step_of, run.device, *optimizers, whole=run.accumulate == 1)
    nets.augment.always = update.records  # a recorded step cannot choose to leave it out
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            real = draw(data, run.cur_nimg, config.batch, config.seed)
            if config.anneal > 0:
                _anneal(nets, config, run.cur_nimg)

            # Discriminator, with lazy R1; generator and encoder; path length.
            warming = run.cur_nimg < config.warmup
            random = _random_z(nets.G, config, config.batch, generator)
            with_r1 = not warming and config.r1_gamma > 0 and step % config.r1_interval == 0
            terms = update(real, random, warming=warming, with_r1=with_r1)
            run.record(terms)
            if not warming and step % SIGN_INTERVAL == 0:
                follow_sign(nets, terms["sign"], run)
            if config.path_weight > 0 and not warming and step % config.path_interval == 0:
                _path_step(nets, run, random[: config.batch // 2])

            # Averages, statistics, pictures.
            _track_w_avg(nets.G, config.batch, generator)
            beta = ema_beta(config.batch, config.ema_images, run.cur_nimg)
            update_ema(nets.G_ema, nets.G, beta)
            update_ema(nets.E_ema, nets.E, beta)
            if run.leads and run.due(config.sample_every):
                _save_samples(nets, config, data, run)
    if config.pack and run.leads and not run.stopped:
        _save_pack(nets, config, run)


def _update(
    nets: Networks,
    run: Run,
    distance: PerceptualDistance | None,
    real: Tensor,
    random: Tensor,
    *,
    warming: bool,
    with_r1: bool,
) -> Losses:
    """A step of D, then of G and the encoder; one forward pass of G serves both."""
    fakes = [_fakes(nets, run.config, real, random, share, warming) for share in run.shares("")]
    parts = [] if warming else _discriminator_step(nets, run, real, fakes, with_r1)
    parts += _generator_step(nets, run, real, fakes, distance, warming)
    return mean_of(parts)


def _anneal(nets: Networks, config: PretrainConfig, cur_nimg: int) -> None:
    """Let all learning rates fall to zero along a line over the last `anneal` images."""
    factor = min(1.0, (config.images - cur_nimg) / config.anneal)
    set_lr(nets.opt_G, config.lr * factor)
    set_lr(nets.opt_D, config.lr * factor)
    set_lr(nets.opt_E, config.encoder_lr * factor)


@dataclass(frozen=True)
class Fakes:
    """A share of the fakes: pictures, and of which posteriors the first of them are samples."""

    share: Share
    pictures: Tensor
    posterior: tuple[Tensor, Tensor] | None = None


def _fakes(
    nets: Networks,
    config: PretrainConfig,
    real: Tensor,
    random: Tensor,
    share: Share,
    warming: bool,
) -> Fakes:
    """Pictures of random codes and, when an encoder is trained, half of posterior samples."""
    if config.reconstruct <= 0:
        return Fakes(share, nets.G.synthesis(_ws(nets, share.rows(random)), share.randn))
    encoded = config.batch if warming else config.batch // 2
    mu, logvar = bounded_posterior(nets.E, share.rows(real[:encoded]))
    sampled = mu + share.randn(mu.shape, mu.device) * torch.exp(0.5 * logvar)
    z_plus = torch.cat([sampled, share.rows(random[encoded:])])
    return Fakes(share, nets.G.synthesis(_ws(nets, z_plus), share.randn), (mu, logvar))


def _ws(nets: Networks, z_plus: Tensor) -> Tensor:
    return map_zplus(nets.G.mapping, z_plus)


def _random_z(G: Generator, config: PretrainConfig, n: int, generator: torch.Generator) -> Tensor:
    """Codes [n, num_ws, 512] of random z, a part of them crossed over (style mixing)."""
    z_plus = random_z_plus(n, G.num_ws, G.mapping.z_dim, config.mixing, generator)
    return sent(z_plus, G.mapping.w_avg.device)


@torch.no_grad()
def _track_w_avg(G: Generator, batch: int, generator: torch.Generator) -> None:
    z = torch.randn(batch, G.mapping.z_dim, generator=generator)
    w = G.mapping(sent(z, G.mapping.w_avg.device)).float()
    G.mapping.w_avg.lerp_(w.mean(0), 0.005)


def _discriminator_step(
    nets: Networks, run: Run, real: Tensor, fakes: list[Fakes], with_r1: bool
) -> list[Losses]:
    """A step of D; the terms of its shares."""
    r1_weight = run.config.r1_gamma / 2 * run.config.r1_interval
    nets.D.requires_grad_(True)
    nets.opt_D.zero_grad(set_to_none=True)
    parts = []
    for share, part in zip(run.shares("D"), fakes, strict=True):
        networks, pictures = (nets.D, nets.augment), (share.rows(real), part.pictures)
        terms = discriminator_losses(*networks, logistic_d, *pictures, with_r1=with_r1, share=share)
        total = terms["loss_D"] + r1_weight * terms.get("r1", 0.0)
        (total / run.accumulate).backward()
        parts.append(terms)
    take_step(nets.opt_D)
    nets.D.requires_grad_(False)
    return parts


def _generator_step(
    nets: Networks,
    run: Run,
    real: Tensor,
    fakes: list[Fakes],
    distance: PerceptualDistance | None,
    warming: bool,
) -> list[Losses]:
    """A step of G and the encoder; the terms of its shares."""
    config, parts = run.config, []
    nets.opt_G.zero_grad(set_to_none=True)
    nets.opt_E.zero_grad(set_to_none=True)
    for share, part in zip(run.shares("G"), fakes, strict=True):
        terms, total = {}, torch.zeros((), device=real.device)
        if not warming:
            terms["loss_G"] = logistic_g(nets.D(nets.augment(part.pictures, share)))
            total = total + config.adversarial * terms["loss_G"]
        if part.posterior is not None:
            rebuilt = part.pictures[: len(part.posterior[0])]
            terms |= _picture_losses(config, rebuilt, share.rows(real)[: len(rebuilt)], distance)
            terms["kl"] = kl_divergence(*part.posterior)
            picture = terms["l2"] + config.perceptual_weight * terms["perceptual"]
            picture = picture + config.face_weight * terms.get("face", 0.0)
            total = total + config.reconstruct * (picture + config.kl_weight * terms["kl"])
        (total / run.accumulate).backward()
        parts.append(terms)
    take_step(nets.opt_G)
    if config.reconstruct > 0:
        take_step(nets.opt_E, largest_norm=1.0)
    return parts


def _picture_losses(
    config: PretrainConfig, rebuilt: Tensor, target: Tensor, distance: PerceptualDistance
) -> Losses:
    """How far reconstructions [N, 3, R, R] are from photos, as a whole and around the face."""
    l2, perceptual = (rebuilt - target).square().mean(), distance(rebuilt, target).mean()
    losses = {"l2": l2, "perceptual": perceptual}
    if config.face_weight > 0:
        rebuilt, target = enlarged_face(rebuilt), enlarged_face(target)
        l2, perceptual = (rebuilt - target).square().mean(), distance(rebuilt, target).mean()
        losses["face"] = l2 + config.perceptual_weight * perceptual
    return losses


def _path_step(nets: Networks, run: Run, random: Tensor) -> None:
    """Path length regularisation, a step of its own."""
    weight = run.config.path_weight * run.config.path_interval
    nets.opt_G.zero_grad(set_to_none=True)
    means = []
    for share in run.shares("path"):
        ws = _ws(nets, share.rows(random))
        penalty, mean = path_length(nets.G, ws, nets.values["path_mean"], share=share)
        (weight * penalty / run.accumulate).backward()
        means.append(mean)
        run.record({"path": penalty})
    take_step(nets.opt_G)
    nets.values |= mean_of_processes({"path_mean": sum(means) / len(means)}, run.device)


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
    run.save_samples(torch.cat(pictures), columns=16)


if __name__ == "__main__":
    run_recipe(PretrainConfig, PRESETS, train, __doc__)
