"""Recipe: lines, textures and colours of a style from about 100 exemplars, quick on a CPU.

    python -m train.texture --data sets/drawings --photos sets/photos --pack packs/drawings \\
        --perceptual squeezenet_v1.0.npz --out runs/drawings

The objective is AgileGAN's (Song et al. 2021, Equations 9 and 10), per attribute path k:

    hinge(D_k(y_k), D_k(G_k(x)))  +  sim_weight sim(G_k(x), G_source(x))
        +  color_weight |blurred(G_k(x)) - blurred(G_source(x))|
        +  feature_weight |contrasts of eyes and mouth of G_k(x) - those of G_source(x)|

(the last two are ours: for styles in a photo's colours, and for exemplars with dots for eyes, which
leave black holes in a face), with what makes it quick. The
discriminators have trained eyes (`train.critic`, after Projected GANs); of the generator only the
layers from a quarter of its size on are trained (FreezeG), which draw no shapes; and as both look
at what is near only, they are shown squares of the pictures, drawn alone (`train.drafts`). x are
the codes of photographs and all that only these show (train.detail), as the style will meet them.
On 257 comic portraits this reaches in 300 steps what train.transfer with the discriminator of the
base did not in 500 (docs/results/packs.md). A smaller `freeze_share` trains layers that draw
shapes, too, for styles whose faces are built otherwise; these want a GPU and little `likeness`.
"""

import copy
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.models.perceptual import feature_distance, unit
from engine.models.stylegan2 import Generator, generator_from_state
from engine.runtime import Runtime
from engine.surgery import expand_paths, without_color
from train.augment import Augment
from train.config import run_recipe
from train.critic import Critic, look_with
from train.data import ImageSet, as_float, draw, load_images, seeded
from train.distributed import Share, join_processes, take_step
from train.drafts import Drafts, Square, drafts_of, finished, random_square
from train.features import eyes_of
from train.gan import SIGN_INTERVAL, follow_sign, layers_below
from train.loop import Run, Values, autocast, ema_beta, update_ema
from train.losses import hinge_d, hinge_g
from train.monitors import Choice, Judge, observe, take_best
from train.packs import Source, earlier_style, load_source, preview_of, save_style
from train.semantic import perceptual_name
from train.texture_config import PRESETS, TextureConfig

NUM_JUDGED, NUM_SHOWN = 32, 12
BLUR, FEATURE_BLUR = 16, 4  # pixels of a side over which colours are compared
AROUND = 7  # cells of FEATURE_BLUR
# Where eyes and the mouth lie in FFHQ's framing, and how far they reach: shares of it.
FEATURES = (
    ((0.375, 0.475), (0.06, 0.035)),
    ((0.625, 0.475), (0.06, 0.035)),
    ((0.5, 0.74), (0.1, 0.05)),
)
BETAS = (0.0, 0.99)


class Networks:
    """The style's generator with its average, one critic per attribute, their eyes, optimizers."""

    def __init__(
        self, config: TextureConfig, source: Source, sets: list[ImageSet], runtime: Runtime
    ):
        state, clamp = _first_state(config, source), source.pack.card.conv_clamp
        self.G = generator_from_state(state, clamp).to(runtime.device).requires_grad_(False)
        self.G.synthesis.dtype = runtime.dtype
        self.G_ema = copy.deepcopy(self.G)
        self.G.synthesis.requires_grad_(True)
        self.lowest = round(config.freeze_share * self.G.resolution)  # of the layers trained
        for parameter in layers_below(self.G.synthesis, self.lowest):
            parameter.requires_grad_(False)
        self.look = look_with(config.perceptual, source.D)
        torch.manual_seed(config.seed)
        with torch.no_grad():
            seen = [self.look(as_float(part.images[:NUM_JUDGED])) for part in sets]
        self.D = torch.nn.ModuleList(Critic(x, config.scales) for x in seen).to(runtime.device)
        trained = [p for p in self.G.parameters() if p.requires_grad]
        self.opt_G = torch.optim.Adam(trained, config.lr, BETAS, fused=True)
        heads = [p for D in self.D for p in D.heads.parameters()]
        self.opt_D = torch.optim.Adam(heads, config.critic_lr, BETAS, fused=True)
        self.choice, self.augment, self.values = Choice(), Augment(), Values(sign=0.0)

    def state(self) -> dict[str, object]:
        """Everything that resuming needs."""
        networks = {"G": self.G, "G_ema": self.G_ema, "D": self.D}
        optimizers = {"opt_G": self.opt_G, "opt_D": self.opt_D}
        rest = {"choice": self.choice, "augment": self.augment, "values": self.values}
        return {**networks, **optimizers, **rest}


def train(config: TextureConfig) -> None:
    """Train, resume by rerunning, and write the style pack at the end."""
    runtime = join_processes()
    source = _on(load_source(config.base), runtime)
    size = source.G.resolution
    exemplars = load_images(config.data, size).to(runtime.device)
    sets = [exemplars.of(name) if name else exemplars for name in config.names]
    nets = Networks(config, source, sets, runtime)
    photos = some_of(load_images(config.photos, size), config.most_photos, config.seed)
    drafts = drafts_of(photos, source, nets.G.synthesis, nets.lowest // 2, config.likeness)
    fixed = drafts[:: max(1, len(drafts) // NUM_JUDGED)][:NUM_JUDGED]
    judge = None
    if config.choose_every:
        before = [as_float(fixed.drawn)] * len(sets)
        judge = Judge(eyes_of(config.perceptual, source.D), before, sets)
    run = Run(
        config.out,
        config,
        total=config.iterations * config.batch,
        batch=config.batch,
        state=nets.state(),
        seed=config.seed,
        tick=10 * config.batch,
        device=runtime.device,
    )
    with run, autocast(runtime):
        for generator in run.steps():
            square = random_square(drafts.cells, config.part, generator)
            index = torch.randint(len(drafts), (len(sets), config.batch), generator=generator)
            reals = [draw(part, run.cur_nimg, config.batch, config.seed) for part in sets]
            signs = [
                _step(nets, run, path, drafts[index[path].to(runtime.device)], real, square)
                for path, real in enumerate(reals)
            ]
            step = run.cur_nimg // config.batch
            if config.ada_speed > 0 and step % SIGN_INTERVAL == 0:
                follow_sign(nets, torch.stack(signs).mean(), run)
            update_ema(nets.G_ema, nets.G, ema_beta(config.batch, config.ema_images, run.cur_nimg))
            if run.leads and run.due(config.sample_every * config.batch):
                _save_samples(nets, run, fixed)
            if judge and run.leads and (step + 1) % config.choose_every == 0:
                pictures = _drawn(nets.G_ema, fixed)
                weight = config.likeness_weight
                observe(
                    run, judge, pictures, nets.G_ema, choice=nets.choice, likeness_weight=weight
                )
    if run.leads and not run.stopped:
        if judge:
            take_best(run, nets.choice, nets.G_ema)
        if all(part.is_gray for part in sets):
            nets.G_ema.load_state_dict(without_color(nets.G_ema.state_dict()))
        _save_samples(nets, run, fixed)
        if config.pack:
            _save_pack(nets, run, source, fixed, sets)


def some_of(photos: ImageSet, most: int, seed: int) -> ImageSet:
    """At most that many of the photos, drawn at random."""
    order = torch.randperm(len(photos), generator=seeded(seed, "photos"))[:most].tolist()
    names = (tuple(values[i] for i in order) for values in (photos.attributes, photos.files))
    return ImageSet(photos.images[order], *names)


def _on(source: Source, runtime: Runtime) -> Source:
    """Its networks on the device, without gradients."""
    for network in (source.G, source.D, source.E, source.detail):
        if network is not None:
            network.to(runtime.device).requires_grad_(False)
    return source


def _first_state(config: TextureConfig, source: Source) -> dict[str, Tensor]:
    """What the style's generator starts as: the source's with paths above, or an earlier style."""
    if config.start_from:
        return earlier_style(config.start_from, config.names, source)
    size = source.G.resolution
    path_from = config.path_from or size // 2
    return expand_paths(source.G.state_dict(), len(config.names), size, path_from)


def _step(
    nets: Networks, run: Run, path: int, drafts: Drafts, real: Tensor, square: Square
) -> Tensor:
    """One step of a critic, then one of the generator against it, on the same drawings.

    Returns the mean sign of the critic's scores of the exemplars, a scalar.
    """
    config, D, name = run.config, nets.D[path], run.config.names[path]
    for share in run.shares(f"path {path}"):
        own, real = drafts[share.rows(torch.arange(len(drafts)))], square.shown(share.rows(real))
        fake = finished(nets.G.synthesis, own, path, square, share)
        seen, judged = _seen(nets, fake, share)
        source = square.shown(as_float(own.drawn))
        with torch.no_grad():
            exemplars, before = nets.look(nets.augment(real, share)), nets.look(source)
        nets.opt_D.zero_grad(set_to_none=True)
        D.heads.requires_grad_(True)
        scores = D(exemplars)
        loss_D = hinge_d(scores, D([x.detach() for x in judged]))
        loss_D.backward()
        take_step(nets.opt_D)
        D.heads.requires_grad_(False)
        nets.opt_G.zero_grad(set_to_none=True)
        loss_G, sim = hinge_g(D(judged)), _far(seen, before, config.sim_drop)
        color = F.avg_pool2d(fake - source, BLUR).abs().mean()
        features = _features_apart(fake, source, square, drafts.resolution)
        kept = config.color_weight * color + config.feature_weight * features
        (loss_G + config.sim_weight * sim + kept).backward()
        take_step(nets.opt_G)
        terms = {
            "loss_D": loss_D,
            "loss_G": loss_G,
            "sim": sim,
            "color": color,
            "features": features,
        }
        run.record({f"{key}_{name}".rstrip("_"): value for key, value in terms.items()})
        sign = scores.detach().sign().mean()
    return sign


def _seen(nets: Networks, pictures: Tensor, share: Share) -> tuple[list[Tensor], list[Tensor]]:
    """What the eyes see of pictures as they are, and as the critic is shown them, augmented."""
    seen, shown = nets.look(pictures), nets.augment(pictures, share)
    return seen, seen if shown is pictures else nets.look(shown)


def _far(a: list[Tensor], b: list[Tensor], drop: int) -> Tensor:
    """Perceptual distance of what a critic saw of two pictures, without first layers."""
    pairs = zip(a[drop:], b[drop:], strict=True)
    units = zip(*((unit(x), unit(y)) for x, y in pairs), strict=True)
    return feature_distance(*units).mean()


def _features_apart(fake: Tensor, source: Tensor, square: Square, size: int) -> Tensor:
    """How far the contrasts of eyes and mouth are from the source's in a square; 0 without any.

    Colours are compared with what lies AROUND: held as they are, sockets would stay dark in a
    flat, bright face, and a critic draws a line around what differs, like goggles.
    """
    weight = F.avg_pool2d(square.shown(feature_weights(size).to(fake)), FEATURE_BLUR)
    apart = F.avg_pool2d(fake - source, FEATURE_BLUR)
    around = F.avg_pool2d(apart, AROUND, 1, AROUND // 2, count_include_pad=False)
    apart = (apart - around).abs().mean((0, 1), keepdim=True)
    return (weight * apart).sum() / weight.sum().clamp_min(1)


@lru_cache(maxsize=1)
def feature_weights(size: int) -> Tensor:
    """What belongs to eyes and mouth of aligned faces of `size` px: [1, 1, size, size] in 0..1."""
    at = (torch.arange(size) + 0.5) / size
    y, x = torch.meshgrid(at, at, indexing="ij")
    near = [((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 for (cx, cy), (rx, ry) in FEATURES]
    return torch.stack([torch.exp(-d) for d in near]).amax(0)[None, None]


@torch.no_grad()
def _drawn(G: Generator, drafts: Drafts) -> list[Tensor]:
    """What a generator draws, per path, [N, 3, R, R]."""
    return [finished(G.synthesis, drafts, path) for path in range(G.synthesis.num_paths)]


def _save_samples(nets: Networks, run: Run, fixed: Drafts) -> None:
    """The source's pictures over those of each path."""
    shown = fixed[:NUM_SHOWN]
    rows = [as_float(shown.drawn), *_drawn(nets.G_ema, shown)]
    run.save_samples(torch.cat(rows), columns=len(shown))


def _save_pack(
    nets: Networks, run: Run, source: Source, drafts: Drafts, sets: list[ImageSet]
) -> None:
    """Write the best candidate as a style; the preview shows nobody's photograph."""
    config, names = run.config, run.config.names
    counts = {name or "all": len(part) for name, part in zip(names, sets, strict=True)}
    record = {"recipe": "train.texture", "exemplars": counts, **run.record_of_run}
    record["measured_with"] = perceptual_name(config.perceptual)
    blended = [drafts.ws[i::4].mean(0, keepdim=True) for i in range(4)]
    with torch.no_grad():
        paths = (i % len(names) for i in range(4))
        pictures = [
            nets.G_ema.synthesis(ws, path=path) for ws, path in zip(blended, paths, strict=True)
        ]
    save_style(
        config.pack,
        nets.G_ema,
        source,
        title=config.title,
        attributes=names,
        record=record | ({"chosen": nets.choice.record} if nets.choice.best else {}),
        preview=preview_of(torch.cat(pictures)),
        method="AgileGAN transfer, against trained eyes",
        defaults=_defaults(config, all(part.is_gray for part in sets)),
    )


def _defaults(config: TextureConfig, is_gray: bool) -> dict[str, float]:
    """Options of the card: a grey head in a coloured photo looks cut out."""
    chosen = {"surroundings": 1.0} if is_gray else {}
    return chosen if config.likeness == 1 else chosen | {"likeness": config.likeness}


if __name__ == "__main__":
    run_recipe(TextureConfig, PRESETS, train, __doc__)
