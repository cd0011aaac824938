"""What the adversarial recipes share: their run, random codes, D's losses, path length."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.models.discriminator import Discriminator
from engine.models.stylegan2 import Generator, SynthesisNetwork
from engine.surgery import block_resolution
from train.augment import Augment
from train.distributed import WHOLE, Share, mean_of_processes
from train.loop import Run, Stateful, Values, save_grid
from train.losses import path_length_penalty, r1_penalty

Losses = dict[str, Tensor]
SIGN_INTERVAL = 4  # steps between looks at the signs of D: reading them waits for the GPU


def open_run(config: Any, state: Mapping[str, Stateful], device: torch.device) -> Run:
    """Open or resume the run of a recipe whose length is counted in iterations.

    Args:
        config: settings with out, iterations, batch, seed and accumulate.
        state: everything that resuming needs, by name.
        device: where the processes talk to each other.

    Raises:
        TrainingError: the folder holds a run of another kind or shape.
    """
    return Run(
        config.out,
        config,
        total=config.iterations * config.batch,
        batch=config.batch,
        state=state,
        seed=config.seed,
        tick=50 * config.batch,
        accumulate=config.accumulate,
        device=device,
    )


def random_z_plus(
    n: int, num_ws: int, z_dim: int, mixing: float, generator: torch.Generator
) -> Tensor:
    """Codes [n, num_ws, z_dim] of N(0, I): one z for all layers, or two, crossed over.

    Style mixing (Karras et al. 2019, Section 3.1) happens with probability `mixing`.
    """
    cutoff = torch.randint(1, num_ws, (n,), generator=generator)
    mixed = torch.rand(n, generator=generator) < mixing
    cutoff = torch.where(mixed, cutoff, num_ws)
    z = torch.randn(2, n, 1, z_dim, generator=generator)
    from_first = torch.arange(num_ws)[None, :, None] < cutoff[:, None, None]
    return torch.where(from_first, z[0], z[1])


def lazy_adam(parameters: Iterable[nn.Parameter], lr: float, interval: int = 0) -> torch.optim.Adam:
    """Adam with betas 0 and 0.99 for a network that is regularised every `interval` steps.

    A regularisation step of its own is one more step, so that rate and memory shrink by
    c = interval / (interval + 1) (Karras et al. 2020, Appendix B); 0: there is none, c = 1.
    """
    c = interval / (interval + 1) if interval else 1.0
    return torch.optim.Adam(parameters, c * lr, (0.0, 0.99**c), fused=True)


def first_layers(D: Discriminator, count: int) -> list[nn.Parameter]:
    """Parameters of the first `count` blocks, those nearest to the picture.

    FreezeD (Mo et al. 2020, arXiv 2002.10964, Section 3): kept as they are, they know pictures,
    while the rest learns the new domain.
    """
    sizes = sorted((r for r in D.channels if r > 4), reverse=True)[:count]
    return [p for size in sizes for p in getattr(D, f"b{size}").parameters()]


def layers_below(synthesis: SynthesisNetwork, resolution: int) -> list[nn.Parameter]:
    """Parameters of a generator's blocks below `resolution` pixels, those of all its paths.

    FreezeG, FreezeD's counterpart: kept as they are, they draw the source's poses and shapes, while
    the rest learns lines, textures and colours of the new domain.
    """
    named = synthesis.named_parameters(prefix="synthesis")
    return [p for name, p in named if (block_resolution(name) or resolution) < resolution]


def discriminator_losses(
    D: Discriminator,
    augment: Augment,
    loss: Callable[[Tensor, Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    *,
    with_r1: bool,
    share: Share = WHOLE,
) -> Losses:
    """The unweighted terms of a discriminator on augmented pictures [N, 3, R, R], and its scores.

    R1's gradient is taken at the augmented picture, since warping cannot be differentiated twice.
    """
    shown = augment(real, share).detach().requires_grad_(with_r1)
    real_score, fake_score = D(shown), D(augment(fake.detach(), share))
    losses = {"loss_D": loss(real_score, fake_score)}
    if with_r1:
        losses["r1"] = r1_penalty(real_score, shown)
    signs = real_score.detach().sign().mean()
    scores = {"score_real": real_score.mean(), "score_fake": fake_score.mean(), "sign": signs}
    return losses | {name: score.detach() for name, score in scores.items()}


class Augmented(Protocol):
    """Networks whose discriminator sees augmented pictures."""

    augment: Augment
    values: Values


def follow_sign(nets: Augmented, sign: Tensor, run: Run) -> None:
    """Let `values["sign"]` follow the mean `sign` of the real scores, and the augmentation that.

    To be called every SIGN_INTERVAL steps; the mean is over all processes.
    """
    config, values = run.config, nets.values
    sign = mean_of_processes({"sign": float(sign)}, run.device)["sign"]
    values["sign"] += 0.2 * (sign - values["sign"])
    if config.ada_speed > 0:
        nets.augment.adapt(values["sign"], SIGN_INTERVAL * config.batch, config.ada_speed)
    run.record({"ada_p": nets.augment.p})


def discriminator_step(
    D: Discriminator,
    optimizer: torch.optim.Optimizer,
    augment: Augment,
    loss: Callable[[Tensor, Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    r1_weight: float,
) -> Losses:
    """One step of one discriminator on a whole batch.

    `r1_weight` is that of the penalty in this very step, its interval included; 0 leaves it out.
    """
    D.requires_grad_(True)
    losses = discriminator_losses(D, augment, loss, real, fake, with_r1=r1_weight > 0)
    optimizer.zero_grad(set_to_none=True)
    (losses["loss_D"] + r1_weight * losses.get("r1", 0.0)).backward()
    optimizer.step()
    D.requires_grad_(False)
    return losses


def path_length(
    G: Generator, ws: Tensor, mean: float, path: int = 0, share: Share = WHOLE
) -> tuple[Tensor, float]:
    """Path length regularisation of the pictures of ws [N, L, 512]: (penalty, new running mean)."""
    if not ws.requires_grad:
        ws = ws.requires_grad_(True)
    image = G.synthesis(ws, share.randn, path)
    return path_length_penalty(image, ws, mean, share=share)


def path_step(
    G: Generator, optimizer: torch.optim.Optimizer, values: Values, ws: Tensor, weight: float
) -> Losses:
    """One step of path length regularisation on a whole batch of codes ws [N, L, 512].

    The running mean is kept in `values["path_mean"]`; `weight` includes the interval.
    """
    penalty, values["path_mean"] = path_length(G, ws, values["path_mean"])
    optimizer.zero_grad(set_to_none=True)
    (penalty * weight).backward()
    optimizer.step()
    return {"path": penalty}


@torch.no_grad()
def save_sweep(run: Run, source: Generator, G: Generator, ws: Tensor) -> None:
    """Write swap.png: what the style G could do with its source's features of ws [N, L, 512].

    Rows: the source; with its features handed over at 32, 16, 8 px (UI2I-StyleGAN2, Huang et al.
    2021, Section III-C); the style. It is there to choose --swap-resolution from.
    """
    sizes = [r for r in source.synthesis.resolutions if 8 <= r <= 32]
    rows = [source.synthesis(ws)]
    for size in reversed(sizes):
        features = source.synthesis.features(ws, until=size)
        rows.append(G.synthesis(ws, replace={size: features}))
    rows.append(G.synthesis(ws))
    save_grid(run.out / "swap.png", torch.cat(rows), columns=len(ws))
