"""Recipe: a student, one small network that draws what a whole style draws, and whole photos.

    python -m train.distill --style packs/drawings --data sets/photos --test sets/test \\
        --perceptual squeezenet_v1.0.npz --out runs/student

Knowledge distillation (Hinton et al. 2015, arXiv 1503.02531) of encoder and generator together: the
teacher, the style with the options of its card, draws every photo once, and the student learns

    L = |S(x) - T(x)| + 0.5 LPIPS(S(x), T(x))

on photos x and drawings T(x) that are mirrored, turned, moved and enlarged a little together, with
noise on the photo alone; squares of `part` of their side are enough, since a drawing depends on
what is near. So the drawing sticks to the face when its crop trembles, and the noise of a camera
does not flicker; the teacher itself is not that steady. Adam, a cosine at the end, an average of
the weights. The student goes into the style's pack, and what it loses against the teacher on photos
it never saw into the card.
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.card import GENERATOR_FILE, STUDENT_FILE
from engine.errors import OptionError
from engine.library import StyleLibrary
from engine.live import RECORD, TEACHER
from engine.models.perceptual import SMALLEST_SIDE, PerceptualDistance, SqueezeNet
from engine.models.student import FOLD, Student, student_from_state
from engine.pack import load_pack, save_pack
from engine.pipeline import Stylizer
from engine.runtime import pick_runtime
from train.config import run_recipe
from train.data import as_float, batch_at, load_images
from train.distill_config import PRESETS, WIDENING, DistillConfig
from train.distributed import join_processes, take_step
from train.encoder import cosine_fall
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.losses import drawing_losses
from train.metrics import perceptual_distances, psnr
from train.teacher import drawn_by

Square = tuple[int, int, int]  # top, left, side in pixels

OVERSAMPLED = 2  # photos are read at twice the resolution, so that moving them blurs nothing
LARGEST = 5e6  # bytes of a student on disk
SHOWN = 12  # photos of a sample grid
STEP = FOLD * 2 ** (len(WIDENING) - 1)  # the sides of a student's pictures are multiples of it


@dataclass(frozen=True)
class Lessons:
    """Photos uint8 [N, 3, 2R, 2R], and what the teacher draws of them, uint8 [N, 3, R, R]."""

    photos: Tensor
    drawings: Tensor

    def to(self, device: torch.device) -> "Lessons":
        """The same lessons on another device."""
        return Lessons(self.photos.to(device), self.drawings.to(device))

    def all(self, count: int | None = None) -> tuple[Tensor, Tensor]:
        """The first `count` photos and drawings, or all, as they are: [N, 3, R, R] in [-1, 1]."""
        return _reduced(as_float(self.photos[:count])), as_float(self.drawings[:count])

    def at(
        self, cur_nimg: int, config: DistillConfig, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """A part of photos and drawings at a point of the training: [N, 3, P, P] in [-1, 1].

        They are mirrored, turned and moved together; the part is the same square of all of them.
        """
        part = random_square(self.drawings.shape[-1], config.part, generator)
        index, flip = batch_at(len(self.photos), cur_nimg, config.batch, config.seed)
        matrix = jitter_matrices(config.batch, config.jitter, generator)
        matrix[flip] *= torch.tensor([-1.0, 1.0, 1.0])  # mirrored after it is moved
        larger = tuple(OVERSAMPLED * value for value in part)
        device = self.photos.device
        matrix, index = matrix.to(device), index.to(device)
        photos = _reduced(moved(as_float(self.photos[index]), matrix, larger))
        drawings = moved(as_float(self.drawings[index]), matrix, part).clamp(-1, 1)
        noise = torch.randn(drawings.shape, generator=generator).to(device)
        return (photos + config.noise * noise).clamp(-1, 1), drawings


def jitter_matrices(count: int, amount: float, generator: torch.Generator) -> Tensor:
    """Small similarities [N, 2, 3], output -> input in coordinates of [-1, 1].

    Every second one is the identity, whose drawing stays as sharp as it is. Scale and shift are
    uniform within `amount` (a part of the picture), the turn within `amount` radians.
    """
    turn, scale, x, y = (2 * torch.rand(4, count, generator=generator) - 1) * amount
    scale = 1 + scale
    rows = [scale * turn.cos(), -scale * turn.sin(), 2 * x]
    rows += [scale * turn.sin(), scale * turn.cos(), 2 * y]
    matrices = torch.stack(rows, 1).view(count, 2, 3)
    matrices[::2] = torch.eye(3)[:2]
    return matrices


def random_square(size: int, share: float, generator: torch.Generator) -> Square:
    """A random square in pictures of `size` pixels, `share` of their side or a little more."""
    side = min(size, -(-max(SMALLEST_SIDE, round(share * size)) // STEP) * STEP)
    top, left = torch.randint(size - side + 1, (2,), generator=generator).tolist()
    return top, left, side


def moved(pictures: Tensor, matrix: Tensor, square: Square | None = None) -> Tensor:
    """Draw float [N, 3, R, R], or a square of them, anew through matrices [N, 2, 3].

    Bicubic keeps lines sharp.
    """
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    top, left, side = square or (0, 0, pictures.shape[-1])
    grid = grid[:, top : top + side, left : left + side]
    settings = {"mode": "bicubic", "padding_mode": "reflection", "align_corners": False}
    return F.grid_sample(pictures, grid, **settings)


def _reduced(photos: Tensor) -> Tensor:
    return F.avg_pool2d(photos, OVERSAMPLED)


def train(config: DistillConfig) -> None:
    """Train, resume by rerunning, and put the student into the style's pack at the end."""
    runtime = join_processes()
    draws = replace(runtime, dtype=pick_runtime().dtype)  # the teacher, as its users see it
    stylizer = Stylizer.load(config.style, runtime=draws)
    lessons, test = load_lessons(config, stylizer)
    lessons, test = lessons.to(runtime.device), test.to(runtime.device)
    torch.manual_seed(config.seed)
    layout = {"memory_format": torch.channels_last}  # a third faster on a CPU, both ways
    S = first_student(config).to(runtime.device, **layout)
    check_size(S)
    S_ema = copy.deepcopy(S).eval().requires_grad_(False)
    distance = None
    if config.perceptual:
        distance = PerceptualDistance(SqueezeNet.from_npz(config.perceptual)).to(runtime.device)
    optimizer = torch.optim.Adam(S.parameters(), config.lr)
    run = Run(
        config.out,
        config,
        total=config.images,
        batch=config.batch,
        state={"S": S, "S_ema": S_ema, "optimizer": optimizer},
        seed=config.seed,
        accumulate=config.accumulate,
        device=runtime.device,
    )
    weights = {"l1": config.l1_weight, "perceptual": config.perceptual_weight}
    with run, autocast(runtime):
        for generator in run.steps():
            x, y = lessons.at(run.cur_nimg, config, generator)
            set_lr(optimizer, config.lr * cosine_fall(run.cur_nimg / config.images))
            optimizer.zero_grad(set_to_none=True)
            for share in run.shares("S"):
                losses = drawing_losses(S(share.rows(x).to(**layout)), share.rows(y), distance)
                loss = sum(weights[name] * term for name, term in losses.items())
                (loss / run.accumulate).backward()
                run.record(losses)
            take_step(optimizer)
            update_ema(S_ema, S, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every):
                run.record({"test_psnr": _loss_against(S_ema, test, None)["psnr"]})
                photos, drawings = test.all(SHOWN)
                shown = torch.cat([photos, drawings, _draw(S_ema, photos)])
                run.save_samples(shown, columns=len(photos))
    if run.leads and not run.stopped:
        save_student(
            stylizer, S_ema, test, distance, {"recipe": "train.distill"} | run.record_of_run
        )


def first_student(config: DistillConfig) -> Student:
    """A new student, or one that learned another style or an earlier state of this one.

    Raises OptionError where that pack has no student, or one of another width.
    """
    if not config.start_from:
        return Student(config.widths)
    pack = load_pack(StyleLibrary().find(config.start_from))
    earlier = student_from_state(pack.state(STUDENT_FILE)) if pack.has(STUDENT_FILE) else None
    if earlier is None or tuple(earlier.widths) != config.widths:
        found = f"a student of --width {earlier.widths[0]}" if earlier else "no student"
        raise OptionError(
            f"--start-from {config.start_from} has {found}; one of --width {config.width} is "
            "needed: choose another pack or that width, or leave it out"
        )
    return earlier.train().requires_grad_(True)


def load_lessons(config: DistillConfig, stylizer: Stylizer) -> tuple[Lessons, Lessons]:
    """Photos and drawings to learn from and to be tested on; they are drawn once per run folder."""
    size = OVERSAMPLED * stylizer.card.resolution
    data = load_images(config.data, size)
    if config.test:
        test = load_images(config.test, size)
    else:
        test, data = data.split_off(max(1, len(data) // 10), config.seed)
    parts = []
    for name, photos in (("data", data), ("test", test)):
        drawings = drawn_by(stylizer, photos, Path(config.out) / f"teacher-{name}.safetensors")
        parts.append(Lessons(photos.images, drawings))
    return parts[0], parts[1]


def check_size(S: Student) -> None:
    """Raise OptionError for a student of more than 5 MB in float16."""
    megabytes = sum(value.numel() for value in S.state_dict().values()) * 2 / 1e6
    if megabytes > LARGEST / 1e6:
        raise OptionError(
            f"a student of --width {S.widths[0]} has {megabytes:.1f} MB; at most "
            f"{LARGEST / 1e6:g} MB are accepted: choose a smaller --width"
        )


def save_student(
    stylizer: Stylizer,
    S: Student,
    test: Lessons,
    distance: PerceptualDistance | None,
    record: dict[str, Any],
) -> None:
    """Measure the student as it is stored, in float16, and put it into its teacher's pack."""
    pack = stylizer.style.pack
    stored = student_from_state({k: v.half().float() for k, v in S.state_dict().items()})
    lost = _loss_against(stored.to(test.photos.device), test, distance)
    measured = {f"{name}_{len(test.photos)}": round(value, 4) for name, value in lost.items()}
    record = {TEACHER: pack.card.files[GENERATOR_FILE], **record, "against_its_teacher": measured}
    defaults = {"surroundings": 1.0, **pack.card.defaults}  # now all of a photo can be drawn
    training = {**pack.card.training, RECORD: record}
    card = replace(pack.card, defaults=defaults, training=training)
    save_pack(pack.folder, card, {STUDENT_FILE: S.state_dict()})


def _loss_against(
    S: Student, test: Lessons, distance: PerceptualDistance | None
) -> dict[str, float]:
    """What a student loses against its teacher: mean PSNR in dB, and perceptual distance."""
    photos, drawings = test.all()
    drawn = _draw(S, photos)
    lost = {"psnr": psnr(drawn, drawings).mean().item()}
    if distance is not None:
        far = perceptual_distances(drawn, drawings, distance)
        lost["perceptual_squeezenet-lpips"] = far.mean().item()
    return lost


@torch.no_grad()
def _draw(S: Student, photos: Tensor) -> Tensor:
    with torch.autocast(photos.device.type, enabled=False):
        return torch.cat([S(part).clamp(-1, 1) for part in photos.split(16)])


if __name__ == "__main__":
    run_recipe(DistillConfig, PRESETS, train, __doc__)
