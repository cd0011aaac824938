"""Arithmetic on latent codes, as pure functions: truncate, blend, mix, interpolate, map, sample.

`w_avg` is [512], `ws` [N, L, 512] (one code per generator layer), `z_plus` [N, L, 512] (one
Gaussian code per layer, mapped one by one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.errors import OptionError


def truncate(ws: Tensor, w_avg: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
    """Pull codes towards the average: w_avg + psi (w - w_avg) (Karras et al. 2019, appendix B).

    Args:
        ws: [N, L, 512].
        w_avg: [512], or [L, 512] for one average per layer.
        psi: 1 leaves the codes as they are, 0 gives the average, above 1 exaggerates.
        cutoff: truncate only the first `cutoff` layers; None: all.

    Returns:
        [N, L, 512], a new tensor.
    """
    _check_codes(ws=ws)
    pulled = w_avg.to(ws) + psi * (ws - w_avg.to(ws))
    if cutoff is None:
        return pulled
    return torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], dim=1)


def blend(a: Tensor, b: Tensor, weights: Tensor | Sequence[float] | float) -> Tensor:
    """Blend codes layer by layer: (1 - weight) a + weight b (BlendGAN, Liu et al. 2021).

    Args:
        a, b: [N, L, 512].
        weights: [L], or one number for all layers; 0 gives `a`, 1 gives `b`.

    Raises:
        OptionError: shapes that do not fit.
    """
    _check_codes(a=a, b=b)
    per_layer = torch.as_tensor(weights, dtype=a.dtype, device=a.device)
    if per_layer.ndim > 1 or (per_layer.ndim == 1 and len(per_layer) != a.shape[1]):
        raise OptionError(
            f"blend weights of shape {list(per_layer.shape)} for {a.shape[1]} layers; expected one "
            "number, or one per layer"
        )
    return torch.lerp(a, b, per_layer.reshape(1, -1, 1).expand_as(a))


def mix(a: Tensor, b: Tensor, layer: int) -> Tensor:
    """Take the codes of `a` below `layer`, of `b` from it on (Karras et al. 2019, section 3.1).

    Args:
        a, b: [N, L, 512].
        layer: 0 (all from `b`) .. L (all from `a`).

    Raises:
        OptionError: shapes that do not fit, or a layer outside 0 .. L.
    """
    _check_codes(a=a, b=b)
    if not 0 <= layer <= a.shape[1]:
        raise OptionError(
            f"mixing layer {layer} is outside of 0 .. {a.shape[1]}, the layers of this generator"
        )
    return torch.cat([a[:, :layer], b[:, layer:]], dim=1)


def slerp(a: Tensor, b: Tensor, t: float) -> Tensor:
    """Interpolate on the sphere, vector by vector (White 2016, arXiv 1609.04468, section 2.1).

    Directions follow the great circle, lengths change linearly. Meant for Gaussian codes (z,
    z_plus), where the straight line leaves the shell the samples lie on. (Almost) parallel or
    opposite vectors are interpolated straight.

    Args:
        a, b: [..., D] of one shape.
        t: 0 gives `a`, 1 gives `b`.
    """
    length_a, length_b = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    unit_a, unit_b = a / length_a.clamp_min(1e-8), b / length_b.clamp_min(1e-8)
    cosine = (unit_a * unit_b).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = torch.arccos(cosine)
    sine = torch.sin(angle)
    circle = torch.sin((1 - t) * angle) * unit_a + torch.sin(t * angle) * unit_b
    length = torch.lerp(length_a, length_b, t)
    curved = length * circle / sine.clamp_min(1e-4)
    return torch.where(sine > 1e-4, curved, torch.lerp(a, b, t))


def map_zplus(mapping: Callable[[Tensor], Tensor], z_plus: Tensor) -> Tensor:
    """Map every code of Z+ on its own: w_i = f(z_i) (Song et al. 2021, section 3.1).

    The layers become part of the batch, because a mapping network normalises over dimension 1:
    given [N, L, 512] it would silently normalise over the layers, not over the 512 elements.

    Args:
        mapping: [M, 512] -> [M, 512], for example `generator.mapping`.
        z_plus: [N, L, 512].

    Returns:
        ws, [N, L, 512].
    """
    _check_codes(z_plus=z_plus)
    return mapping(z_plus.flatten(0, 1)).unflatten(0, z_plus.shape[:2])


def reparameterize(mu: Tensor, logvar: Tensor, generator: torch.Generator) -> Tensor:
    """Sample the posterior: mu + epsilon exp(logvar / 2), epsilon ~ N(0, I) (AgileGAN, eq. 3).

    Args:
        mu, logvar: one shape, [N, L, 512].
        generator: where epsilon comes from. It is drawn on the generator's device in float32 and
            then moved, so that a CPU generator gives the same sample on every device.

    Returns:
        A sample of the shape and type of `mu`, differentiable in both.
    """
    epsilon = torch.randn(mu.shape, generator=generator, device=generator.device)
    return mu + epsilon.to(mu) * torch.exp(0.5 * logvar)


def _check_codes(**codes: Tensor) -> None:
    first = next(iter(codes.values()))
    if first.ndim != 3 or any(x.shape[1:] != first.shape[1:] for x in codes.values()):
        shapes = ", ".join(f"{name} {list(x.shape)}" for name, x in codes.items())
        raise OptionError(f"latent codes of shape {shapes}; expected [N, L, 512] with the same L")
