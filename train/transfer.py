"""Recipe: a style from about 100 exemplars, as AgileGAN, UI2I-StyleGAN2 or FreezeD train it.

Generator and one discriminator per attribute start from the base pack. AgileGAN (Song et al. 2021,
Section 3.3): a range of resolutions is copied into one path per attribute, the rest is shared;
objective (Equations 9 to 12), summed over the paths k and their exemplars y_k:

    hinge(D_k(y_k), D_k(G_k(z)))  +  0.5 sim(G_k(z), G_source(z))  +  2 path length  +  5 R1

with R1 = gamma / 2 |grad D_k|^2, gamma 10; sim is a perceptual distance without its first layers,
so that structure is kept and local appearance is free; z from N(0, I) in Z+; Adam 0.002, batches of
8, mirrored exemplars, 900 to 2200 iterations: stopping early is part of the method, and what it
stops at is measured (train.monitors). R1 and path length are computed every few steps and weighted
up accordingly, as in StyleGAN2.

UI2I-StyleGAN2 (Huang et al. 2021, Section III-A, `--preset ui2i`): StyleGAN2's own losses
(non-saturating, R1, path length) with the mapping z -> w frozen; the pack hands features of the
photo over. FreezeD (Mo et al. 2020) keeps the first blocks of D: `--freeze-d 3`.
`--freeze-share 0.25` keeps G's layers below R/4, and with them the shapes of the source.

The mapping stays frozen in both, because inference uses the base's: photo -> Z+ -> base mapping ->
style. With `photos`, a part of the codes is drawn from the encoder's posterior of photographs
instead of N(0, I): they are the codes that the style will meet. `detail_share` adds what photos
show beyond their codes (train.detail), as the style will meet it too; no paper does.
"""

import torch
from torch import Tensor

from engine.latent import map_zplus
from engine.surgery import without_color
from train.codes import Codes, Content
from train.config import run_recipe
from train.data import ImageSet, as_float, draw, load_images, seeded
from train.distributed import join_processes, mean_of_processes, take_step
from train.features import eyes_of
from train.gan import (
    SIGN_INTERVAL,
    discriminator_losses,
    follow_sign,
    open_run,
    path_length,
    save_sweep,
)
from train.loop import Run, autocast, ema_beta, update_ema
from train.losses import hinge_d, hinge_g, logistic_d, logistic_g
from train.metrics import Distance
from train.monitors import Judge, observe, overfitting, take_best
from train.packs import Source, load_source, preview_of, save_style
from train.semantic import base_distance, perceptual_name
from train.transfer_config import PRESETS, TransferConfig
from train.transfer_networks import Networks

LOSSES = {"hinge": (hinge_d, hinge_g), "logistic": (logistic_d, logistic_g)}
NUM_JUDGED, NUM_SHOWN = 32, 12  # codes per path: that are measured, that are shown


def train(config: TransferConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    exemplars = load_images(config.data, source.G.resolution).to(runtime.device)
    sets = [exemplars.of(name) if name else exemplars for name in config.names]
    held, sets = zip(*[part.split_off(config.holdout, config.seed) for part in sets], strict=True)
    codes = Codes(config, source, runtime, config.detail_share)
    nets = Networks(config, source, runtime)
    D = source.D.to(runtime.device)
    distance = base_distance(config.perceptual, D, config.sim_drop)
    fixed = [codes.draw(name, NUM_JUDGED, seeded(config.seed, name)) for name in config.names]
    judge = None
    if config.choose_every:
        before = [nets.draw_source(z) for z in fixed]
        judge = Judge(eyes_of(config.perceptual, D), before, sets)
    run = open_run(config, nets.state(), runtime.device)
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            z = [codes.draw(name, config.batch, generator) for name in config.names]
            _discriminator_step(nets, run, sets, z, step)
            _generator_step(nets, run, z, distance)
            if config.path_weight > 0 and step % config.path_interval == 0:
                _path_step(nets, run, z)
            update_ema(nets.G_ema, nets.G, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(nets, run, fixed)
            if judge and run.leads and (step + 1) % config.choose_every == 0:
                _look(nets, run, judge, fixed, sets, held)
    if run.leads and not run.stopped:
        if judge:
            take_best(run, nets.choice, nets.G_ema)
        if all(part.is_gray for part in sets):
            nets.G_ema.load_state_dict(without_color(nets.G_ema.state_dict()))
        _save_samples(nets, run, fixed)
        with torch.no_grad():
            ws = map_zplus(nets.source.mapping, fixed[0][:NUM_SHOWN].codes)
        save_sweep(run, nets.source, nets.G_ema, ws)
        if config.pack:
            _save_pack(nets, run, source, codes, sets)


def _discriminator_step(
    nets: Networks, run: Run, sets: list[ImageSet], z: list[Content], step: int
) -> None:
    """Equations 9 and 11; the augmentation follows the signs of the real scores."""
    config, loss = nets.config, LOSSES[nets.config.loss][0]
    r1_weight = config.r1_weight * config.r1_gamma / 2 * config.r1_interval
    with_r1 = r1_weight > 0 and step % config.r1_interval == 0
    _require_gradients(nets.trained_D, True)
    nets.opt_D.zero_grad(set_to_none=True)
    signs = []
    for share in run.shares("D"):
        for path, part in enumerate(sets):
            real = share.rows(draw(part, run.cur_nimg, config.batch, config.seed))
            with torch.no_grad():
                fake = nets.draw(share.rows(z[path]), path, share.randn)
            D = nets.D[path]
            terms = discriminator_losses(
                D, nets.augment, loss, real, fake, with_r1=with_r1, share=share
            )
            total = terms["loss_D"] + r1_weight * terms.get("r1", 0.0)
            (total / run.accumulate).backward()
            signs.append(terms["sign"])
            run.record(_labelled(terms, config.names[path]))
    take_step(nets.opt_D)
    _require_gradients(nets.trained_D, False)
    if step % SIGN_INTERVAL == 0:
        follow_sign(nets, torch.stack(signs).mean(), run)


def _generator_step(nets: Networks, run: Run, z: list[Content], distance: Distance) -> None:
    """Equations 9 and 10."""
    config, loss = nets.config, LOSSES[nets.config.loss][1]
    nets.opt_G.zero_grad(set_to_none=True)
    for share in run.shares("G"):
        for path, name in enumerate(config.names):
            codes = share.rows(z[path])
            fake = nets.draw(codes, path, share.randn)
            terms = {"loss_G": loss(nets.D[path](nets.augment(fake, share)))}
            if config.sim_weight > 0:
                terms["sim"] = distance(fake, nets.draw_source(codes)).mean()
            total = terms["loss_G"] + config.sim_weight * terms.get("sim", 0.0)
            (total / run.accumulate).backward()
            run.record(_labelled(terms, name))
    take_step(nets.opt_G)


def _path_step(nets: Networks, run: Run, z: list[Content]) -> None:
    """Path length regularisation on half of the codes, a step of its own as in StyleGAN2."""
    config = nets.config
    weight = config.path_weight * config.path_interval
    nets.opt_G.zero_grad(set_to_none=True)
    means = []
    for share in run.shares("path"):
        for path, name in enumerate(config.names):
            codes = share.rows(z[path][: max(1, config.batch // 2)])
            ws = map_zplus(nets.G.mapping, codes.codes)
            penalty, mean = path_length(nets.G, ws, nets.values["path_mean"], path, share)
            (weight * penalty / run.accumulate).backward()
            means.append(mean)
            run.record(_labelled({"path": penalty}, name))
    take_step(nets.opt_G)
    nets.values |= mean_of_processes({"path_mean": sum(means) / len(means)}, run.device)


def _labelled(terms: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {f"{key}_{name}".rstrip("_"): value for key, value in terms.items()}


def _require_gradients(parameters: list[torch.nn.Parameter], wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad_(wanted)


def _look(
    nets: Networks,
    run: Run,
    judge: Judge,
    fixed: list[Content],
    sets: list[ImageSet],
    held: list[ImageSet],
) -> None:
    """Measure the average generator and how well the discriminators know their exemplars."""
    config = nets.config
    pictures = [nets.draw_average(z, path) for path, z in enumerate(fixed)]
    weight = config.likeness_weight
    observe(run, judge, pictures, nets.G_ema, choice=nets.choice, likeness_weight=weight)
    for path, name in enumerate(config.names):
        shown = [as_float(part[path].images[:NUM_JUDGED]) for part in (sets, held)]
        with torch.autocast(run.device.type, enabled=False):
            real, other, fake = (nets.score(x, path) for x in (*shown, pictures[path]))
        if real is None or fake is None:
            continue
        message = overfitting(nets.values["sign"], real, other, fake)
        if message:
            run.warn(f"{name}: {message}" if name else message)


def _save_samples(nets: Networks, run: Run, fixed: list[Content]) -> None:
    """The source's pictures of fixed codes over those of each path."""
    rows = [nets.draw_average(z[:NUM_SHOWN], path) for path, z in enumerate(fixed)]
    shown = [nets.draw_source(fixed[0][:NUM_SHOWN]), *rows]
    run.save_samples(torch.cat(shown), columns=NUM_SHOWN)


def _save_pack(
    nets: Networks, run: Run, source: Source, codes: Codes, sets: list[ImageSet]
) -> None:
    """Write the best candidate as a style; the preview shows nobody's photograph."""
    config = nets.config
    counts = {name or "all": len(part) for name, part in zip(config.names, sets, strict=True)}
    record = {"recipe": "train.transfer", "exemplars": counts, **run.record_of_run}
    record["measured_with"] = perceptual_name(config.perceptual)
    generator = torch.Generator().manual_seed(config.seed)
    pictures = []
    for i in range(4):
        path = i % len(config.names)
        with torch.no_grad():
            ws = codes.nobody(config.names[path], 1, generator)
            pictures.append(nets.G_ema.synthesis(ws, path=path))
    save_style(
        config.pack,
        nets.G_ema,
        source,
        title=config.title,
        attributes=config.names,
        record=record | ({"chosen": nets.choice.record} if nets.choice.best else {}),
        preview=preview_of(torch.cat(pictures)),
        method=config.method,
        swap_resolution=config.swap_resolution or None,
        # A grey head in a coloured photo looks cut out.
        defaults={"surroundings": 1.0} if all(part.is_gray for part in sets) else {},
    )


if __name__ == "__main__":
    run_recipe(TransferConfig, PRESETS, train, __doc__)
