"""Recipe: AgileGAN's transfer to a style from about 100 exemplars (Song et al. 2021, Section 3.3).

Generator and one discriminator per attribute start from the base pack. The low resolutions are
copied into one path per attribute, the rest is shared. Objective (Equations 9 to 12), for path k
and its exemplars y_k:

    hinge(D_k(y_k), D_k(G_k(z)))  +  0.5 sim(G_k(z), G_source(z))  +  2 path length  +  5 R1

with R1 = gamma / 2 |grad D_k|^2, gamma 10; sim is a perceptual distance without its first layers,
so that structure is kept and local appearance is free; Adam 0.002, batches of 8, mirrored
exemplars, 900 to 2200 iterations: stopping early is part of the method. R1 and path length are
computed every few steps and weighted up accordingly, as in StyleGAN2.

The mapping stays frozen, because inference uses the base's: photo -> Z+ -> base mapping -> style.
With `photos`, a part of the codes is drawn from the encoder's posterior of photographs instead of
N(0, I): they are the codes that the style will meet.
"""

from dataclasses import dataclass, field
from typing import Any

import torch

from engine.errors import OptionError
from engine.latent import map_zplus, reparameterize
from engine.models.discriminator import discriminator_from_state
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import generator_from_state
from engine.runtime import Runtime, pick_runtime
from engine.surgery import expand_paths
from train.augment import Augment
from train.config import run_recipe
from train.data import ImageSet, draw, load_images
from train.encoder import posteriors
from train.gan import Losses, discriminator_step, path_step, random_z_plus
from train.loop import Run, Values, autocast, ema_beta, save_grid, update_ema
from train.losses import hinge_d, hinge_g
from train.packs import Source, load_source, preview_of, save_style


@dataclass(frozen=True)
class TransferConfig:
    """Settings of train.transfer; the defaults are those of the paper."""

    data: str = field(default="", metadata={"help": "folder of aligned exemplars"})
    about: str = field(default="", metadata={"help": "exemplars and licence, for the card"})
    pack: str = field(default="", metadata={"help": "style pack to write at the end"})
    base: str = field(default="engine/packs/base", metadata={"help": "base pack to start from"})
    out: str = field(default="runs/transfer", metadata={"help": "run folder; rerun to resume"})
    title: str = field(default="", metadata={"help": "what people read in the gallery"})
    attributes: str = field(default="", metadata={"help": "paths, separated by commas"})
    path_until: int = field(default=64, metadata={"help": "highest resolution of the paths"})
    photos: str = field(default="", metadata={"help": "folder of aligned photos, or nothing"})
    photo_share: float = field(default=0.5, metadata={"help": "share of codes from photos"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    iterations: int = field(default=1200, metadata={"help": "900 to 2200 in the paper"})
    batch: int = field(default=8, metadata={"help": "exemplars per attribute and step"})
    lr: float = field(default=0.002, metadata={"help": "Adam, betas 0 and 0.99"})
    sim_weight: float = field(default=0.5, metadata={"help": "structure of the source picture"})
    sim_drop: int = field(default=2, metadata={"help": "perceptual layers left out"})
    r1_weight: float = field(default=5.0, metadata={"help": "of gamma / 2 |grad D|^2"})
    r1_gamma: float = field(default=10.0, metadata={"help": "gamma"})
    r1_interval: int = field(default=16, metadata={"help": "steps between R1 steps"})
    path_weight: float = field(default=2.0, metadata={"help": "path length; 0 turns it off"})
    path_interval: int = field(default=8, metadata={"help": "steps between path length steps"})
    mixing: float = field(default=0.5, metadata={"help": "share of random codes crossed over"})
    ada_p: float = field(default=0.0, metadata={"help": "probability of augmentations"})
    ema_images: float = field(default=1000, metadata={"help": "half-life of the average of G"})
    sample_every: int = field(default=100, metadata={"help": "iterations between sample grids"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 <= self.photo_share <= 1:
            raise OptionError(f"--photo-share {self.photo_share} is not within 0 and 1: try 0.5")
        if self.iterations < 1 or self.batch < 1:
            raise OptionError(
                f"--iterations {self.iterations} and --batch {self.batch} must be at least 1"
            )

    @property
    def names(self) -> list[str]:
        """Names of the attribute paths; [""] for a single one."""
        return [name.strip() for name in self.attributes.split(",")]


PRESETS = {
    "agilegan": TransferConfig(),
    # A young base cannot afford the published freedom: with local appearance left out of sim, skin
    # turned from white to brown and back within 100 iterations. All layers keep it.
    "cpu": TransferConfig(
        path_until=16,
        photo_share=1.0,
        iterations=600,
        batch=4,
        lr=0.0012,
        sim_weight=3.0,
        sim_drop=0,
        r1_weight=0.1,
        path_weight=0.0,
        ada_p=0.2,
        ema_images=1500,
    ),
}


class Networks:
    """The style's generator with its average, one discriminator per attribute, optimizers."""

    def __init__(self, config: TransferConfig, source: Source, runtime: Runtime):
        count = len(config.names)
        state = expand_paths(source.G.state_dict(), count, config.path_until)
        self.G, self.G_ema = (generator_from_state(state).to(runtime.device) for _ in range(2))
        self.G.synthesis.requires_grad_(True)
        self.source = source.G.to(runtime.device)
        self.D = torch.nn.ModuleList(
            discriminator_from_state(source.D.state_dict()) for _ in range(count)
        ).to(runtime.device)
        for network in (self.G, self.G_ema, self.source):
            network.synthesis.dtype = runtime.dtype
        for discriminator in self.D:
            discriminator.dtype = runtime.dtype
        betas = (0.0, 0.99)
        trained = self.G.synthesis.parameters()
        self.opt_G = torch.optim.Adam(trained, config.lr, betas, fused=True)
        self.opt_D = torch.optim.Adam(self.D.parameters(), config.lr, betas, fused=True)
        self.augment = Augment(config.ada_p)
        self.values = Values(path_mean=0.0)

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"G": self.G, "G_ema": self.G_ema, "D": self.D, "values": self.values}
        return {**networks, "opt_G": self.opt_G, "opt_D": self.opt_D}


class Codes:
    """Draws ws of the frozen mapping: from N(0, I), and from posteriors of photographs."""

    def __init__(self, config: TransferConfig, source: Source, runtime: Runtime):
        self.config, self.G = config, source.G
        self.photos: ImageSet | None = None
        if config.photos and config.photo_share > 0:
            if source.E is None:
                raise OptionError(f"{config.base} has no encoder: leave --photos out")
            self.photos = load_images(config.photos, source.E.input_size)
            self.mu, self.logvar = posteriors(source.E.to(runtime.device), self.photos)

    @torch.no_grad()
    def draw(self, attribute: str, n: int, generator: torch.Generator) -> torch.Tensor:
        """ws [n, num_ws, 512]; photos of the attribute are preferred for its own path."""
        device = self.G.mapping.w_avg.device
        G, mixing = self.G, self.config.mixing
        z_plus = random_z_plus(n, G.num_ws, G.mapping.z_dim, mixing, generator)
        if self.photos is not None:
            index = self._photos_of(attribute, n, generator)
            encoded = reparameterize(self.mu[index], self.logvar[index], generator)
            take = torch.rand(n, generator=generator) < self.config.photo_share
            z_plus = torch.where(take[:, None, None], encoded, z_plus)
        return map_zplus(self.G.mapping, z_plus.to(device))

    @torch.no_grad()
    def nobody(self, attribute: str, n: int, generator: torch.Generator) -> torch.Tensor:
        """ws [n, num_ws, 512] of people who do not exist: each blends the codes of three photos.

        Without photos they are random codes at truncation 0.7.
        """
        device = self.G.mapping.w_avg.device
        if self.photos is None:
            z = torch.randn(n, self.G.mapping.z_dim, generator=generator)
            return self.G.ws(z.to(device), truncation_psi=0.7)
        index = self._photos_of(attribute, 3 * n, generator)
        blended = self.mu[index].unflatten(0, (n, 3)).mean(1)
        return map_zplus(self.G.mapping, blended.to(device))

    def _photos_of(self, attribute: str, n: int, generator: torch.Generator) -> torch.Tensor:
        names = self.photos.attributes
        rows = [i for i, name in enumerate(names) if name == attribute] or list(range(len(names)))
        return torch.tensor(rows)[torch.randint(len(rows), (n,), generator=generator)]


def train(config: TransferConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = pick_runtime()
    source = load_source(config.base)
    exemplars = load_images(config.data, source.G.resolution)
    sets = [exemplars.of(name) if name else exemplars for name in config.names]
    sets = [part.to(runtime.device) for part in sets]
    codes = Codes(config, source, runtime)
    nets = Networks(config, source, runtime)
    net = SqueezeNet.from_npz(config.perceptual)
    distance = PerceptualDistance(net, drop_first=config.sim_drop).to(runtime.device)
    run = Run(
        config.out,
        config,
        total=config.iterations * config.batch,
        batch=config.batch,
        state=nets.state(),
        seed=config.seed,
        tick=50 * config.batch,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            step = run.cur_nimg // config.batch
            for path, (name, part) in enumerate(zip(config.names, sets, strict=True)):
                ws = codes.draw(name, config.batch, generator)
                real = draw(part, run.cur_nimg, config.batch, config.seed)
                fake = nets.G.synthesis(ws, noise="random", path=path)
                r1 = config.r1_weight * config.r1_gamma / 2 * config.r1_interval
                r1 *= step % config.r1_interval == 0
                D, optimizer = nets.D[path], nets.opt_D
                losses = discriminator_step(D, optimizer, nets.augment, hinge_d, real, fake, r1)
                losses |= _generator_step(nets, config, path, fake, ws, distance)
                if config.path_weight > 0 and step % config.path_interval == 0:
                    weight = config.path_weight * config.path_interval
                    some = ws[: max(1, config.batch // 2)]
                    losses |= path_step(nets.G, nets.opt_G, nets.values, some, weight, path)
                run.record({f"{key}_{name}".rstrip("_"): v for key, v in losses.items()})
            beta = ema_beta(config.batch, config.ema_images, run.cur_nimg)
            update_ema(nets.G_ema, nets.G, beta)
            if run.due(config.sample_every * config.batch):
                _save_samples(nets, config, codes, run)
    if config.pack and not run.stopped:
        counts = {name or "all": len(part) for name, part in zip(config.names, sets, strict=True)}
        record = {"recipe": "train.transfer", "exemplars": counts, **run.record_of_run}
        _save_pack(nets, config, source, codes, record)


def _generator_step(
    nets: Networks,
    config: TransferConfig,
    path: int,
    fake: torch.Tensor,
    ws: torch.Tensor,
    distance: PerceptualDistance,
) -> Losses:
    with torch.no_grad():
        original = nets.source.synthesis(ws)
    losses = {
        "loss_G": hinge_g(nets.D[path](nets.augment(fake))),
        "sim": distance(fake, original).mean(),
    }
    nets.opt_G.zero_grad(set_to_none=True)
    (losses["loss_G"] + config.sim_weight * losses["sim"]).backward()
    nets.opt_G.step()
    return losses


@torch.no_grad()
def _draw_rows(nets: Networks, config: TransferConfig, codes: Codes) -> list[torch.Tensor]:
    """The same codes through the source and through every path."""
    generator = torch.Generator().manual_seed(config.seed)
    ws = codes.draw(config.names[0], 12, generator)
    drawn = [nets.G_ema.synthesis(ws, path=path) for path in range(len(config.names))]
    return [nets.source.synthesis(ws), *drawn]


def _save_samples(nets: Networks, config: TransferConfig, codes: Codes, run: Run) -> None:
    rows = _draw_rows(nets, config, codes)
    save_grid(run.out / f"samples-{run.cur_nimg:09d}.png", torch.cat(rows), columns=12)


def _save_pack(
    nets: Networks, config: TransferConfig, source: Source, codes: Codes, record: dict[str, Any]
) -> None:
    """Write the style; the preview shows nobody's photograph."""
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
        record=record,
        preview=preview_of(torch.cat(pictures)),
    )


if __name__ == "__main__":
    run_recipe(TransferConfig, PRESETS, train, __doc__)
