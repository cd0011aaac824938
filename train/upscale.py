"""Recipe: drawings twice as large as the generator draws them (engine.models.upscaler).

    python -m train.upscale --data sets/drawings --base packs/base \\
        --perceptual squeezenet_v1.0.npz --out runs/upscale

Drawings y and, as what is to be enlarged, the same made half as large: blurred with a deviation of
`least_blur` to `most_blur` pixels, reduced, with a little noise. The network U learns

    L = |U(x) - y| + `perceptual_weight` LPIPS(U(x), y)

What it learns at half the size of the drawings is then used at their full size, as lines look much
alike at both. A tenth of the drawings is kept to measure on, beside bicubic enlargement.
"""

import copy
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.card import UPSCALER_FILE
from engine.errors import OptionError
from engine.models.perceptual import PerceptualDistance, SqueezeNet
from engine.models.upscaler import TIMES, Upscaler
from engine.pack import load_pack
from train.config import run_recipe
from train.data import as_float, draw, load_images
from train.distill import random_square
from train.distributed import join_processes, take_step
from train.encoder import cosine_fall
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.losses import drawing_losses
from train.metrics import psnr
from train.packs import save_base

SHOWN = 8  # drawings of a sample grid
TEST_BLUR = 0.6  # pixels, of the drawings it is measured with


@dataclass(frozen=True)
class UpscaleConfig:
    """Settings of train.upscale."""

    data: str = field(default="", metadata={"holds": "drawings", "help": "folder of squares"})
    about: str = field(default="", metadata={"help": "these and their licence, for the card"})
    base: str = field(default="engine/packs/base", metadata={"help": "pack to update"})
    out: str = field(default="runs/upscale", metadata={"help": "run folder; rerun to resume"})
    perceptual: str = field(default="", metadata={"help": "squeezenet_v1.0.npz, or nothing"})
    channels: int = field(default=48, metadata={"help": "of the network"})
    layers: int = field(default=3, metadata={"help": "of the network, first and last not counted"})
    images: int = field(default=200_000, metadata={"help": "length of the training"})
    batch: int = field(default=16, metadata={"help": "drawings per step"})
    accumulate: int = field(default=1, metadata={"help": "parts a batch is computed in"})
    lr: float = field(default=2e-3, metadata={"help": "Adam, falling over the last quarter"})
    perceptual_weight: float = field(default=0.3, metadata={"help": "LPIPS-like distance"})
    part: float = field(default=0.5, metadata={"help": "of a side: a random square to learn from"})
    least_blur: float = field(default=0.3, metadata={"help": "pixels of the drawing, deviation"})
    most_blur: float = field(default=1.0, metadata={"help": "the same"})
    noise: float = field(default=0.01, metadata={"help": "largest deviation; pixels are -1 .. 1"})
    sample_every: int = field(default=20_000, metadata={"help": "images between sample grids"})
    ema_images: float = field(default=2000, metadata={"help": "half-life of the average"})
    seed: int = field(default=0, metadata={"help": "of everything that is drawn"})

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if not 0 < self.least_blur <= self.most_blur <= 3:
            raise OptionError(
                f"--least-blur {self.least_blur} and --most-blur {self.most_blur} are not within "
                "0 < least <= most <= 3: try 0.3 and 1"
            )


PRESETS = {
    "gpu": UpscaleConfig(),
    "cpu": UpscaleConfig(images=20_000, batch=8, sample_every=4000, ema_images=800),
}


def train(config: UpscaleConfig) -> None:
    """Train, resume by rerunning, and put the network into the base pack at the end."""
    runtime = join_processes()
    data = load_images(config.data, load_pack(config.base).card.resolution)
    test, data = data.split_off(max(1, len(data) // 10), config.seed)
    test, data = as_float(test.images.to(runtime.device)), data.to(runtime.device)
    torch.manual_seed(config.seed)
    U = Upscaler(config.channels, config.layers)
    U = U.to(runtime.device, memory_format=torch.channels_last)
    U_ema = copy.deepcopy(U).eval().requires_grad_(False)
    distance = None
    if config.perceptual:
        distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    optimizer = torch.optim.Adam(U.parameters(), config.lr, betas=(0.9, 0.99))
    run = Run(
        config.out,
        config,
        total=config.images,
        batch=config.batch,
        state={"U": U, "U_ema": U_ema, "optimizer": optimizer},
        seed=config.seed,
        accumulate=config.accumulate,
        device=runtime.device,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            drawings = draw(data, run.cur_nimg, config.batch, config.seed)
            small, drawings = lesson(drawings, config, generator)
            set_lr(optimizer, config.lr * cosine_fall(run.cur_nimg / config.images))
            optimizer.zero_grad(set_to_none=True)
            for share in run.shares("U"):
                losses = drawing_losses(U(share.rows(small)), share.rows(drawings), distance)
                loss = losses["l1"] + config.perceptual_weight * losses.get("perceptual", 0.0)
                (loss / run.accumulate).backward()
                run.record(losses)
            take_step(optimizer)
            update_ema(U_ema, U, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every):
                _save_samples(run, U_ema, test)
    if run.leads and not run.stopped:
        record = {"recipe": "train.upscale", **run.record_of_run, "measured": measured(U_ema, test)}
        save_base(config.base, {UPSCALER_FILE: U_ema}, record)


def lesson(
    drawings: Tensor, config: UpscaleConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a square of drawings [N, 3, R, R], small with its noise and as drawn."""
    top, left, side = random_square(drawings.shape[-1], config.part, generator)
    spread, level = torch.rand(2, generator=generator).tolist()
    blur = config.least_blur + spread * (config.most_blur - config.least_blur)
    square = drawings[..., top : top + side, left : left + side]
    small = made_small(square, blur)
    noise = torch.randn(small.shape, generator=generator).to(small.device)
    return (small + level * config.noise * noise).clamp(-1, 1), square


def made_small(drawings: Tensor, blur: float) -> Tensor:
    """Blur drawings [N, 3, R, R] with a deviation in pixels, and make them half as large."""
    reach = int(3 * blur) + 1
    at = torch.arange(-reach, reach + 1, device=drawings.device)
    kernel = torch.exp(-0.5 * (at / blur) ** 2)
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    x = F.pad(drawings, (reach,) * 4, mode="reflect")
    x = F.conv2d(F.conv2d(x, kernel, groups=3), kernel.mT, groups=3)
    return F.avg_pool2d(x, TIMES)


@torch.no_grad()
def measured(U: Upscaler, drawings: Tensor) -> dict[str, float]:
    """PSNR in dB on drawings [N, 3, R, R] that were made small, beside that of bicubic."""
    small = made_small(drawings, TEST_BLUR)
    ways = {"psnr": U(small), "psnr_bicubic": F.interpolate(small, scale_factor=2, mode="bicubic")}
    found = {name: psnr(x.clamp(-1, 1), drawings).mean().item() for name, x in ways.items()}
    return {f"{name}_{len(drawings)}": round(value, 2) for name, value in found.items()}


@torch.no_grad()
def _save_samples(run: Run, U: Upscaler, drawings: Tensor) -> None:
    """Drawings over bicubic enlargements of small ones, over the network's."""
    shown = drawings[:: max(1, len(drawings) // SHOWN)][:SHOWN]
    small = made_small(shown, TEST_BLUR)
    bicubic = F.interpolate(small, scale_factor=TIMES, mode="bicubic")
    run.record({"test_psnr": measured(U, shown)[f"psnr_{len(shown)}"]})
    run.save_samples(torch.cat([shown, bicubic, U(small)]).clamp(-1, 1), columns=len(shown))


if __name__ == "__main__":
    run_recipe(UpscaleConfig, PRESETS, train, __doc__)
