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

from dataclasses import dataclass, field

import torch
from torch import Tensor

from engine.card import ENCODER_SPACES
from engine.errors import DataError, OptionError
from engine.latent import map_zplus
from engine.models.discriminator import discriminator_from_state
from engine.models.stylegan2 import generator_from_state
from engine.runtime import Runtime
from train.augment import Augment
from train.codes import Codes
from train.config import run_recipe
from train.data import ImageSet, as_float, batch_at, draw, load_images
from train.distributed import join_processes, take_step
from train.gan import discriminator_losses, open_run
from train.loop import Run, autocast, ema_beta, update_ema
from train.losses import logistic_d, logistic_g
from train.packs import Source, load_source, preview_of, save_style
from train.pairs import LEVELS, load_pairs
from train.semantic import (
    IDENTITY_LEFT_OUT,
    SemanticLoss,
    check_size,
    perceptual_name,
)

NUM_SAMPLES = 12


@dataclass(frozen=True)
class PairedConfig:
    """Settings of train.paired; the defaults are those of the paper."""

    data: str = field(default="", metadata={"help": "folder of aligned exemplars"})
    pairs: str = field(default="", metadata={"help": "folder of train.pairs, or nothing"})
    level: int = field(default=2, metadata={"help": "1, 2 or 3: choose on the sheet"})
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack to start from"})
    out: str = field(default="runs/paired", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    photos: str = field(default="", metadata={"help": "folder of aligned photos, or nothing"})
    photo_share: float = field(default=0.5, metadata={"help": "share of codes from photos"})
    code_space: str = field(default="z", metadata={"help": "z, or z+: one z for every layer"})
    mixing: float = field(default=0.0, metadata={"help": "share of random codes crossed over"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz, or lpips"})
    identity: str = field(default="", metadata={"help": "ArcFace file, or nothing"})
    iterations: int = field(default=1000, metadata={"help": "3000 for anime"})
    batch: int = field(default=4, metadata={"help": "pictures of each kind per step"})
    accumulate: int = field(default=1, metadata={"help": "parts of a batch, one after the other"})
    lr: float = field(default=0.02, metadata={"help": "Adam, betas 0 and 0.99"})
    semantic_weight: float = field(default=1.0, metadata={"help": "G'(z) against G(z)"})
    paired_weight: float = field(default=1.0, metadata={"help": "G'(w_pair) against exemplars"})
    identity_weight: float = field(default=0.1, metadata={"help": "beside LPIPS at 1"})
    size: int = field(default=256, metadata={"help": "side at which pictures are compared"})
    r1_gamma: float = field(default=10.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    ada_p: float = field(default=0.0, metadata={"help": "probability of augmentations"})
    ema_images: float = field(default=1000, metadata={"help": "half-life of the average of G"})
    encoder_space: str = field(default="w", metadata={"help": "of photos, if the base has it"})
    truncation: float = field(default=0.9, metadata={"help": "0.7 cartoon, 0.6 anime"})
    mix_layer: int = field(default=6, metadata={"help": "first layer of variations: 3 to 12"})
    sample_every: int = field(default=100, metadata={"help": "iterations between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.level not in range(1, len(LEVELS) + 1):
            raise OptionError(f"--level {self.level} is none of 1, 2, 3: look at the pairs' sheet")
        if self.encoder_space not in ENCODER_SPACES:
            accepted = ", ".join(ENCODER_SPACES)
            raise OptionError(f"--encoder-space {self.encoder_space!r} is none of {accepted}")
        if self.iterations < 1 or self.batch < 1:
            raise OptionError(
                f"--iterations {self.iterations} and --batch {self.batch} must be at least 1"
            )
        check_size(self.size)


PRESETS = {
    "paper": PairedConfig(),
    # At 0.02 a small base is torn apart within 50 steps; its random faces are poor, photos' are not
    "cpu": PairedConfig(
        iterations=300, lr=0.001, size=128, r1_gamma=1.0, ada_p=0.2, photo_share=1.0
    ),
}


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
        self.augment = Augment(config.ada_p)

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"G": self.G, "G_ema": self.G_ema, "D": self.D}
        return {**networks, "opt_G": self.opt_G, "opt_D": self.opt_D}


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
    loss = SemanticLoss(config, runtime.device)
    run = open_run(config, nets.state(), runtime.device)
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            with torch.no_grad():
                ws = map_zplus(nets.G.mapping, codes.draw("", config.batch, generator))
            with_r1 = config.r1_gamma > 0 and step % config.r1_interval == 0
            discriminator_step(nets, run, exemplars, ws, with_r1=with_r1)
            generator_step(nets, run, loss, ws, pairs.draw(run.cur_nimg) if pairs else None)
            update_ema(nets.G_ema, nets.G, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(nets, config, codes, pairs, run)
    if config.pack and run.leads and not run.stopped:
        record = {"recipe": "train.paired", "exemplars": len(exemplars), **run.record_of_run}
        record |= {"measured_with": perceptual_name(config.perceptual), "left_out": []}
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
def _save_samples(
    nets: Networks,
    config: PairedConfig,
    codes: Codes,
    pairs: PairedExemplars | None,
    run: Run,
) -> None:
    """The same codes through G and G'; exemplars, and what their codes draw."""
    ws = map_zplus(
        nets.G.mapping, codes.draw("", NUM_SAMPLES, torch.Generator().manual_seed(config.seed))
    )
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
