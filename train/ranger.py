"""Ranger: rectified Adam (Liu et al. 2020) inside Lookahead (Zhang et al. 2019, arXiv 1907.08610).

The optimizer of pixel2style2pixel; the gradient centralisation of its public file is left out.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn


class Ranger(torch.optim.RAdam):
    """Every `k` steps the weights go back to a slow copy that has come `alpha` of the way."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.999),
        eps: float = 1e-5,
        *,
        k: int = 6,
        alpha: float = 0.5,
    ):
        super().__init__(parameters, lr, betas, eps)
        self.k, self.alpha = k, alpha

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step of rectified Adam; each `k`-th also moves and restores the slow weights."""
        trained = [p for g in self.param_groups for p in g["params"] if p.grad is not None]
        starts = {p: p.clone() for p in trained if not self.state[p]}
        loss = super().step(closure)
        for p in trained:
            state = self.state[p]
            if p in starts:
                state["slow"] = starts[p]
            if int(state["step"]) % self.k == 0:
                p.copy_(state["slow"].lerp_(p, self.alpha))
        return loss
