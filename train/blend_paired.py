"""Recipe: BlendGAN's generator, taught by the styles there are already.

    python -m train.blend_paired --teachers packs --data sets/looks --photos sets/photos \\
        --style packs/looks --perceptual squeezenet_v1.0.npz --pack packs/any

Adversarial training (train.blend) takes some hundred thousand pictures. Where styles of the same
base exist, pairs can be made instead, as Lu & Zhou (2025, arXiv 2506.22022) make theirs: T_k, the
style that was trained on the exemplar y of kind k, draws the face, and the blended generator G has
to draw the same from E_style(y) alone (networks and blending as in train.blend):

    L = |G(w_f, E(c(y))) - c(T_k(w_f))|_1  +  0.5 LPIPS(G(w_f, E(c(y))), c(T_k(w_f)))

c is a random change of colour (train.recolor), the same for the exemplar and the drawing: so the
code has to tell palettes and light that no teacher was trained on, and looks between the kinds.
Layers below `freeze_share` of the size stay the base's and the face's; the style encoder goes on
learning, faster than by contrast, as it is told what its codes are for. What no teacher draws is
left to train.oneshot.
"""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.card import BLEND_FILE, GENERATOR_FILE
from engine.errors import DataError, PackError
from engine.models.stylegan2 import Generator, generator_from_state
from engine.pack import load_pack
from engine.runtime import Runtime
from engine.surgery import with_shared
from train.blend import faces, save_blend
from train.blend_networks import blended_of, read_style_files
from train.blend_paired_config import PRESETS, BlendPairedConfig
from train.codes import Codes, Content
from train.config import run_recipe
from train.data import ImageSet, as_float, batch_at, load_images, seeded, sent
from train.distributed import join_processes, take_step
from train.encoder import cosine_fall
from train.gan import layers_below
from train.loop import Run, autocast, ema_beta, set_lr, update_ema
from train.packs import Source, load_source
from train.recolor import random_recoloring
from train.semantic import Distance, base_distance

NUM_SAMPLES = 8


class Teachers(nn.Module):
    """Styles of one base, by the names that exemplars have as attributes."""

    def __init__(self, folder: str, names: list[str], source: Source, runtime: Runtime) -> None:
        """Load them.

        Raises:
            DataError: exemplars without an attribute.
            PackError: a style is missing, or is one of another base.
        """
        super().__init__()
        if "" in names:
            raise DataError("an exemplar has no attribute: it is to name the style that drew it")
        drawing = {name: _generator(Path(folder) / name, source) for name in names}
        self.styles = nn.ModuleDict(drawing).to(runtime.device).requires_grad_(False)
        for G in self.styles.values():
            G.synthesis.dtype = runtime.dtype

    @torch.no_grad()
    def draw(self, face: Content, names: list[str], path: Tensor) -> Tensor:
        """Draw each face in its own style, [N, 3, R, R]; `path` [N] in [0, 1) chooses a path."""
        drawings = []
        for row, name in enumerate(names):
            one, synthesis = face[row : row + 1], self.styles[name].synthesis
            number = int(path[row] * synthesis.num_paths)
            drawings.append(synthesis(one.codes, path=number, add=one.added))
        return torch.cat(drawings).float()


def _generator(folder: Path, source: Source) -> Generator:
    pack = load_pack(folder)
    if (pack.card.base or {}).get("sha256") != source.reference["sha256"]:
        raise PackError(
            f"{folder} is a style of base {(pack.card.base or {}).get('name')}, not of "
            f"{source.pack.folder}: give a folder of styles of one base as --teachers"
        )
    return generator_from_state(with_shared(pack.state(GENERATOR_FILE), source.G.state_dict()))


class Networks:
    """The blended generator and the style encoder, their averages, the optimizer."""

    def __init__(self, config: BlendPairedConfig, source: Source, runtime: Runtime) -> None:
        encoder, files = read_style_files(config.style, source)
        self.blended = blended_of(source, files, config.face_share).to(runtime.device)
        self.encoder = encoder.to(runtime.device).requires_grad_(True)
        kept = round(config.freeze_share * source.G.resolution)
        self.blended.face_weights.requires_grad_(False)
        if BLEND_FILE not in files:
            self.blended.face_weights[: first_code(kept)] = 1.0
        self.blended.G.synthesis.dtype = runtime.dtype
        mapping = list(self.blended.style_mapping.requires_grad_(True).parameters())
        frozen = set(layers_below(self.blended.G.synthesis, kept))
        drawing = [p for p in self.blended.G.synthesis.parameters() if p not in frozen]
        for parameter in drawing:  # backward ends above the frozen ones
            parameter.requires_grad_(True)
        trained = [*drawing, *self.encoder.parameters()]
        self.average = copy.deepcopy((self.blended, self.encoder))
        self.optimizers = [
            torch.optim.Adam(part, lr, (0.9, 0.99), fused=True)
            for part, lr in ((trained, config.lr), (mapping, config.mapping_lr))
        ]

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        blended, encoder = self.average
        return {
            "blended": self.blended,
            "encoder": self.encoder,
            "average_blended": blended,
            "average_encoder": encoder,
            "optimizer": self.optimizers[0],
            "optimizer_mapping": self.optimizers[1],
        }

    def follow(self, beta: float) -> None:
        """Let the averages follow."""
        for average, part in zip(self.average, (self.blended, self.encoder), strict=True):
            update_ema(average, part, beta)


def first_code(resolution: int) -> int:
    """Number of the first code that the blocks from `resolution` on read."""
    return max(0, 2 * int(math.log2(resolution)) - 5) if resolution > 4 else 0


@dataclass(frozen=True)
class Lesson:
    """References in changed colours and what they are to lead to, [N, 3, R, R]; faces in W+."""

    face: Content
    references: Tensor
    wanted: Tensor

    def __getitem__(self, rows: slice) -> Lesson:
        return Lesson(self.face[rows], self.references[rows], self.wanted[rows])

    def __len__(self) -> int:
        return len(self.references)


class Lessons:
    """Draws lessons of exemplars, each with its own teacher, and of photos."""

    def __init__(
        self, config: BlendPairedConfig, exemplars: ImageSet, codes: Codes, teachers: Teachers
    ) -> None:
        self.config, self.exemplars, self.codes, self.teachers = config, exemplars, codes, teachers

    @torch.no_grad()
    def draw(self, rows: Tensor, flip: Tensor, generator: torch.Generator) -> Lesson:
        """One lesson for each of the exemplars `rows` [N], mirrored where `flip` [N] says so."""
        n, unchanged = len(rows), self.config.unchanged
        face = faces(self.codes, n, generator)
        recolored = random_recoloring(n, unchanged, generator).to(face.codes.device)
        names = [self.exemplars.attributes[row] for row in rows]
        wanted = self.teachers.draw(face, names, torch.rand(n, generator=generator))
        rows, flip = (sent(part, face.codes.device) for part in (rows, flip))
        references = as_float(self.exemplars.images[rows])
        references = torch.where(flip[:, None, None, None], references.flip(3), references)
        return Lesson(face, recolored(references), recolored(wanted))

    def at(self, cur_nimg: int, generator: torch.Generator) -> Lesson:
        """The lessons of a step."""
        config = self.config
        order = batch_at(len(self.exemplars), cur_nimg, config.batch, config.seed)
        return self.draw(*order, generator)

    def fixed(self) -> Lesson:
        """The same few lessons whenever asked, of exemplars of all kinds in turn."""
        generator = seeded(self.config.seed, "shown")
        names = self.exemplars.attributes
        of = [[i for i, name in enumerate(names) if name == kind] for kind in sorted(set(names))]
        turns = zip(*(itertools.cycle(rows) for rows in of), strict=True)
        rows = list(itertools.islice(itertools.chain.from_iterable(turns), NUM_SAMPLES))
        return self.draw(torch.tensor(rows), torch.zeros(NUM_SAMPLES, dtype=torch.bool), generator)


def train(config: BlendPairedConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = join_processes()
    source = load_source(config.base)
    exemplars = load_images(config.data, source.G.resolution).to(runtime.device)
    teachers = Teachers(config.teachers, sorted(set(exemplars.attributes)), source, runtime)
    source.G.to(runtime.device)
    codes = Codes(config, source, runtime, config.detail_share)
    lessons = Lessons(config, exemplars, codes, teachers)
    torch.manual_seed(config.seed)
    nets = Networks(config, source, runtime)
    distance = base_distance(config.perceptual, source.D.to(runtime.device))
    run = Run(
        config.out,
        config,
        total=config.images,
        batch=config.batch,
        state=nets.state(),
        seed=config.seed,
        accumulate=config.accumulate,
        device=runtime.device,
    )
    shown = lessons.fixed()
    with run, autocast(runtime):
        for generator in run.steps():
            fall = cosine_fall(run.cur_nimg / config.images)
            set_lr(nets.optimizers[0], config.lr * fall)
            set_lr(nets.optimizers[1], config.mapping_lr * fall)
            _step(nets, run, lessons.at(run.cur_nimg, generator), distance)
            nets.follow(ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every):
                _save_samples(nets, run, shown, distance)
    if config.pack and run.leads and not run.stopped:
        blended, encoder = nets.average
        record = {"recipe": "train.blend_paired", "exemplars": len(exemplars)} | run.record_of_run
        record["teachers"] = sorted(teachers.styles)
        save_blend(config, blended, source, codes, encoder, record)


def _step(nets: Networks, run: Run, lesson: Lesson, distance: Distance) -> None:
    for optimizer in nets.optimizers:
        optimizer.zero_grad(set_to_none=True)
    for share in run.shares("G"):
        part = share.rows(lesson)
        drawn = nets.blended(part.face, nets.encoder(part.references), noise=share.randn).float()
        losses = {"l1": (drawn - part.wanted).abs().mean()}
        losses["perceptual"] = distance(drawn, part.wanted).mean()
        total = losses["l1"] + run.config.perceptual_weight * losses["perceptual"]
        (total / run.accumulate).backward()
        run.record(losses)
    for optimizer in nets.optimizers:
        take_step(optimizer)


@torch.no_grad()
def _save_samples(nets: Networks, run: Run, shown: Lesson, distance: Distance) -> None:
    """References, what their teachers draw, what the average draws of the references alone."""
    blended, encoder = nets.average
    drawn = blended(shown.face, encoder(shown.references)).float()
    run.record({"shown_perceptual": distance(drawn, shown.wanted).mean()})
    pictures = torch.cat([shown.references, shown.wanted, drawn])
    run.save_samples(pictures, columns=NUM_SAMPLES)


if __name__ == "__main__":
    run_recipe(BlendPairedConfig, PRESETS, train, __doc__)
