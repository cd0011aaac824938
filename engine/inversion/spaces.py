"""The spaces a picture can be inverted into: W, W+, Z, Z+ and V.

All differ in two things only: whether there is one code for all layers or one for each (+), and how
a code becomes w: as it is (W), through the mapping network (Z), or as w = v V with the modulation
weights' singular vectors V (Huang et al. 2021, Equation 9).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import OptionError
from engine.inversion.settings import SpaceName
from engine.latent import map_zplus
from engine.models.stylegan2 import Generator
from engine.sefa import v_basis

NUM_SAMPLES = 10_000  # Karras et al. 2020, Appendix D, and Huang et al. 2021's public script


@dataclass(frozen=True)
class Space:
    """How codes of one space become codes of the generator.

    Attributes:
        name: one of engine.inversion.settings.SPACES.
        num_ws: number of codes L of the generator.
        origin: [dim], where the search starts without an encoder.
        spread: typical distance of a sample from the mean, the unit of noise on the code.
        to_w: [M, dim] -> [M, w_dim].
        w_avg, w_spread: mean [w_dim] of w = f(z), and typical distance from it.
    """

    name: SpaceName
    num_ws: int
    origin: Tensor
    spread: float
    to_w: Callable[[Tensor], Tensor]
    w_avg: Tensor
    w_spread: float

    @property
    def per_layer(self) -> bool:
        """Whether every layer has a code of its own."""
        return self.name.endswith("+")

    def code_shape(self, count: int) -> tuple[int, ...]:
        """Shape of the codes of `count` pictures: [N, dim], or [N, L, dim]."""
        layers = (self.num_ws,) if self.per_layer else ()
        return (count, *layers, len(self.origin))

    def start(self, count: int) -> Tensor:
        """The codes of `count` pictures before anything is known about them: the origin."""
        return self.origin.expand(self.code_shape(count)).clone()

    def ws(self, code: Tensor) -> Tensor:
        """Code [N, dim] or [N, L, dim] -> ws [N, L, w_dim], differentiable."""
        if self.per_layer:
            return map_zplus(self.to_w, code)
        return self.to_w(code)[:, None].expand(-1, self.num_ws, -1)

    def prior(self, code: Tensor) -> Tensor:
        """How unlikely codes are, [N]: 1 for typical samples.

        Z, Z+, V: mean square of the elements, the negative log density of N(0, I) but for a
        constant. W, W+: squared distance to w_avg in units of the spread, averaged over layers.
        """
        if self.name in ("z", "z+", "v"):
            return code.square().flatten(1).mean(dim=1)
        distance = (code - self.w_avg).square().sum(dim=-1) / self.w_spread**2
        return distance.reshape(len(code), -1).mean(dim=1)


@torch.no_grad()
def make_space(
    name: SpaceName, G: Generator, path: int = 0, *, from_average: bool = False
) -> Space:
    """Describe one space of a generator; the same for the same weights.

    Origins: W and W+ the mean of f(z); Z and Z+ the sample whose f(z) is nearest to it, because
    zero has no direction and the mapping network looks at nothing else; V the mean of N(0, I)
    samples, as published, or with `from_average` that whose w is the mean of f(z).
    """
    weight = G.mapping.fc0.weight
    random = torch.Generator().manual_seed(0)
    z = torch.randn(NUM_SAMPLES, G.mapping.z_dim, generator=random).to(weight.device)
    w = G.mapping(z)
    w_avg = w.mean(dim=0)
    distances = (w - w_avg).norm(dim=1)
    w_spread = max(distances.square().mean().sqrt().item(), 1e-8)
    if name in ("w", "w+"):
        return Space(name, G.num_ws, w_avg, w_spread, torch.nn.Identity(), w_avg, w_spread)
    if name in ("z", "z+"):
        origin, spread = z[distances.argmin()], G.mapping.z_dim**0.5
        return Space(name, G.num_ws, origin, spread, G.mapping, w_avg, w_spread)
    V = v_basis(G.state_dict(), path=path).to(weight.device)
    v = torch.randn(NUM_SAMPLES, len(V), generator=random).to(weight.device).mean(dim=0)
    origin = w_avg @ V.T if from_average else v  # V is orthogonal

    def to_w(code: Tensor) -> Tensor:
        return code @ V

    return Space(name, G.num_ws, origin, len(V) ** 0.5, to_w, w_avg, w_spread)


def code_of(space: Space, ws: Tensor) -> Tensor:
    """Return the code whose `ws` are (nearest to) those given, to start from an encoder.

    Args:
        space: W, W+ or V; the mapping network of Z and Z+ has no inverse, start there from codes of
            an encoder into Z+.
        ws: [N, L, w_dim].

    Raises:
        OptionError: the space is Z or Z+, or `ws` does not fit the generator.
    """
    expected = [space.num_ws, len(space.w_avg)]
    if ws.ndim != 3 or list(ws.shape[1:]) != expected:
        raise OptionError(
            f"ws of shape {list(ws.shape)} to start from; expected {['N', *expected]}"
        )
    if space.name in ("z", "z+"):
        raise OptionError(
            f"ws cannot be turned into codes of space {space.name!r}; accepted are w, w+ and v: "
            "start from an encoder's codes in Z+ instead"
        )
    if space.per_layer:
        return ws.clone()
    mean = ws.mean(dim=1)
    if space.name == "w":
        return mean
    basis = space.to_w(torch.eye(len(space.origin), dtype=ws.dtype, device=ws.device))
    return mean @ basis.T  # orthogonal: the transpose is the inverse
