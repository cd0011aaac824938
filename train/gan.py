"""What the adversarial recipes share: random codes, a discriminator's step, path length's step."""

from collections.abc import Callable

import torch

from engine.models.discriminator import Discriminator
from engine.models.stylegan2 import Generator
from train.augment import Augment
from train.loop import Values
from train.losses import path_length_penalty, r1_penalty

Losses = dict[str, torch.Tensor]


def random_z_plus(
    n: int, num_ws: int, z_dim: int, mixing: float, generator: torch.Generator
) -> torch.Tensor:
    """Codes [n, num_ws, z_dim] of N(0, I): one z for all layers, or two, crossed over.

    Style mixing (Karras et al. 2019, Section 3.1) happens with probability `mixing`.
    """
    cutoff = torch.randint(1, num_ws, (n,), generator=generator)
    mixed = torch.rand(n, generator=generator) < mixing
    cutoff = torch.where(mixed, cutoff, num_ws)
    z = torch.randn(2, n, 1, z_dim, generator=generator)
    from_first = torch.arange(num_ws)[None, :, None] < cutoff[:, None, None]
    return torch.where(from_first, z[0], z[1])


def discriminator_step(
    D: Discriminator,
    optimizer: torch.optim.Optimizer,
    augment: Augment,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    real: torch.Tensor,
    fake: torch.Tensor,
    r1_weight: float,
) -> Losses:
    """One step of a discriminator on augmented pictures [N, 3, R, R].

    `r1_weight` is that of the penalty in this very step, its interval included; 0 leaves it out.
    The gradient is taken at the augmented picture, since warping cannot be differentiated twice.
    """
    D.requires_grad_(True)
    shown = augment(real).detach().requires_grad_(r1_weight > 0)
    real_score, fake_score = D(shown), D(augment(fake.detach()))
    losses = {"loss_D": loss(real_score, fake_score)}
    total = losses["loss_D"]
    if r1_weight > 0:
        losses["r1"] = r1_penalty(real_score, shown)
        total = total + losses["r1"] * r1_weight
    optimizer.zero_grad(set_to_none=True)
    total.backward()
    optimizer.step()
    D.requires_grad_(False)
    signs = real_score.detach().sign().mean()
    scores = {"score_real": real_score.mean(), "score_fake": fake_score.mean(), "sign": signs}
    return {**losses, **scores}


def path_step(
    G: Generator,
    optimizer: torch.optim.Optimizer,
    values: Values,
    ws: torch.Tensor,
    weight: float,
    path: int = 0,
) -> Losses:
    """One step of path length regularisation on codes ws [N, L, 512].

    The running mean is kept in `values["path_mean"]`; `weight` includes the interval.
    """
    if not ws.requires_grad:
        ws = ws.requires_grad_(True)
    image = G.synthesis(ws, noise="random", path=path)
    penalty, values["path_mean"] = path_length_penalty(image, ws, values["path_mean"])
    optimizer.zero_grad(set_to_none=True)
    (penalty * weight).backward()
    optimizer.step()
    return {"path": penalty}
