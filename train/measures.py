"""What `train.evaluate` measures: a base pack against photos, a style against its exemplars too.

Every number is a `Result` that knows its extractor and the counts it was computed from.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.base import Base
from engine.latent import map_zplus
from engine.style import Style
from train import metrics
from train.data import ImageSet, as_float, seeded
from train.encoder import encoder_input
from train.features import BATCH, Extractor, Eyes
from train.metrics import result_name

PRIOR = 2000  # samples of the prior in t-SNE, as in AgileGAN's Figure 2
LARGEST = 256  # pixels: larger pictures are reduced to it, as the papers do for their distances
SHARED_CODES = 100  # that both generators draw for their distance; the paper takes 2,000
VARIED, VARIATIONS = 8, 4  # photos, and looks of each, for the diversity of variations


@dataclass(frozen=True)
class Result:
    """One number; `deviation` is that between subsets or pictures where there are any."""

    metric: str
    value: float
    extractor: str = ""
    counts: tuple[int, ...] = ()
    deviation: float | None = None

    @property
    def name(self) -> str:
        """As in the JSON: "kid_squeezenet_175x120"."""
        return result_name(self.metric.replace(" ", "_"), self.extractor, *self.counts)


@dataclass(frozen=True, eq=False)
class Instruments:
    """What looks at the pictures; None where weights were not given or asked for."""

    eyes: Eyes
    identity: Extractor | None
    seed: int
    lpips: metrics.Distance | None = None  # of AlexNet


@dataclass(frozen=True, eq=False)
class Seen:
    """Pictures [N, 3, R, R] in [-1, 1] on the CPU, and their features, computed once."""

    pictures: Tensor
    tools: Instruments

    @cached_property
    def pooled(self) -> Tensor:
        """[N, F], for comparing sets."""
        return self.tools.eyes.pooled(self.pictures)

    @cached_property
    def style(self) -> Tensor:
        """[N, F], Gram matrices."""
        return self.tools.eyes.style(self.pictures)

    @cached_property
    def perceptual(self) -> Tensor:
        """[N, F], rows of the perceptual distance."""
        return self.tools.eyes.perceptual(self.pictures)

    @cached_property
    def content(self) -> Tensor:
        """[N, F], rows of the perceptual distance of deep layers."""
        return self.tools.eyes.content(self.pictures)

    @cached_property
    def identity(self) -> Tensor | None:
        """[N, 128], None without an identity network."""
        return None if self.tools.identity is None else self.tools.identity(self.pictures)


@dataclass(frozen=True, eq=False)
class Photos:
    """Photos as a base sees them: `seen` at `seen_size`, their codes `ws` [N, L, w_dim].

    `rebuilt` is what the base draws of the codes, no style yet and already as blurred as one.
    """

    seen: Seen
    ws: Tensor
    rebuilt: Seen


def encode_photos(base: Base, space: str, data: ImageSet, tools: Instruments) -> Photos:
    """Encode uint8 photos of any size with a base; raises PackError without the encoder."""
    encoder = base.encoder_into(space)
    photos = as_float(data.images)
    inputs = encoder_input(photos, encoder.input_size)
    ws = torch.cat([base.encode(x, space).ws for x in inputs.split(BATCH)])
    rebuilt = Seen(drawn_by(drawing(base), ws), tools)
    return Photos(Seen(encoder_input(photos, seen_size(base)), tools), ws, rebuilt)


def drawing(base: Base) -> Callable[[Tensor], Tensor]:
    """Return what draws codes [n, L, w_dim] with the base's own generator."""
    return lambda ws: base.generator.synthesis(ws.to(base.runtime.device))


def seen_size(base: Base) -> int:
    """Side of the pictures that are compared: that of the generator, at most 256 px."""
    return min(base.generator.resolution, LARGEST)


def drawn_by(draw: Callable[[Tensor], Tensor], ws: Tensor) -> Tensor:
    """Draw codes [N, L, w_dim] in batches: [N, 3, S, S] in [-1, 1] on the CPU, S at most 256."""

    def pictures(codes: Tensor) -> Tensor:
        drawn = draw(codes).float().clamp(-1, 1)
        return encoder_input(drawn, min(drawn.shape[-1], LARGEST)).cpu()

    with torch.inference_mode():
        return torch.cat([pictures(x) for x in ws.split(BATCH)])


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
    drawn = Seen(drawn_by(lambda ws: style.synthesize(ws, path=path), photos.ws), tools)
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
    return results, drawn.pictures


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
