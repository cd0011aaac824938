"""What `train.evaluate` measures: a base pack against photos, a style against its exemplars too.

Every number is a `Result` that knows its extractor and the counts it was computed from.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.base import Base
from engine.color import keep_skin, skin_tone
from engine.image import to_uint8
from engine.latent import map_zplus
from engine.style import Style
from train import metrics
from train.data import ImageSet, as_float, seeded
from train.features import Eyes
from train.seen import Instruments, Photos, Result, Seen, drawing, drawn_by
from train.skin import skin_drift

PRIOR = 2000  # samples of the prior in t-SNE, as in AgileGAN's Figure 2
SHARED_CODES = 100  # that both generators draw for their distance; the paper takes 2,000
LEAST_CHROMA = 4.0  # mean of |a| and |b| of skin that has a colour
VARIED, VARIATIONS = 8, 4  # photos, and looks of each, for the diversity of variations


def measure_base(base: Base, photos: Photos) -> tuple[list[Result], dict[str, Tensor]]:
    """Reconstruction, samples and codes of a base: (results, what to draw of them).

    Reconstructions are of the posterior mean. Samples are of the prior, as many as photos, without
    truncation. The overlap is that of codes and prior in the plane of t-SNE (AgileGAN, Fig. 2).
    """
    tools, device = photos.seen.tools, base.runtime.device
    count = len(photos.ws)
    pair = (photos.rebuilt.pictures, photos.seen.pictures)
    pixels = {"l2": metrics.squared_error, "psnr": metrics.psnr, "ssim": metrics.ssim}
    results = [_mean(metric, of(*pair)) for metric, of in pixels.items()]
    results += _fidelity(photos.rebuilt, photos)
    generator = seeded(tools.seed, "samples")
    z = torch.randn(count, base.generator.mapping.z_dim, generator=generator)
    with torch.inference_mode():
        w = base.generator.mapping(z.to(device)).float().cpu()
    ws = w[:, None].expand(-1, base.generator.num_ws, -1)
    samples = Seen(drawn_by(drawing(base), ws), tools)
    results += _set_distances(samples, photos.seen, "samples ")
    prior = _prior(base, photos.ws.shape[1], tools.seed)
    codes_plane, prior_plane = metrics.tsne(photos.ws, prior, tools.seed)
    mixed = metrics.overlap(codes_plane, prior_plane, seeded(tools.seed, "overlap"))
    results.append(Result("overlap", mixed, "tsne", (count, len(prior))))
    views = {"photos": pair[1], "rebuilt": pair[0], "samples": samples.pictures}
    return results, {**views, "codes": codes_plane, "prior": prior_plane}


def measure_style(
    style: Style, photos: Photos, exemplars: ImageSet, path: int
) -> tuple[list[Result], Tensor]:
    """One attribute path of a style, the posterior means of all photos drawn with it.

    "style fraction" is KID of the results to the exemplars over KID of the photos to them: 1 is no
    closer than a photo, 0 as close as the exemplars among themselves. "rebuilt fraction" is the
    same over what the base draws of the photos: how much of it the style's own training did.

    Returns:
        (results, the pictures [N, 3, R, R]).
    """
    tools = photos.seen.tools

    def draw(ws: Tensor, detail: Tensor | None = None) -> Tensor:
        return style.synthesize(ws, path=path, detail=detail)

    drawn = Seen(drawn_by(draw, *photos.content), tools)
    wanted = Seen(as_float(exemplars.images), tools)
    counts, eyes = (len(photos.ws), len(exemplars)), tools.eyes
    results = _set_distances(drawn, wanted)
    kid = next(r for r in results if r.metric == "kid").value
    for origin, name in ((photos.seen, "style fraction"), (photos.rebuilt, "rebuilt fraction")):
        fraction = kid / max(_kid(origin, wanted).mean, 1e-12)
        results.append(Result(name, fraction, eyes.pooled.name, counts))
    alike = metrics.style_similarity(drawn.style, wanted.style, photos.rebuilt.style)
    results.append(_mean("style similarity", alike, eyes.style.name, counts))
    apart = (drawn.content - photos.seen.content).square().sum(dim=1)
    content = metrics.content_similarity(apart)
    results.append(_mean("content similarity", content, eyes.content.name))
    results += _fidelity(drawn, photos)
    diverse = metrics.diversity_of_rows(drawn.perceptual)
    results.append(Result("diversity", diverse, eyes.perceptual.name, counts[:1]))
    results.append(_diversity_of_variations(style, photos, path))
    density, coverage = metrics.density_coverage(wanted.pooled, drawn.pooled)
    results.append(Result("density", density, eyes.pooled.name, counts))
    results.append(Result("coverage", coverage, eyes.pooled.name, counts))
    results.append(_model_distance(style, path, tools))
    return results + _skin_drifts(drawn, photos), drawn.pictures


def _mean(metric: str, values: Tensor, extractor: str = "", counts: Sequence[int] = ()) -> Result:
    counts = tuple(counts) or (len(values),)
    values = values.double()
    return Result(metric, values.mean().item(), extractor, counts, values.std(correction=0).item())


def _fidelity(drawn: Seen, photos: Photos) -> list[Result]:
    """Perceptual distance to the own photo, whether it is the nearest, and identity."""
    name, count = drawn.tools.eyes.perceptual.name, len(drawn.pictures)
    distances = torch.cdist(drawn.perceptual, photos.seen.perceptual).square()  # [N, N]
    results = [
        _mean("perceptual", distances.diagonal(), name),
        Result("own photo nearest", metrics.own_nearest(distances), name, (count,)),
        Result("own result nearest", metrics.own_nearest(distances.T), name, (count,)),
    ]
    if drawn.tools.lpips is not None:
        pair = (drawn.pictures, photos.seen.pictures)
        lpips = metrics.perceptual_distances(*pair, drawn.tools.lpips)
        results.append(_mean("lpips", lpips, "alexnet"))
    if drawn.identity is not None:
        name, own = drawn.tools.identity.name, photos.seen.identity
        alike = metrics.identity_cosine(drawn.identity, own)
        nearest = metrics.own_nearest(1 - drawn.identity @ own.T)
        results += [_mean("identity", alike, name)]
        results += [Result("own identity nearest", nearest, name, (count,))]
    return results


def _set_distances(drawn: Seen, wanted: Seen, prefix: str = "") -> list[Result]:
    name, counts = drawn.tools.eyes.pooled.name, (len(drawn.pictures), len(wanted.pictures))
    kid = _kid(drawn, wanted)
    fid = metrics.frechet_distance(drawn.pooled, wanted.pooled)
    return [
        Result(prefix + "kid", kid.mean, name, counts, kid.deviation),
        Result(prefix + "fid", fid, name, counts),
        Result(prefix + "cmmd", metrics.cmmd(drawn.pooled, wanted.pooled), name, counts),
    ]


def _kid(drawn: Seen, wanted: Seen) -> metrics.Estimate:
    generator = seeded(drawn.tools.seed, "kid")
    return metrics.kernel_distance(drawn.pooled, wanted.pooled, generator)


def _diversity_of_variations(style: Style, photos: Photos, path: int) -> Result:
    """Mean LPIPS_d between looks of one photo, as `options.variation` draws them."""
    options, eyes = style.card.options(), photos.seen.tools.eyes
    weights = style.style_weights(options.mix_layer)
    step = max(1, len(photos.ws) // VARIED)
    found = []
    for ws in photos.ws[::step][:VARIED]:
        around = ws[None] if options.variation_center == "photo" else None
        draws = ((seed, options.style_psi, (), around) for seed in range(1, 1 + VARIATIONS))
        looks = torch.cat([style.random_codes(*draw) for draw in draws])
        content = ws[None].expand(VARIATIONS, -1, -1)
        pictures = style.synthesize(content, looks, weights, path=path).clamp(-1, 1)
        found.append(metrics.diversity_of_rows(eyes.perceptual(pictures)))
    return Result(
        "variations", statistics.mean(found), eyes.perceptual.name, (len(found), VARIATIONS)
    )


def _skin_drifts(drawn: Seen, photos: Photos) -> list[Result]:
    """Drift of skin in Delta E per band of the Monk scale, as drawn and with the tone kept.

    Nothing for drawings in black and white.
    """
    pictures, shown = to_uint8(drawn.pictures), to_uint8(photos.seen.pictures)
    if np.abs(np.stack([skin_tone(rgb) for rgb in pictures])[:, 1:]).mean() < LEAST_CHROMA:
        return []
    kept = np.stack([keep_skin(*pair) for pair in zip(pictures, shown, strict=True)])
    found = {"skin drift": skin_drift(shown, pictures), "kept skin drift": skin_drift(shown, kept)}
    return [
        Result(f"{name} {band}", value, "", (count,))
        for name, bands in found.items()
        for band, (value, count) in bands.items()
    ]


def _model_distance(style: Style, path: int, tools: Instruments) -> Result:
    """UI2I's Equation 1 between the style and the generator it comes from."""
    mapping, num_ws = style.base.generator.mapping, style.base.generator.num_ws
    z = torch.randn(SHARED_CODES, mapping.z_dim, generator=seeded(tools.seed, "model distance"))

    def pictures(strength: float) -> Callable[[Tensor], Tensor]:
        def draw(codes: Tensor) -> Tensor:
            ws = style.codes_from(codes[:, None].expand(-1, num_ws, -1))
            return style.synthesize(ws, path=path, strength=strength)

        return draw

    value = metrics.model_distance(pictures(0.0), pictures(1.0), z, _distance(tools.eyes))
    return Result("model distance", value, tools.eyes.perceptual.name, (SHARED_CODES,))


def _distance(eyes: Eyes) -> metrics.Distance:
    return lambda a, b: (eyes.perceptual(a) - eyes.perceptual(b)).square().sum(dim=1)


def _prior(base: Base, num_ws: int, seed: int) -> Tensor:
    """Samples of N(0, I) in Z+, one code per layer, mapped to W+: [PRIOR, L, w_dim]."""
    mapping, generator = base.generator.mapping, seeded(seed, "prior")
    z = torch.randn(PRIOR, num_ws, mapping.z_dim, generator=generator)
    with torch.inference_mode():
        parts = [map_zplus(mapping, x.to(base.runtime.device)).float().cpu() for x in z.split(100)]
    return torch.cat(parts)
