"""Recipe: the first order motion model on clips (Siarohin et al. 2019, arXiv 2003.00196).

Two frames of one clip, source and driving: the source, driven by the driving frame's keypoints,
must become that frame. Objective (section 3.3), weights as published:

    10 sum_scales,layers |f(prediction) - f(driving)|  +  10 |p - T(p_Y)|  +  10 |1 - J^-1 T' J_Y|

for a random deformation T of the driving frame; f is SqueezeNet here (VGG-19 published) and its
differences are relative, see `relative_difference`. `--preset vox-adv` adds a least-squares
discriminator that sees the keypoints, and the matching of its features.

With `photos`, a share of the pairs is one still picture, deformed twice: a few clips show a few
faces, and the generator must keep faces it has not seen. That is ours.

Ends in a motion pack (motion.pack): keypoints.safetensors, generator.safetensors, motion.json.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.perceptual import SqueezeNet
from motion.fomm import Keypoints
from motion.fomm.blocks import Reduction
from motion.pack import MotionCard, save_motion_pack
from motion.transfer import relative
from train.config import run_recipe
from train.data import seeded
from train.deformation import draw_deformations
from train.distributed import join_processes, take_step
from train.loop import Run, autocast, set_lr
from train.motion_config import PRESETS, MotionConfig
from train.motion_data import Material, draw_pairs, load_material
from train.motion_losses import (
    equivariance,
    feature_matching,
    least_squares_d,
    least_squares_g,
    pyramid_difference,
)
from train.motion_networks import MotionNetworks

NUM_MEASURED, NUM_FRAMES, NUM_SOURCES = 32, 7, 4  # pairs measured; the grid of samples
Drawn = tuple[Tensor, Tensor, Keypoints]  # driving pictures, predictions, driving keypoints


def train(config: MotionConfig) -> None:
    """Train, resume by rerunning, and write the motion pack at the end."""
    runtime = join_processes()
    material = load_material(config, runtime.device)
    net = SqueezeNet.from_npz(config.perceptual).to(runtime.device)
    reductions = [Reduction(step).to(runtime.device) for step in config.numbers("scales")]
    nets = MotionNetworks(config, runtime.device)
    run = Run(
        config.out,
        config,
        total=config.images // config.batch * config.batch,
        batch=config.batch,
        state=nets.state(),
        seed=config.seed,
        tick=50 * config.batch,
        accumulate=config.accumulate,
        device=runtime.device,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            for optimizer in nets.optimizers:
                set_lr(optimizer, config.lr_at(run.cur_nimg))
            pairs = draw_pairs(config, material, generator, runtime.device)
            drawn = _generator_step(nets, run, pairs, net, reductions)
            if nets.D:
                _discriminator_step(nets, run, drawn)
            if run.leads and run.due(config.sample_every * config.batch):
                _look(nets, run, material)
    if config.pack and run.leads and not run.stopped:
        _save_pack(nets, run, material)


def _generator_step(
    nets: MotionNetworks, run: Run, pairs: Tensor, net: SqueezeNet, reductions: list[Reduction]
) -> list[Drawn]:
    """The objective; returns what was drawn without its gradients, for the discriminator."""
    config, drawn = nets.config, []
    nets.opt_G.zero_grad(set_to_none=True)
    for share in run.shares("G"):
        source, driving = share.rows(pairs).unbind(1)
        sigmas = (config.sigma_affine, config.sigma_bend, config.bend_side)
        deformation = draw_deformations(len(driving), *sigmas, device=driving.device, share=share)
        kp = nets.detector(torch.cat([source, driving, deformation.warp(driving)]))
        n = len(source)
        kp_source, kp_driving, kp_deformed = kp[:n], kp[n : 2 * n], kp[2 * n :]
        image = nets.generator(source, kp_source, kp_driving).image
        terms = {"perceptual": pyramid_difference(net, reductions, image, driving)}
        terms |= equivariance(kp_driving, kp_deformed, deformation)
        terms |= _adversarial(nets, image, driving, kp_driving) if nets.D else {}
        weighted = [config.weights[name] * term for name, term in terms.items()]
        (torch.stack(weighted).sum() / run.accumulate).backward()
        run.record({**terms, "l1": (image - driving).abs().mean()})
        kp_driving = Keypoints(kp_driving.value.detach(), kp_driving.jacobian.detach())
        drawn.append((driving, image.detach(), kp_driving))
    take_step(nets.opt_G)
    return drawn


def _adversarial(
    nets: MotionNetworks, image: Tensor, driving: Tensor, kp_driving: Keypoints
) -> dict[str, Tensor]:
    nets.D.requires_grad_(False)
    score, features = nets.D(image, kp_driving)
    _, targets = nets.D(driving, kp_driving)
    return {"loss_G": least_squares_g(score), "matching": feature_matching(features, targets)}


def _discriminator_step(nets: MotionNetworks, run: Run, drawn: list[Drawn]) -> None:
    nets.D.requires_grad_(True)
    nets.opt_D.zero_grad(set_to_none=True)
    for driving, image, kp_driving in drawn:
        real, fake = (nets.D(picture, kp_driving)[0] for picture in (driving, image))
        loss = least_squares_d(real, fake)
        (loss / run.accumulate).backward()
        run.record({"loss_D": loss})
    take_step(nets.opt_D)


@torch.no_grad()
def _look(nets: MotionNetworks, run: Run, material: Material) -> None:
    """Measure on held-out clips, and show what they make of other faces.

    held_l1 is the mean difference of driven sources to the driving frames, held_rest that of the
    sources as they are. The grid: frames of a held-out clip; below, sources (first column; the
    first is of the clip itself) that move as it does.
    """
    nets.train(False)
    pairs = material.held.pairs(NUM_MEASURED, seeded(run.seed, "held")).to(run.device) / 255
    errors = []
    for source, driving in (pair.unbind(1) for pair in pairs.split(8)):
        kp_source, kp_driving = nets.detector(source), nets.detector(driving)
        image = nets.generator(source, kp_source, kp_driving).image
        errors.append((image - driving).abs().mean())
    rest = (pairs[:, 0] - pairs[:, 1]).abs().mean()
    run.record({"held_l1": torch.stack(errors).mean(), "held_rest": rest})
    files = material.held.files[0]
    frames = [files[i * (len(files) - 1) // (NUM_FRAMES - 1)] for i in range(NUM_FRAMES)]
    driving = material.held.read(frames).to(run.device) / 255
    rows = [torch.cat([torch.ones_like(driving[:1]), driving])]
    kp_driving = nets.detector(driving)
    for source in _sources(run, material, driving):
        kp_source = nets.detector(source)
        kp = relative(kp_source, kp_driving[:1], kp_driving)
        looked = nets.generator.look(source).expand(NUM_FRAMES)
        many = Keypoints(*(t.expand(NUM_FRAMES, *t.shape[1:]) for t in _tensors(kp_source)))
        rows.append(torch.cat([source, nets.generator.draw(looked, many, kp).image]))
    run.save_samples(torch.cat(rows) * 2 - 1, columns=NUM_FRAMES + 1)
    nets.train(True)


def _tensors(kp: Keypoints) -> tuple[Tensor, Tensor]:
    return kp.value, kp.jacobian


def _sources(run: Run, material: Material, driving: Tensor) -> list[Tensor]:
    """Pictures [1, 3, S, S]: the first driving frame, then photos or frames of other clips."""
    if material.photos:
        others = material.photos.images[: NUM_SOURCES - 1].float() / 255
    else:
        firsts = [files[0] for files in material.clips.files[: NUM_SOURCES - 1]]
        others = material.clips.read(firsts) / 255
    size = driving.shape[-2:]
    others = F.interpolate(others.to(run.device), size, mode="bilinear", antialias=True)
    return [driving[:1], *others.split(1)]


def _save_pack(nets: MotionNetworks, run: Run, material: Material) -> None:
    config = nets.config
    record = {
        "recipe": "train.motion",
        "clips": len(material.clips),
        "photos": len(material.photos) if material.photos else 0,
        **run.record_of_run,
    }
    name = Path(config.pack).name
    card = MotionCard(
        name, config.size, title=config.title, licence=config.licence, training=record
    )
    save_motion_pack(config.pack, card, nets.detector, nets.generator)


if __name__ == "__main__":
    run_recipe(MotionConfig, PRESETS, train, __doc__)
