"""Recipe: an encoder into Z+ (AgileGAN's, variational or not), Z, W or W+ (pixel2style2pixel's).

The generator is fixed. AgileGAN (Song et al. 2021, Section 3.2) encodes a photo x as a Gaussian per
layer, of which a sample is decoded:

    L = |x - G(z)|^2 + 0.8 LPIPS + 0.8 identity + 5e-4 KL(q(z|x) || N(0, I))         (Equation 8)

for 20 epochs with rectified Adam at 1e-3 and batches of 16. pSp (Richardson et al. 2021, arXiv
2008.00951, Equation 5, `--preset psp`) answers codes in W+, offsets from the average w:

    L = |x - G(w)|^2 + 0.8 LPIPS + 0.1 identity + 0.005 |w - w_avg|

with Ranger at 1e-4 and batches of 8. Losses are taken at 256 px where pictures are larger. The
encoder into a space goes into the base pack beside those into other spaces. The identity term needs
the weights of an ArcFace network, which the project does not ship (their licences forbid commercial
use); without `identity` it is left out. `face_weight` adds l2 and LPIPS once more on the part of
the face from the eyes to the mouth, enlarged. `--init fitted` begins an encoder into W+ or W
with the layers of the base's first one, and heads that are solved for or answer the average
(train.fitted_encoder). `--imitate 64` learns from what the generator has drawn at 64 px of the
first encoder's codes instead of from photos, in a quarter of the time.
"""

import copy
import math

import torch
from torch import Tensor, nn

from engine.errors import OptionError
from engine.latent import map_zplus
from engine.models.backbone_encoder import PhotoEncoder, WEncoder
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.irse import ArcFace, arcface_from_state, identity_crop
from engine.models.perceptual import SMALLEST_SIDE, PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Generator
from engine.runtime import Runtime
from train.config import run_recipe
from train.data import ImageSet, as_float, draw, load_images
from train.distributed import WHOLE, Share, join_processes, take_step
from train.encoder_config import PRESETS, EncoderConfig
from train.fitted_encoder import begin_at_average, fit_to
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.losses import enlarged_face, kl_divergence
from train.packs import Source, load_source, save_base
from train.ranger import Ranger

NARROW = {"widths": (32, 32, 64, 128, 192), "units": (1, 2, 2, 2)}
OPTIMIZERS = {"radam": torch.optim.RAdam, "ranger": Ranger}


def narrow_encoder(
    num_ws: int, input_size: int, *, variational: bool = True, latent_avg: Tensor | None = None
) -> FeaturePyramidEncoder:
    """The encoder of the embedded packs: pSp's pyramid, few units, one sub-encoder per level.

    Three codes are read from the coarse and three from the medium level, so that a generator that
    grows adds its codes to the fine one. It starts as a sharp posterior around directions that
    differ per picture, from which training is quickest.
    """
    encoder = FeaturePyramidEncoder(
        num_ws,
        input_size=input_size,
        **NARROW,
        feature_dim=128,
        levels=(3, 3),
        shared_blocks=True,
        initial_logvar=-3.0,
        variational=variational,
        latent_avg=latent_avg,
    )
    if variational:
        nn.init.orthogonal_(encoder.fc_mu.weight)  # zero, the published start, needs a trained G
    return encoder


def new_encoder(config: EncoderConfig, source: Source) -> PhotoEncoder:
    """The encoder that training starts from: that of the pack, a narrow or a published one.

    Raises:
        OptionError: the pack has none into that space.
    """
    G, size = source.G, config.input_size
    if config.init == "pack":
        packed = source.encoder_into(config.space)
        if packed is None or packed.variational != config.has_posterior:
            kind = "variational " if config.has_posterior else ""
            raise OptionError(
                f"{config.base} has no {kind}encoder into {config.space} to start from: use "
                "--init narrow"
            )
        return copy.deepcopy(packed).train().requires_grad_(True)
    narrow = config.init != "full"
    average = G.mapping.w_avg[None].clone() if config.space.startswith("w") else None
    if config.space in ("z", "w"):
        sizes = NARROW if narrow else {}
        return WEncoder(G.mapping.w_dim, input_size=size, latent_avg=average, **sizes)
    new = narrow_encoder if narrow else FeaturePyramidEncoder
    return new(G.num_ws, input_size=size, variational=config.has_posterior, latent_avg=average)


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


def ws_of(G: Generator, codes: Tensor, space: str) -> Tensor:
    """Codes of a space, [N, L, 512] or [N, 512], as ws [N, L, w_dim]."""
    codes = codes[:, None].expand(-1, G.num_ws, -1) if codes.ndim == 2 else codes
    return map_zplus(G.mapping, codes) if space.startswith("z") else codes


def train(config: EncoderConfig) -> None:
    """Train, resume by rerunning, and put the encoder into the base pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    data = load_images(config.data, source.G.resolution).to(runtime.device)
    torch.manual_seed(config.seed)
    E = new_encoder(config, source).to(runtime.device)
    fitted = _fitted(E, config, source, runtime.device)
    E_ema = copy.deepcopy(E).eval().requires_grad_(False)
    G = source.G.to(runtime.device)
    G.synthesis.dtype = runtime.dtype
    distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    identity = _identity(config, runtime)
    first = _first(config, source, runtime)
    optimizer = OPTIMIZERS[config.optimizer](E.parameters(), config.lr)
    total = round(config.epochs * 2 * len(data) / config.batch) * config.batch
    run = Run(
        config.out,
        config,
        total=total,
        batch=config.batch,
        state={"E": E, "E_ema": E_ema, "optimizer": optimizer},
        seed=config.seed,
        accumulate=config.accumulate,
        device=runtime.device,
    )
    names = ("l2", "perceptual", "identity", "kl", "w_norm", "face")
    weights = {name: getattr(config, f"{name}_weight") for name in names}
    with run, autocast(runtime):
        for _ in run.steps():
            x = draw(data, run.cur_nimg, config.batch, config.seed)
            set_lr(optimizer, config.lr * cosine_fall(run.cur_nimg / total))
            optimizer.zero_grad(set_to_none=True)
            for share in run.shares("E"):
                shown = (share.rows(x), distance, identity, share, first)
                losses = encoder_losses(config, E, G, *shown)
                loss = sum(weights[name] * term for name, term in losses.items())
                (loss / run.accumulate).backward()
                run.record(losses)
            take_step(optimizer)
            update_ema(E_ema, E, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every):
                pictures = photos_and_reconstructions(E_ema, G, data, space=config.space)
                run.save_samples(pictures, columns=16)
    if run.leads and not run.stopped:
        record = {"recipe": "train.encoder", **run.record_of_run, **fitted}
        save_base(config.base, {source.pack.card.encoder_file(config.space): E_ema}, record)


def encoder_losses(
    config: EncoderConfig,
    E: PhotoEncoder,
    G: Generator,
    x: Tensor,
    distance: PerceptualDistance,
    identity: ArcFace | None,
    share: Share = WHOLE,
    first: PhotoEncoder | None = None,
) -> dict[str, Tensor]:
    """The unweighted terms of both objectives for photos x [N, 3, R, R]; those without use lack.

    With a `first` encoder, into Z+, the pictures that are compared end at `config.imitate` pixels,
    and what is wanted is not the photo but what the first encoder's codes give.
    """
    terms = {}
    if E.variational:
        mu, logvar = bounded_posterior(E, x)
        terms["kl"] = kl_divergence(mu, logvar)
        codes = mu + share.randn(mu.shape, mu.device) * torch.exp(0.5 * logvar)  # Equation 3
    else:
        codes = E(encoder_input(x, E.input_size)).float()
    rebuilt = G.synthesis(ws_of(G, codes, config.space), until=config.imitate)
    if first is not None:
        with torch.no_grad():
            wanted = first(encoder_input(x, first.input_size)).float()
            x = G.synthesis(ws_of(G, wanted, "z+"), until=config.imitate)
    size = min(config.loss_size, x.shape[-1])
    rebuilt, x = encoder_input(rebuilt, size), encoder_input(x, size)
    terms["l2"] = (rebuilt - x).square().mean()
    terms["perceptual"] = distance(rebuilt, x).mean()
    if config.space.startswith("w"):
        terms["w_norm"] = (codes - G.mapping.w_avg).flatten(1).norm(dim=1).mean()
    if identity is not None:
        cosine = (identity(identity_crop(rebuilt)) * identity(identity_crop(x))).sum(1)
        terms["identity"] = (1 - cosine).mean()
    if config.face_weight > 0:
        rebuilt, x = enlarged_face(rebuilt), enlarged_face(x)
        closer = distance(rebuilt, x).mean()
        terms["face"] = (rebuilt - x).square().mean() + config.perceptual_weight * closer
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
    E: PhotoEncoder, G: Generator, data: ImageSet, count: int = 16, space: str = "z+"
) -> Tensor:
    """Some photos, then what their codes (posterior means) decode to: [2 count, 3, R, R]."""
    photos = as_float(data.images[:: max(1, len(data) // count)][:count])
    codes = E(encoder_input(photos, E.input_size)).float()
    return torch.cat([photos, G.synthesis(ws_of(G, codes, space))])


def _first(config: EncoderConfig, source: Source, runtime: Runtime) -> PhotoEncoder | None:
    """The encoder that is imitated, if one is.

    Raises:
        OptionError: the base has none, or the generator ends before that resolution.
    """
    if not config.imitate:
        return None
    if source.E is None or source.pack.card.encoder_space != "z+":
        raise OptionError(f"{config.base} has no encoder into z+ to imitate: leave --imitate out")
    sizes = [size for size in source.G.synthesis.resolutions if size >= SMALLEST_SIDE]
    if config.imitate not in sizes:
        raise OptionError(
            f"--imitate {config.imitate} is none of {sizes}, where the base is looked at"
        )
    return source.E.to(runtime.device).requires_grad_(False)


def _fitted(
    E: PhotoEncoder, config: EncoderConfig, source: Source, device: torch.device
) -> dict[str, float]:
    """Let a new encoder begin where the base's first one is, if it is to; for the record."""
    if config.init != "fitted":
        return {}
    if source.E is None:
        raise OptionError(f"{config.base} has no encoder to fit another one to: use --init narrow")
    if config.space == "w":
        begin_at_average(E, source.E.to(device))
        return {}
    photos, space = load_images(config.data, source.E.input_size), source.pack.card.encoder_space
    G, own = source.G.to(device), source.E.to(device)
    share = fit_to(E, own, photos, lambda codes: ws_of(G, codes, space))
    return {"variance_explained_by_fitted_heads": round(share, 3)}


def _identity(config: EncoderConfig, runtime: Runtime) -> ArcFace | None:
    if not config.identity:
        return None
    state = torch.load(config.identity, map_location="cpu", weights_only=True)
    return arcface_from_state(state).to(runtime.device)


def cosine_fall(progress: float) -> float:
    """Factor of the learning rate: 1, then down to zero along a cosine over the last quarter."""
    fall = min(max((progress - 0.75) / 0.25, 0.0), 1.0)
    return 0.5 + 0.5 * math.cos(math.pi * fall)


if __name__ == "__main__":
    run_recipe(EncoderConfig, PRESETS, train, __doc__)
