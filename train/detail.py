"""Recipe: what the codes of a face leave out, read off the photo (engine.models.detail).

Generator and encoder are fixed. For a photo x with the codes w = E(x) the detail encoder D answers
a correction of the generator's features f at a quarter of the resolution, where G' ends:

    y = G(w; f + D(x, G'(w)))
    L = |x - y| + |x - y|^2 + 0.8 LPIPS(x, y) + `face_weight` (|x - y| + LPIPS)(face, enlarged)
        + `size_weight` |D|^2

No paper has it; UI2I-StyleGAN2 (Huang et al. 2021, Section III-A) is where features of a content
picture are handed to generators of styles. The smaller a correction, the closer it stays to
features that the styles of the base know. Photos are shifted, turned and scaled a little
(`jitter`), so that the correction follows what it sees and not where FFHQ's framing puts it: clips
need that.
"""

import copy
import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.card import DETAIL_FILE
from engine.errors import OptionError, TrainingError
from engine.models.detail import (
    SHRINKING,
    DetailEncoder,
    as_addition,
    detail_from_state,
    small_picture,
)
from engine.models.encoder import FeaturePyramidEncoder
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.stylegan2 import Generator
from train.captured import Captured, mean_of
from train.config import run_recipe
from train.data import ImageSet, as_float, draw, load_images
from train.distributed import Share, join_processes, take_step
from train.encoder import cosine_fall, encoder_input, ws_of
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.losses import enlarged_face
from train.packs import Source, load_source, save_base

NUM_SHOWN = 12
LARGEST_GRADIENT = 1.0  # its norm; without, the untrained network's steps go astray


@dataclass(frozen=True)
class DetailConfig:
    """Settings of train.detail."""

    data: str = field(default="", metadata={"holds": "photos", "help": "folder of aligned photos"})
    about: str = field(default="", metadata={"help": "the photos and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to read and update"})
    out: str = field(default="runs/detail", metadata={"help": "run folder; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz"})
    init: str = field(default="new", metadata={"help": "new, or pack: go on from the pack's"})
    images: int = field(default=400_000, metadata={"help": "length of the training"})
    batch: int = field(default=16, metadata={"help": "images per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=4e-4, metadata={"help": "Adam, falling over the last quarter"})
    perceptual_weight: float = field(default=0.8, metadata={"help": "LPIPS-like distance"})
    face_weight: float = field(default=0.5, metadata={"help": "l1, LPIPS on eyes to mouth"})
    size_weight: float = field(default=1e-3, metadata={"help": "mean square of the correction"})
    jitter: float = field(default=0.04, metadata={"help": "shift in sides; turns, scales as far"})
    sample_every: int = field(default=10_000, metadata={"help": "images between sample grids"})
    ema_images: float = field(default=5000, metadata={"help": "half-life of the average"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.init not in ("new", "pack"):
            raise OptionError(f"--init {self.init!r} is none of new, pack")
        if not 0 <= self.jitter <= 0.2:
            raise OptionError(f"--jitter {self.jitter} is not within 0 and 0.2: try 0.04")


PRESETS = {
    "gpu": DetailConfig(),
    "cpu": DetailConfig(images=24_000, batch=8, ema_images=1500, sample_every=2000),
}


def train(config: DetailConfig) -> None:
    """Train, resume by rerunning, and put the network into the base pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    if source.E is None:
        raise TrainingError(f"{config.base} has no encoder: train one with train.encoder first")
    data = load_images(config.data, source.G.resolution).to(runtime.device)
    torch.manual_seed(config.seed)
    D = new_detail_encoder(config, source).to(runtime.device)
    D_ema = copy.deepcopy(D).eval().requires_grad_(False)
    G = source.G.to(runtime.device).requires_grad_(False)
    E = source.E.to(runtime.device).requires_grad_(False)
    G.synthesis.dtype = runtime.dtype
    space = source.pack.card.encoder_space
    distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    optimizer = torch.optim.Adam(D.parameters(), config.lr, betas=(0.9, 0.99), fused=True)
    run = Run(
        config.out,
        config,
        total=config.images,
        batch=config.batch,
        state={"D": D, "D_ema": D_ema, "optimizer": optimizer},
        seed=config.seed,
        accumulate=config.accumulate,
        device=runtime.device,
        tick=500,
    )

    def update(x: Tensor) -> dict[str, Tensor]:
        optimizer.zero_grad(set_to_none=True)
        parts = []
        for share in run.shares("D"):
            photo = jittered(share.rows(x), config.jitter, share)
            rebuilt, size = rebuilt_with_detail(D, E, G, photo, space)
            parts.append(detail_losses(rebuilt, photo, distance) | {"size": size})
            (weighted(config, parts[-1]) / run.accumulate).backward()
        take_step(optimizer, LARGEST_GRADIENT)
        return mean_of(parts)

    step = Captured(update, runtime.device, optimizer, whole=run.accumulate == 1)
    with run, autocast(runtime):
        for _ in run.steps():
            set_lr(optimizer, config.lr * cosine_fall(run.cur_nimg / config.images))
            run.record(step(draw(data, run.cur_nimg, config.batch, config.seed)))
            update_ema(D_ema, D, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every):
                _save_samples(run, D_ema, E, G, data, space)
    if run.leads and not run.stopped:
        record = {"recipe": "train.detail", **run.record_of_run}
        save_base(config.base, {DETAIL_FILE: D_ema}, record)


def new_detail_encoder(config: DetailConfig, source: Source) -> DetailEncoder:
    """The network that training starts from: the pack's, or one that changes nothing yet.

    Raises:
        OptionError: the pack has none.
    """
    if config.init == "new":
        return DetailEncoder(source.G.synthesis.channels[source.G.resolution // SHRINKING])
    if not source.pack.has(DETAIL_FILE):
        raise OptionError(f"{config.base} has no {DETAIL_FILE} to start from: use --init new")
    return detail_from_state(source.pack.state(DETAIL_FILE))


def rebuilt_with_detail(
    D: DetailEncoder, E: FeaturePyramidEncoder, G: Generator, photo: Tensor, space: str
) -> tuple[Tensor, Tensor]:
    """Photos [N, 3, R, R] through codes and correction: (pictures, mean square of the latter)."""
    with torch.no_grad():
        ws = ws_of(G, E(encoder_input(photo, E.input_size)).float(), space)
        drawn = small_picture(G.synthesis, ws)
    detail = D(photo, drawn).float()
    return G.synthesis(ws, add=as_addition(detail)), detail.square().mean()


def detail_losses(
    rebuilt: Tensor, photo: Tensor, distance: PerceptualDistance
) -> dict[str, Tensor]:
    """The unweighted terms that compare pictures [N, 3, R, R]."""
    face, wanted = enlarged_face(rebuilt), enlarged_face(photo)
    side = max(64, 3 * photo.shape[-1] // 4)
    small = (encoder_input(x, side) for x in (face, wanted))
    return {
        "l1": (rebuilt - photo).abs().mean(),
        "l2": (rebuilt - photo).square().mean(),
        "perceptual": distance(rebuilt, photo).mean(),
        "face": (face - wanted).abs().mean() + distance(*small).mean(),
    }


def weighted(config: DetailConfig, losses: dict[str, Tensor]) -> Tensor:
    """The objective."""
    return (
        losses["l1"]
        + losses["l2"]
        + config.perceptual_weight * losses["perceptual"]
        + config.face_weight * losses["face"]
        + config.size_weight * losses["size"]
    )


def jittered(photo: Tensor, amount: float, share: Share) -> Tensor:
    """Shift photos [N, 3, R, R] by up to `amount` sides; turn and scale them about as far."""
    if not amount:
        return photo
    turn, grow, right, down = (2 * share.rand((len(photo), 4), photo.device) - 1).T * amount
    cos, sin = torch.cos(math.pi / 2 * turn), torch.sin(math.pi / 2 * turn)
    scale = torch.exp(grow)
    rows = [cos * scale, -sin * scale, 2 * right, sin * scale, cos * scale, 2 * down]
    grid = F.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(photo.shape), False)
    return F.grid_sample(photo, grid, padding_mode="reflection", align_corners=False)


@torch.no_grad()
def _save_samples(
    run: Run,
    D: DetailEncoder,
    E: FeaturePyramidEncoder,
    G: Generator,
    data: ImageSet,
    space: str,
) -> None:
    """Photos over their codes' pictures over the corrected ones."""
    photos = as_float(data.images[:: max(1, len(data) // NUM_SHOWN)][:NUM_SHOWN])
    plain = G.synthesis(ws_of(G, E(encoder_input(photos, E.input_size)).float(), space))
    rebuilt, _ = rebuilt_with_detail(D, E, G, photos, space)
    run.save_samples(torch.cat([photos, plain, rebuilt]), columns=NUM_SHOWN)


if __name__ == "__main__":
    run_recipe(DetailConfig, PRESETS, train, __doc__)
