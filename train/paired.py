"""Recipe: a style that keeps who is shown (Lu & Zhou 2025, arXiv 2506.22022, Section 3.1).

The generator G' starts as the base's G and is tuned on about 100 exemplars S with

    adversarial  +  semantic(G(z), G'(z))  +  LPIPS(G'(w_pair), S)            (Equations 1 to 3)

semantic is LPIPS + 0.1 identity on the same z; w_pair are the codes of train.pairs, of the level
chosen on its sheet. Both weigh 1, pictures are compared at 256 px, Adam takes batches of 4 for
about 1000 iterations at 0.02 (Section 6.1); anime took 3000 and codes of level 1.

What the paper leaves open, and our reading: the adversarial loss is StyleGAN2's (non-saturating,
with lazy R1 of gamma 10), the discriminator starts as the base's, and the mapping stays frozen,
since a pack draws with the mapping of its base. Mirrored exemplars are shown to the discriminator
only: a code does not draw a mirrored face.
"""

import torch
from torch import Tensor

from engine.errors import DataError
from engine.latent import map_zplus
from engine.models.discriminator import discriminator_from_state
from engine.models.stylegan2 import generator_from_state
from engine.runtime import Runtime
from train.augment import Augment
from train.codes import Codes
from train.config import run_recipe
from train.data import ImageSet, as_float, batch_at, draw, load_images, seeded
from train.distributed import join_processes, take_step
from train.features import eyes_of
from train.gan import discriminator_losses, open_run, save_sweep
from train.loop import Run, autocast, ema_beta, update_ema
from train.losses import logistic_d, logistic_g
from train.monitors import LEAST_EXEMPLARS, Choice, Judge, observe, take_best
from train.packs import Source, load_source, preview_of, save_style
from train.paired_config import PRESETS, PairedConfig
from train.pairs import load_pairs
from train.semantic import IDENTITY_LEFT_OUT, LPIPS, SemanticLoss, perceptual_name

NUM_JUDGED, NUM_SAMPLES = 32, 12  # codes that are measured, that are shown


class Networks:
    """G, G' with its average, the discriminator, optimizers."""

    def __init__(self, config: PairedConfig, source: Source, runtime: Runtime):
        self.source = source.G.to(runtime.device)
        state = source.G.state_dict()
        self.G, self.G_ema = (generator_from_state(state).to(runtime.device) for _ in range(2))
        self.D = discriminator_from_state(source.D.state_dict()).to(runtime.device)
        for network in (self.G, self.G_ema, self.source):
            network.synthesis.dtype = runtime.dtype
        self.D.dtype = runtime.dtype
        trained = list(self.G.synthesis.requires_grad_(True).parameters())
        betas = (0.0, 0.99)
        self.opt_G = torch.optim.Adam(trained, config.lr, betas, fused=True)
        self.opt_D = torch.optim.Adam(self.D.parameters(), config.lr, betas, fused=True)
        self.augment, self.choice = Augment(config.ada_p), Choice()
        self.chooses = config.choose_every > 0

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"G": self.G, "G_ema": self.G_ema, "D": self.D}
        chosen = {"choice": self.choice} if self.chooses else {}
        return {**networks, "opt_G": self.opt_G, "opt_D": self.opt_D, **chosen}


class PairedExemplars:
    """Exemplars with the codes that draw them: both in order, never mirrored."""

    def __init__(self, config: PairedConfig, exemplars: ImageSet, source: Source):
        """Read the codes of one level.

        Raises:
            DataError: they belong to other exemplars or to another base.
        """
        pairs = load_pairs(config.pairs)
        files = {name: row for row, name in enumerate(exemplars.files)}
        missing = sorted(set(pairs.files) - set(files))
        if missing:
            raise DataError(
                f"{config.pairs} has codes of {len(missing)} pictures that are not in "
                f"{config.data}, {missing[0]} for one: give the folder the pairs were made from"
            )
        if pairs.base_sha256 != source.reference["sha256"]:
            raise DataError(
                f"{config.pairs} has codes of another base than {config.base}: make them again "
                "with train.pairs and a style of this base"
            )
        rows = torch.tensor([files[name] for name in pairs.files])
        self.images = ImageSet(exemplars.images[rows], ("",) * len(rows), pairs.files)
        self.ws = pairs.codes[config.level].to(exemplars.images.device)
        self.settings, self.seed, self.batch = pairs.settings, config.seed + 1, config.batch

    def draw(self, cur_nimg: int) -> tuple[Tensor, Tensor]:
        """(ws [batch, L, 512], exemplars [batch, 3, R, R]) at a point of the training."""
        index, _ = batch_at(len(self.ws), cur_nimg, self.batch, self.seed, mirror=False)
        return self.at(index)

    def at(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """(ws, exemplars) of some rows."""
        index = index.to(self.ws.device)
        return self.ws[index], as_float(self.images.images[index])


def train(config: PairedConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    exemplars = load_images(config.data, source.G.resolution).to(runtime.device)
    pairs = PairedExemplars(config, exemplars, source) if config.pairs else None
    codes = Codes(config, source, runtime)
    nets = Networks(config, source, runtime)
    D = source.D.to(runtime.device)
    loss = SemanticLoss(config, runtime.device, D)
    with torch.no_grad():
        z = codes.draw("", NUM_JUDGED, seeded(config.seed, "judged")).codes
        fixed = map_zplus(nets.G.mapping, z)
        before = nets.source.synthesis(fixed)
    judge = None
    if config.choose_every and len(exemplars) >= LEAST_EXEMPLARS:
        file = "" if config.perceptual == LPIPS else config.perceptual
        judge = Judge(eyes_of(file, D), [before], [exemplars])
    run = open_run(config, nets.state(), runtime.device)
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            with torch.no_grad():
                ws = map_zplus(nets.G.mapping, codes.draw("", config.batch, generator).codes)
            with_r1 = config.r1_gamma > 0 and step % config.r1_interval == 0
            discriminator_step(nets, run, exemplars, ws, with_r1=with_r1)
            generator_step(nets, run, loss, ws, pairs.draw(run.cur_nimg) if pairs else None)
            update_ema(nets.G_ema, nets.G, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(nets, fixed[:NUM_SAMPLES], pairs, run)
            if judge and run.leads and (step + 1) % config.choose_every == 0:
                with torch.no_grad():
                    shown = [nets.G_ema.synthesis(fixed)]
                weight = config.likeness_weight
                observe(run, judge, shown, nets.G_ema, choice=nets.choice, likeness_weight=weight)
    if run.leads and not run.stopped:
        if judge:
            take_best(run, nets.choice, nets.G_ema)
        _save_samples(nets, fixed[:NUM_SAMPLES], pairs, run)
        save_sweep(run, nets.source, nets.G_ema, fixed[:NUM_SAMPLES])
    if config.pack and run.leads and not run.stopped:
        record = {"recipe": "train.paired", "exemplars": len(exemplars), **run.record_of_run}
        record |= {"measured_with": perceptual_name(config.perceptual), "left_out": []}
        record |= {"chosen": nets.choice.record} if nets.choice.best else {}
        if pairs:
            record["pairs"] = pairs.settings
        else:
            record["left_out"].append("pseudo-pairs: no --pairs folder was given")
        if not config.identity:
            record["left_out"].append(IDENTITY_LEFT_OUT)
        _save_pack(nets, config, source, codes, record)


def discriminator_step(
    nets: Networks, run: Run, exemplars: ImageSet, ws: Tensor, *, with_r1: bool
) -> None:
    """One step of the discriminator on G'(ws) and on as many exemplars."""
    config = run.config
    r1_weight = config.r1_gamma / 2 * config.r1_interval
    real = draw(exemplars, run.cur_nimg, config.batch, config.seed)
    nets.D.requires_grad_(True)
    nets.opt_D.zero_grad(set_to_none=True)
    for share in run.shares("D"):
        with torch.no_grad():
            fake = nets.G.synthesis(share.rows(ws), share.randn)
        pictures = (share.rows(real), fake)
        terms = discriminator_losses(
            nets.D, nets.augment, logistic_d, *pictures, with_r1=with_r1, share=share
        )
        ((terms["loss_D"] + r1_weight * terms.get("r1", 0.0)) / run.accumulate).backward()
        run.record(terms)
    take_step(nets.opt_D)
    nets.D.requires_grad_(False)


def generator_step(
    nets: Networks, run: Run, loss: SemanticLoss, ws: Tensor, pair: tuple[Tensor, Tensor] | None
) -> None:
    """One step of G' on Equation 3; `pair` are codes and their exemplars."""
    config = run.config
    weights = {"semantic": config.semantic_weight, "paired": config.paired_weight}
    nets.opt_G.zero_grad(set_to_none=True)
    for share in run.shares("G"):
        codes = share.rows(ws)
        fake = nets.G.synthesis(codes, share.randn)
        with torch.no_grad():
            original = nets.source.synthesis(codes)
        score = nets.D(nets.augment(fake, share))
        terms = {"loss_G": logistic_g(score), "semantic": loss.semantic(fake, original)}
        if pair is not None:
            codes, exemplar = (share.rows(x) for x in pair)
            terms["paired"] = loss.paired(nets.G.synthesis(codes, share.randn), exemplar)
        total = sum(weights.get(name, 1.0) * term for name, term in terms.items())
        (total / run.accumulate).backward()
        run.record(terms)
    take_step(nets.opt_G)


@torch.no_grad()
def _save_samples(nets: Networks, ws: Tensor, pairs: PairedExemplars | None, run: Run) -> None:
    """The same codes through G and G'; exemplars, and what their codes draw."""
    rows = [nets.source.synthesis(ws), nets.G_ema.synthesis(ws)]
    if pairs:
        ws, exemplars = pairs.at(torch.arange(NUM_SAMPLES) % len(pairs.ws))
        rows += [exemplars, nets.G_ema.synthesis(ws)]
    run.save_samples(torch.cat(rows), columns=NUM_SAMPLES)


def _save_pack(
    nets: Networks, config: PairedConfig, source: Source, codes: Codes, record: dict[str, object]
) -> None:
    """Write the style; the preview shows nobody's photograph."""
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        pictures = nets.G_ema.synthesis(codes.nobody("", 4, generator))
    card = source.pack.card
    has_encoder = source.pack.has(card.encoder_file(config.encoder_space))
    save_style(
        config.pack,
        nets.G_ema,
        source,
        title=config.title,
        attributes=[""],
        record=record,
        preview=preview_of(pictures),
        method="Semantic preservation and pseudo-paired supervision",
        encoder_space=config.encoder_space if has_encoder else card.encoder_space,
        variation_space="z+",
        defaults={"truncation_psi": config.truncation, "mix_layer": config.mix_layer},
    )


if __name__ == "__main__":
    run_recipe(PairedConfig, PRESETS, train, __doc__)
