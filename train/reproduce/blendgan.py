"""BlendGAN (Liu et al. 2021): supplementary Figure 4, its style encoder against raw Gram matrices.

The paper draws faces with both codes and shows that Gram matrices let the reference's pose and
identity through. Here the codes themselves are asked, on pictures the encoder was not trained on.
"moved by geometry" is how far turning, scaling and mirroring a picture moves its code, over how far
pictures of two styles lie apart: 0 for a code that tells style alone. "told content" is how well
distances of codes within a style follow those of what is shown, read by the base's encoder from its
coarse layers: a correlation, 0 if the code knows nothing of it. "told style" is how often the
nearest other picture has the same style.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.card import STYLE_ENCODER_FILE
from engine.models.blendgan import StyleEncoder, style_encoder_from_state
from engine.pack import load_pack
from train import style_encoder
from train.contrast import affine_view
from train.data import ImageSet, as_float, load_images, seeded
from train.encoder import encoder_input
from train.reproduce.settings import Settings
from train.reproduce.table import Claim, Number, Table, mean_of, number
from train.reproduce.workshop import Part, Workshop

LEARNED, GRAM, OWN_GRAM, NEW = (
    "style encoder",
    "Gram, SqueezeNet",
    "Gram, the encoder's own features",
    "style encoder, untrained",
)
IMAGES = 4  # the style encoder sees four times the budget
HELD_OUT = 3  # every third picture of a style is measured with
COARSE = 4  # layers of the base, up to 8 px, that say what is shown
QUERIES, NEIGHBOURS = 4, 4

Look = Callable[[Tensor], Tensor]  # [N, 3, 256, 256] -> [N, D]


def encoding(settings: Settings) -> Part:
    """The run of the style encoder."""
    out, preset = Path(settings.out), style_encoder.PRESETS["cpu"]
    iterations = max(1, IMAGES * settings.budget // preset.batch)
    config = replace(
        preset,
        data=str(out / "looks"),
        base=settings.base,
        pack=str(out / "packs" / "looks"),
        out=str(out / "style-encoder"),
        iterations=iterations,
        sample_every=iterations,
        seed=settings.seed,
    )
    return Part("style-encoder", style_encoder.train, config, iterations * preset.batch)


def parts(settings: Settings) -> list[Part]:
    """All that is trained."""
    return [encoding(settings)]


def tables(shop: Workshop) -> list[Table]:
    """Train the style encoder and ask the codes."""
    styles = sorted(p for p in (Path(shop.settings.data) / "styles").iterdir() if p.is_dir())
    held = write_looks(shop, styles)
    part = encoding(shop.settings)
    shop.run(part)
    codes = looks(shop, part)
    rows = {name: measured(shop, look, held) for name, look in codes.items()}
    both = (LEARNED, GRAM)
    return [
        Table(
            title="What codes of style tell",
            source="Liu et al. 2021, supplementary Figure 4, which has no numbers",
            rows=rows,
            claims=[
                Claim(column, LEARNED, more)
                for column in ("moved by geometry", "told content")
                for more in (GRAM, OWN_GRAM)
            ],
            reasons={
                Claim("moved by geometry", LEARNED, OWN_GRAM): (
                    "after so few steps geometry moves the code as it does the untrained encoder's"
                )
            },
            notes=(
                "The paper's Gram matrices are of VGG-19, whose weights we do not have; those of "
                "SqueezeNet, a larger network than the narrow encoder, stand in. What training did "
                "is hence the difference to the Gram matrices of the encoder's own features, and "
                "to the untrained encoder.",
            ),
            figure=(
                shop.save_figure("blendgan", _neighbours(held, [codes[name] for name in both])),
                f"Each row: a picture, the {NEIGHBOURS} nearest to it by {LEARNED}, then the "
                f"{NEIGHBOURS} nearest by {GRAM}.",
            ),
        )
    ]


def write_looks(shop: Workshop, styles: list[Path]) -> ImageSet:
    """Copy pictures of every style to train on, and return those held out, the style as attribute.

    Raises:
        DataError: a style has no pictures.
    """
    held = []
    for folder in styles:
        copied = shop.copied(folder, f"looks-all/{folder.name}", shop.settings.looks)
        data = load_images(copied, style_encoder.INPUT_SIZE)
        rows = list(range(0, len(data), HELD_OUT))
        kept = [name for row, name in enumerate(data.files) if row not in rows]
        for name in kept:
            target = shop.out / "looks" / name
            target.parent.mkdir(exist_ok=True)
            if not target.is_file():
                target.write_bytes((copied / name).read_bytes())
        held.append((data.images[rows], (folder.name,) * len(rows), [data.files[r] for r in rows]))
    images, names, files = zip(*held, strict=True)
    return ImageSet(torch.cat(images), sum(names, ()), tuple(sum(files, [])))


def looks(shop: Workshop, part: Part) -> dict[str, Look]:
    """The codes that are compared, by name."""
    device = shop.runtime.device
    state = load_pack(part.config.pack).state(STYLE_ENCODER_FILE)
    trained = style_encoder_from_state(state).to(device).eval()
    torch.manual_seed(part.config.seed)  # as the recipe did
    some = as_float(load_images(part.config.data, style_encoder.INPUT_SIZE).images[:32])
    fresh = style_encoder.new_encoder("", trained.style_dim, some).to(device).eval()
    return {
        LEARNED: _code_of(trained),
        GRAM: shop.tools.eyes.style,
        OWN_GRAM: _in_batches(lambda x: trained.grams(x.to(device)).cpu()),
        NEW: _code_of(fresh),
    }


def measured(shop: Workshop, look: Look, held: ImageSet) -> dict[str, Number]:
    """Ask one code on pictures with their styles."""
    pictures, names = as_float(held.images), held.attributes
    codes = F.normalize(look(pictures), dim=1)
    apart = 1 - codes @ codes.T  # [N, N]
    same = torch.tensor([[a == b for b in names] for a in names])
    between = apart[~same].mean()
    generator = seeded(shop.settings.seed, "views")
    views = [F.normalize(look(affine_view(pictures, generator)), dim=1) for _ in range(2)]
    moved = (1 - (views[0] * views[1]).sum(1)) / between
    nearest = apart.clone().fill_diagonal_(torch.inf).argmin(1)
    told = same[torch.arange(len(names)), nearest].double()
    shown = _shown(shop, pictures)

    def related(rows: slice) -> float:
        found = [_correlation(apart, shown, own[rows]) for own in _by_style(names)]
        return sum(found) / len(found)

    return {
        "moved by geometry": mean_of("moved by geometry", moved),
        "told content": number("told content", "", (len(names),), related),
        "told style": mean_of("told style", told),
    }


def _code_of(encoder: StyleEncoder) -> Look:
    device = encoder.mlp[0].weight.device
    return _in_batches(lambda x: encoder(x.to(device)).float().cpu())


def _in_batches(look: Look) -> Look:
    def whole(pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([look(x) for x in pictures.split(16)])

    return whole


def _shown(shop: Workshop, pictures: Tensor) -> Tensor:
    """Distances [N, N] of what pictures show, in the coarse codes of the base's encoder."""
    base = shop.base
    space = base.pack.card.encoder_space
    small = encoder_input(pictures, base.encoder_into(space).input_size)
    ws = torch.cat([base.encode(x, space).ws for x in small.split(16)])
    rows = ws[:, :COARSE].flatten(1)
    return torch.cdist(rows, rows)


def _by_style(names: tuple[str, ...]) -> list[list[int]]:
    return [[i for i, own in enumerate(names) if own == name] for name in sorted(set(names))]


def _correlation(a: Tensor, b: Tensor, rows: list[int]) -> float:
    """Pearson's correlation of two matrices of distances, among some rows, each pair once."""
    i, j = torch.triu_indices(len(rows), len(rows), 1)
    index = torch.tensor(rows)
    pairs = torch.stack([m[index[i], index[j]].double() for m in (a, b)])
    return torch.corrcoef(pairs)[0, 1].item()


def _neighbours(held: ImageSet, codes: list[Look]) -> list[Tensor]:
    """Rows of pictures: a query, then its neighbours by each code."""
    pictures = as_float(held.images)
    small = F.avg_pool2d(pictures, 4)
    found = [F.normalize(look(pictures), dim=1) for look in codes]
    near = [(x @ x.T).fill_diagonal_(-torch.inf).topk(NEIGHBOURS).indices for x in found]
    queries = range(0, len(pictures), max(1, len(pictures) // QUERIES))
    return [
        torch.cat([small[q][None], *(small[rows[q]] for rows in near)])
        for q in list(queries)[:QUERIES]
    ]
