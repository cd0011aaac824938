"""Recipe: AgileGAN's hierarchical variational encoder into Z+ (Song et al. 2021, Section 3.2).

The generator is fixed. A photo x is encoded as a Gaussian per layer, a sample of it is decoded:

    L = |x - G(z)|^2 + 0.8 LPIPS + 0.8 identity + 5e-4 KL(q(z|x) || N(0, I))         (Equation 8)

for 20 epochs with rectified Adam at 1e-3 and batches of 16. The identity term needs the weights of
an ArcFace network, which the project does not ship (their licences forbid commercial use); without
`identity` it is left out.
"""

import copy
import math
from dataclasses import dataclass, field

import torch
from torch import nn

from engine.card import ENCODER_FILE
from engine.errors import OptionError
from engine.latent import map_zplus, reparameterize
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.irse import ArcFace, arcface_from_state, identity_crop
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Generator
from engine.runtime import Runtime, pick_runtime
from train.config import run_recipe
from train.data import ImageSet, as_float, draw, load_images
from train.loop import Run, autocast, ema_beta, save_grid, set_lr, update_ema
from train.losses import kl_divergence
from train.packs import load_source, save_base


@dataclass(frozen=True)
class EncoderConfig:
    """Settings of train.encoder; the defaults are those of the paper."""

    data: str = field(default="", metadata={"help": "folder of aligned photos"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to read and update"})
    out: str = field(default="runs/encoder", metadata={"help": "run folder; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    identity: str = field(default="", metadata={"help": "ArcFace state dict, or nothing"})
    epochs: int = field(default=20, metadata={"help": "passes over the mirrored photos"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    lr: float = field(default=1e-3, metadata={"help": "of rectified Adam"})
    perceptual_weight: float = field(default=0.8, metadata={"help": "LPIPS-like distance"})
    identity_weight: float = field(default=0.8, metadata={"help": "1 - cosine of embeddings"})
    kl_weight: float = field(default=5e-4, metadata={"help": "KL summed per code of 512"})
    start: str = field(default="pack", metadata={"help": "pack, narrow or full"})
    input_size: int = field(default=64, metadata={"help": "side of a new encoder's input"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    ema_images: float = field(default=10_000, metadata={"help": "half-life of the average"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.start not in ("pack", "narrow", "full"):
            raise OptionError(f"--start {self.start!r} is none of pack, narrow, full: try pack")


PRESETS = {
    "agilegan": EncoderConfig(start="full", input_size=256),
    "cpu": EncoderConfig(start="pack", epochs=2, lr=5e-4, kl_weight=5e-5),
}


def narrow_encoder(num_ws: int, input_size: int) -> FeaturePyramidEncoder:
    """The encoder of the embedded packs: pSp's pyramid, few units, one sub-encoder per level.

    Three codes are read from the coarse and three from the medium level, so that a generator that
    grows adds its codes to the fine one. It starts as a sharp posterior around directions that
    differ per picture, from which training is quickest.
    """
    encoder = FeaturePyramidEncoder(
        num_ws,
        input_size=input_size,
        widths=(32, 32, 64, 128, 192),
        units=(1, 2, 2, 2),
        feature_dim=128,
        levels=(3, 3),
        shared_blocks=True,
        initial_logvar=-3.0,
    )
    nn.init.orthogonal_(encoder.fc_mu.weight)  # zero, the published start, needs a trained G
    return encoder


def encoder_input(images: torch.Tensor, size: int) -> torch.Tensor:
    """Photos [N, 3, R, R] at the encoder's input size."""
    if images.shape[-1] == size:
        return images
    return nn.functional.interpolate(images, (size, size), mode="area")


def bounded_posterior(
    E: FeaturePyramidEncoder, x: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(mu, logvar) of photos x in float32; early in a training exp(logvar) could overflow."""
    mu, logvar = E.posterior(encoder_input(x, E.input_size))
    return mu.float(), logvar.float().clamp(-10.0, 4.0)


def train(config: EncoderConfig) -> None:
    """Train, resume by rerunning, and put the encoder into the base pack at the end."""
    runtime = pick_runtime()
    source = load_source(config.base)
    data = load_images(config.data, source.G.resolution).to(runtime.device)
    G = source.G.to(runtime.device)
    G.synthesis.dtype = runtime.dtype
    E = _new_encoder(config, source.E, G).to(runtime.device)
    E_ema = _new_encoder(config, source.E, G).to(runtime.device).eval().requires_grad_(False)
    E_ema.load_state_dict(E.state_dict())
    distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    identity = _identity(config, runtime)
    optimizer = torch.optim.RAdam(E.parameters(), config.lr)
    total = config.epochs * 2 * len(data)
    run = Run(
        config.out,
        config,
        total=total,
        batch=config.batch,
        state={"E": E, "E_ema": E_ema, "optimizer": optimizer},
        seed=config.seed,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            x = draw(data, run.cur_nimg, config.batch, config.seed)
            losses = reconstruction_losses(E, G, x, distance, identity, generator)
            loss = (
                losses["l2"]
                + config.perceptual_weight * losses["perceptual"]
                + config.identity_weight * losses["identity"]
                + config.kl_weight * losses["kl"]
            )
            set_lr(optimizer, config.lr * cosine_fall(run.cur_nimg / total))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            update_ema(E_ema, E, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            run.record(losses)
            if run.due(config.sample_every):
                _save_samples(E_ema, G, data, run)
    if not run.stopped:
        record = {"recipe": "train.encoder", **run.record_of_run}
        save_base(config.base, {ENCODER_FILE: E_ema}, record)


def reconstruction_losses(
    E: FeaturePyramidEncoder,
    G: Generator,
    x: torch.Tensor,
    distance: PerceptualDistance,
    identity: ArcFace | None,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """The unweighted terms of Equation 8 for photos x [N, 3, R, R]."""
    mu, logvar = bounded_posterior(E, x)
    z = reparameterize(mu, logvar, generator)
    rebuilt = G.synthesis(map_zplus(G.mapping, z))
    terms = {
        "l2": (rebuilt - x).square().mean(),
        "perceptual": distance(rebuilt, x).mean(),
        "kl": kl_divergence(mu, logvar),
        "identity": x.new_zeros(()),
    }
    if identity is not None:
        cosine = (identity(identity_crop(rebuilt)) * identity(identity_crop(x))).sum(1)
        terms["identity"] = (1 - cosine).mean()
    return terms


@torch.no_grad()
def posteriors(E: FeaturePyramidEncoder, photos: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """Posterior mean and log variance of all photos, [N, L, 512] each, on the CPU."""
    device = next(E.parameters()).device
    chunks = [as_float(chunk.to(device)) for chunk in photos.images.split(64)]
    parts = [E.posterior(encoder_input(chunk, E.input_size)) for chunk in chunks]
    mu, logvar = (torch.cat(part).cpu() for part in zip(*parts, strict=True))
    return mu, logvar


@torch.no_grad()
def photos_and_reconstructions(
    E: FeaturePyramidEncoder, G: Generator, data: ImageSet, count: int = 16
) -> torch.Tensor:
    """Some photos, then what their posterior means decode to: [2 count, 3, R, R]."""
    photos = as_float(data.images[:: max(1, len(data) // count)][:count])
    mu, _ = E.posterior(encoder_input(photos, E.input_size))
    return torch.cat([photos, G.synthesis(map_zplus(G.mapping, mu.float()))])


def _new_encoder(
    config: EncoderConfig, packed: FeaturePyramidEncoder | None, G: Generator
) -> FeaturePyramidEncoder:
    if config.start == "full":
        return FeaturePyramidEncoder(G.num_ws, input_size=config.input_size)
    if config.start == "narrow":
        return narrow_encoder(G.num_ws, config.input_size)
    if packed is None:
        raise OptionError(f"{config.base} has no encoder to start from: use --start narrow")
    return copy.deepcopy(packed).train().requires_grad_(True)


def _identity(config: EncoderConfig, runtime: Runtime) -> ArcFace | None:
    if not config.identity:
        return None
    state = torch.load(config.identity, map_location="cpu", weights_only=True)
    return arcface_from_state(state).to(runtime.device)


def cosine_fall(progress: float) -> float:
    """Factor of the learning rate: 1, then down to zero along a cosine over the last quarter."""
    fall = min(max((progress - 0.75) / 0.25, 0.0), 1.0)
    return 0.5 + 0.5 * math.cos(math.pi * fall)


@torch.no_grad()
def _save_samples(E: FeaturePyramidEncoder, G: Generator, data: ImageSet, run: Run) -> None:
    pictures = photos_and_reconstructions(E, G, data)
    save_grid(run.out / f"samples-{run.cur_nimg:09d}.png", pictures, columns=16)


if __name__ == "__main__":
    run_recipe(EncoderConfig, PRESETS, train, __doc__)
