"""Recipe: BlendGAN's generator, one network for every style (Liu et al. 2021, arXiv 2110.11728).

A second mapping turns style codes into w_s, and per layer a learned share a in [0, 1] of the face's
code w_f is blended with it (Section 3.2); the indicator i gives the first i layers to the face:

    w = a w_f + (1 - a) w_s,   a[0:i] = 1

Three discriminators with the non-saturating logistic loss, R1 and path length regularisation:

    face          photos                 against  G(w_f) at i = L, no style at all
    style         exemplars y            against  G(w_f, w_s) at i = 0, learned shares everywhere
    style-latent  (y, z_s)               against  (G(w_f, w_s), z_s), a projection discriminator

with z_s = E_style(y). From the supplement: Adam 0.002 with betas 0 and 0.99, batches of 8, 200,000
iterations, G and the face discriminator from a pretrained StyleGAN2, the two others drawn anew.
From the public files: shares start at 1, the mapping has as many layers as that of the faces, the
form of the projection. We had no more than these and the abstract of the main text; ours are hence
which pictures each discriminator sees at which i, the equal weights of the three, the frozen
mapping of the faces (a style shares its base's) and a style mapping that starts as a copy of it.
`detail_share` adds to faces what photos show beyond their codes (train.detail).

It starts from a style pack with an encoder (train.style_encoder, kept fixed) and ends in one with
all of BlendGAN's files; one that has them already is trained further, see train.oneshot.
"""

from typing import Any

import torch
from torch import Tensor

from engine.card import BLEND_FILE, STYLE_ENCODER_FILE, STYLE_MAPPING_FILE
from engine.models.blendgan import StyleEncoder
from train.blend_config import PRESETS, BlendConfig
from train.blend_networks import BlendedGenerator, Networks, read_style_files
from train.codes import Codes, Content
from train.config import run_recipe
from train.data import ImageSet, as_float, batch_at, draw, load_images, seeded, sent
from train.distributed import join_processes, mean_of_processes, take_step
from train.features import discriminator_eyes
from train.gan import open_run, path_length
from train.loop import Run, autocast, ema_beta, update_ema
from train.losses import logistic_d, logistic_g, r1_penalty
from train.monitors import LEAST_EXEMPLARS, Judge, observe, overfitting
from train.packs import Source, load_source, preview_of, save_style
from train.style_encoder import style_codes

NUM_SAMPLES, NUM_JUDGED = 8, 32


def train(config: BlendConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    source = load_source(config.base)
    fit(config, source, load_images(config.data, source.G.resolution), "train.blend")


def fit(config: BlendConfig, source: Source, exemplars: ImageSet, recipe: str) -> None:
    """The training itself, on exemplars of the generator's resolution.

    Raises:
        PackError, DataError: what is given does not fit the base.
    """
    runtime = join_processes()
    encoder, files = read_style_files(config.style, source)
    photos = load_images(config.photos, source.G.resolution).to(runtime.device)
    exemplars = exemplars.to(runtime.device)
    z_style = style_codes(encoder.to(runtime.device), exemplars)
    source.G.to(runtime.device)
    codes = Codes(config, source, runtime, config.detail_share)
    torch.manual_seed(config.seed)
    nets = Networks(config, source, files, runtime)
    watch = None
    if config.watch_every and len(exemplars) >= LEAST_EXEMPLARS:
        watch = Watch(config, nets, source, codes, (exemplars, z_style))
    run = open_run(config, nets.state(), runtime.device)
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            z, art = _styled(z_style, exemplars, run.cur_nimg, config)
            real = {"face": draw(photos, run.cur_nimg, config.batch, config.seed), "style": art}
            face = faces(codes, config.batch, generator)
            with_r1 = config.r1_gamma > 0 and step % config.r1_interval == 0
            discriminators_step(nets, run, real, face, z, with_r1=with_r1)
            generator_step(nets, run, face, z)
            if config.path_weight > 0 and step % config.path_interval == 0:
                paths_step(nets, run, face.codes, z)
            run.record({"face_share": nets.blended.face_weights.mean()})
            beta = ema_beta(config.batch, config.ema_images, run.cur_nimg)
            update_ema(nets.average, nets.blended, beta)
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(nets, config, codes, exemplars, z_style, run)
            if watch and run.leads and (step + 1) % config.watch_every == 0:
                watch.look(nets, run)
    if config.pack and run.leads and not run.stopped:
        record = {"recipe": recipe, "exemplars": len(exemplars), **run.record_of_run}
        save_blend(config, nets.average, source, codes, encoder, record)


@torch.no_grad()
def faces(codes: Codes, n: int, generator: torch.Generator) -> Content:
    """Draw n faces: their codes in W+, and what photos show beyond them."""
    return codes.draw("", n, generator).mapped(codes.G.mapping)


class Watch:
    """What fixed codes in fixed styles tell of the training; nothing is chosen by it."""

    def __init__(
        self,
        config: BlendConfig,
        nets: Networks,
        source: Source,
        codes: Codes,
        styles: tuple[ImageSet, Tensor],
    ):
        exemplars, z_style = styles
        generator = seeded(config.seed, "judged")
        device = z_style.device
        D = source.D.to(device)
        self.face = faces(codes, NUM_JUDGED, generator)
        with torch.no_grad():
            before = source.G.to(device).synthesis(self.face.codes, add=self.face.added)
        self.z = z_style[torch.arange(NUM_JUDGED) % len(z_style)]
        self.exemplars = as_float(exemplars.images[: min(NUM_JUDGED, len(exemplars)) // 4 * 4])
        self.judge = Judge(discriminator_eyes(D), [before], [exemplars])

    @torch.no_grad()
    def look(self, nets: Networks, run: Run) -> None:
        """Measure the average generator, and how well the style's discriminator knows exemplars."""
        drawn = nets.average(self.face, self.z)
        observe(run, self.judge, [drawn], nets.average)
        with torch.autocast(run.device.type, enabled=False):
            real, fake = (nets.D["style"](x) for x in (self.exemplars, drawn))
        sign = real.sign().mean().item()
        message = overfitting(sign, real.mean().item(), None, fake.mean().item())
        if message:
            run.warn(message)


def _styled(
    z_style: Tensor, exemplars: ImageSet, cur_nimg: int, config: BlendConfig
) -> tuple[Tensor, Tensor]:
    """Style codes [batch, z_dim] and the exemplars [batch, 3, R, R] they were read from."""
    index, flip = batch_at(len(exemplars), cur_nimg, config.batch, config.seed + 1)
    index, flip = (sent(t, z_style.device) for t in (index, flip))
    art = as_float(exemplars.images[index])
    return z_style[index], torch.where(flip[:, None, None, None], art.flip(3), art)


def discriminators_step(
    nets: Networks, run: Run, real: dict[str, Tensor], face: Content, z: Tensor, *, with_r1: bool
) -> None:
    """One step of all three discriminators.

    Args:
        nets: whose `D` is trained.
        run: the run, its configuration and its shares.
        real: "face" and "style", [N, 3, R, R] each.
        face: N faces to draw.
        z: style codes [N, z_dim] of the real style pictures, which faces are drawn with.
        with_r1: whether R1 is part of this step.
    """
    r1_weight = run.config.r1_gamma / 2 * run.config.r1_interval
    nets.D.requires_grad_(True)
    nets.opt_D.zero_grad(set_to_none=True)
    for share in run.shares("D"):
        codes = share.rows(z)
        shown = {k: share.rows(x).detach().requires_grad_(with_r1) for k, x in real.items()}
        with torch.no_grad():
            fake = nets.draw(share.rows(face), codes, share.randn)
        scores, wrong = nets.scores(shown, codes), nets.scores(fake, codes)
        losses = {f"loss_D_{name}": logistic_d(scores[name], wrong[name]) for name in scores}
        total = sum(losses.values())
        if with_r1:
            seen = {"face": "face", "style": "style", "latent": "style"}
            penalties = {f"r1_{name}": r1_penalty(scores[name], shown[seen[name]]) for name in seen}
            total, losses = total + r1_weight * sum(penalties.values()), losses | penalties
        (total / run.accumulate).backward()
        run.record(losses)
    take_step(nets.opt_D)
    nets.D.requires_grad_(False)


def generator_step(nets: Networks, run: Run, face: Content, z: Tensor) -> None:
    """One step of the generator, the style mapping and the shares against all three."""
    nets.opt_G.zero_grad(set_to_none=True)
    for share in run.shares("G"):
        codes = share.rows(z)
        scores = nets.scores(nets.draw(share.rows(face), codes, share.randn), codes)
        losses = {f"loss_G_{name}": logistic_g(score) for name, score in scores.items()}
        (sum(losses.values()) / run.accumulate).backward()
        run.record(losses)
    take_step(nets.opt_G)
    nets.blended.clamp_shares()


def paths_step(nets: Networks, run: Run, ws: Tensor, z: Tensor) -> None:
    """Path length regularisation on half of the blended codes, a step of its own."""
    weight, means = run.config.path_weight * run.config.path_interval, []
    half = max(1, len(ws) // 2)
    with torch.no_grad():
        blended = nets.blended.ws(ws[:half], z[:half])
    nets.opt_G.zero_grad(set_to_none=True)
    for share in run.shares("path"):
        codes = share.rows(blended).clone()
        penalty, mean = path_length(nets.blended.G, codes, nets.values["path_mean"], 0, share)
        (weight * penalty / run.accumulate).backward()
        means.append(mean)
        run.record({"path": penalty})
    take_step(nets.opt_G)
    nets.values |= mean_of_processes({"path_mean": sum(means) / len(means)}, run.device)


@torch.no_grad()
def _save_samples(
    nets: Networks,
    config: BlendConfig,
    codes: Codes,
    exemplars: ImageSet,
    z_style: Tensor,
    run: Run,
) -> None:
    """Exemplars; faces without style, with it above the indicator, with all of it."""
    rows = torch.arange(NUM_SAMPLES) * max(1, len(exemplars) // NUM_SAMPLES) % len(exemplars)
    rows = sent(rows, z_style.device)
    face = faces(codes, NUM_SAMPLES, torch.Generator().manual_seed(config.seed))
    average = nets.average
    drawn = [average(face, z_style[rows], i) for i in (average.G.num_ws, config.mix_layer, 0)]
    pictures = torch.cat([as_float(exemplars.images[rows]), *drawn])
    run.save_samples(pictures, columns=NUM_SAMPLES)


def save_blend(
    config: Any,
    average: BlendedGenerator,
    source: Source,
    codes: Codes,
    encoder: StyleEncoder,
    record: dict[str, object],
) -> None:
    """Write the style; the preview shows nobody's photograph in styles of nobody's drawing.

    Args:
        config: seed, pack, title and mix_layer, which the style begins with.
        average: what the pack draws with, and `encoder` what it reads styles with.
        source: the base; `codes` draws nobody's face.
        record: how it was trained.
    """
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        z = torch.randn(4, source.G.mapping.z_dim, generator=generator)
        ws = codes.nobody("", 4, generator)
        pictures = average(Content(ws), z.to(ws.device), config.mix_layer)
    mapping = average.style_mapping.state_dict()
    mapping.pop("w_avg")  # the reader computes it
    save_style(
        config.pack,
        average.G,
        source,
        title=config.title,
        attributes=[""],
        record=record,
        preview=preview_of(pictures),
        method="BlendGAN",
        files={
            STYLE_ENCODER_FILE: encoder.state_dict(),
            STYLE_MAPPING_FILE: mapping,
            BLEND_FILE: {"face_weights": average.face_weights.clamp(0, 1)},
        },
        encoder_space=source.pack.card.encoder_space,
        defaults={"mix_layer": config.mix_layer},
    )


if __name__ == "__main__":
    run_recipe(BlendConfig, PRESETS, train, __doc__)
