"""UI2I-StyleGAN2 (Huang et al. 2021): Table I, model distances, and Table III, inversions.

Table I. Three generators are tuned on the exemplars with the same recipe and budget: from random
weights ("w/o FT": the paper's independently trained model), from the base with its mapping ("FT"),
and from the base without it ("FC-FT"). LSn hands the base's features over at 8, 16 or 32 px for
n = 1, 3, 5, which is how the authors' code counts convolutions. The distance is the mean perceptual
distance of what base and tuned generator draw of the same z.

Table III. Test photos are inverted with the same number of steps and the same perceptual distance.
"IdInvert-enc" is the base's own encoder, trained together with generator and discriminator, and
"IdInvert-inv" a search from its codes: the published in-domain encoder is another network.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from engine.card import DISCRIMINATOR_FILE, GENERATOR_FILE
from engine.models.discriminator import Discriminator
from engine.models.stylegan2 import Generator
from train import metrics, transfer
from train.data import seeded
from train.packs import load_source, save_base
from train.reproduce.settings import Settings
from train.reproduce.table import Claim, Number, Table, mean_of
from train.reproduce.workshop import Part, Workshop
from train.seen import drawn_by
from train.transfer_config import PRESETS

DATA_SETS = (
    "face2anime",
    "face2cartoon",
    "face2portrait",
    "cartoon2metface",
    "cat2dog",
    "cat2wild",
)
TABLE_1 = {
    "w/o FT": (0.747, 0.632, 0.759, 0.692, 0.672, 0.593),
    "FT": (0.650, 0.551, 0.636, 0.627, 0.625, 0.570),
    "FC-FT": (0.639, 0.483, 0.612, 0.587, 0.599, 0.568),
    "FC-FT-LS1": (0.610, 0.450, 0.515, 0.537, 0.598, 0.567),
    "FC-FT-LS3": (0.571, 0.398, 0.455, 0.478, 0.595, 0.561),
    "FC-FT-LS5": (0.548, 0.315, 0.379, 0.398, 0.581, 0.557),
}
TABLE_3 = {
    "Image2StyleGAN": 0.613,
    "IdInvert-inv": 0.623,
    "IdInvert-enc": 0.587,
    "StyleGAN2-proj": 0.655,
    "V (ours)": 0.667,
}
INVERSIONS = {  # row: method of train.compare_inversions
    "Image2StyleGAN": "image2stylegan",
    "IdInvert-inv": "indomain",
    "StyleGAN2-proj": "projector",
    "V (ours)": "v",
    "V, from the average face": "v-average",
}
SWAPS = {"FC-FT-LS1": 8, "FC-FT-LS3": 16, "FC-FT-LS5": 32}
BATCH, SHOWN, NUM_MOVED = 4, 8, 200
PHOTOS = 400  # whose codes the generators are tuned on


def tuning(settings: Settings, name: str, **more: object) -> Part:
    """The run of one of the generators of Table I; without constraints, as train.pairs needs it."""
    out = Path(settings.out)
    config = replace(
        PRESETS["cpu"],
        data=str(settings.drawings),
        base=settings.base,
        photos=str(out / "photos"),
        out=str(out / name),
        loss="logistic",
        sim_weight=0.0,
        lr=0.002,
        perceptual=settings.perceptual,
        iterations=max(1, settings.budget // BATCH),
        batch=BATCH,
        sample_every=settings.budget,
        choose_every=0,  # equal lengths are compared
        seed=settings.seed,
    )
    config = replace(config, **more)
    return Part(name, transfer.train, config, config.iterations * BATCH)


def unconstrained(settings: Settings) -> Part:
    """FC-FT: the mapping is frozen, and the style is saved as a pack."""
    pack = Path(settings.out) / "packs" / "fc-ft"
    return tuning(settings, "fc-ft", pack=str(pack), method="UI2I-StyleGAN2")


def parts(settings: Settings) -> list[Part]:
    """All that is trained."""
    blank = str(Path(settings.out) / "packs" / "blank")
    return [
        tuning(settings, "without-ft", freeze_mapping=False, base=blank),
        tuning(settings, "ft", freeze_mapping=False),
        unconstrained(settings),
    ]


def tables(shop: Workshop) -> list[Table]:
    """Train, measure and draw both tables."""
    return [inversions(shop), distances(shop)]


def distances(shop: Workshop) -> Table:
    """Table I."""
    shop.copied(Path(shop.settings.data) / "photos" / "train", "photos", PHOTOS)
    write_blank(shop)
    runs = zip(("w/o FT", "FT", "FC-FT"), parts(shop.settings), strict=True)
    tuned = {row: shop.trained_generator(shop.run(part)) for row, part in runs}
    drawings = {row: _plain(G) for row, G in tuned.items()}
    drawings |= {row: _swapped(shop, tuned["FC-FT"], size) for row, size in SWAPS.items()}
    step = len(shop.photos.ws) // SHOWN
    shown = shop.photos.ws[::step][:SHOWN]
    figure = [x.pictures[::step][:SHOWN] for x in (shop.photos.seen, shop.photos.rebuilt)]
    rows = {}
    for row, (of_z, of_ws) in drawings.items():
        rows[row] = {"distance": shop.model_distance(of_z)}
        figure.append(drawn_by(of_ws, shown))
    for row in ("FT", "FC-FT"):
        rows[row]["w moved"] = _moved(shop, tuned[row])
    names = ", ".join(drawings)
    published = {
        name: {row: numbers[i] for row, numbers in TABLE_1.items()}
        for i, name in enumerate(DATA_SETS)
    }
    return Table(
        title="Model distance to the base",
        source="Huang et al. 2021, Table I",
        rows=rows,
        paper={"distance": published},
        reasons={
            Claim("distance", "FC-FT", "FT"): (
                "the mapping of FT hardly moves in so few steps (see w moved; its layers learn at "
                "a hundredth of the rate), so that little but chance tells the two runs apart"
            )
        },
        notes=(
            "w moved is how far the mapping moves w, over how far w lies from its mean. The model "
            "without fine-tuning draws no faces after so few images; the paper's were trained to "
            "the end.",
        ),
        figure=(shop.save_figure("ui2i", figure), f"Rows: photo, base, {names}."),
    )


def inversions(shop: Workshop) -> Table:
    """Table III."""
    photos = shop.chosen(shop.photos)
    target = photos.seen.pictures
    rows = {"IdInvert-enc": _quality(photos.rebuilt.pictures, target)}
    for row, method in INVERSIONS.items():
        rows[row] = _quality(shop.invert(method, photos).picture, target)
    far = (
        "the public start of V is the mean of samples in V, which lies far from the average face "
        "of our base; compare the last row, which starts from that face"
    )
    return Table(
        title="Inversions, after the same number of steps",
        source="Huang et al. 2021, Table III",
        rows=rows,
        paper={"SSIM": {"faces": TABLE_3}},
        reasons={Claim("SSIM", row, "V (ours)"): far for row in TABLE_3},
        notes=(
            "The paper takes 1,000 steps: with few of them a search that starts from an encoder's "
            "codes has an advantage, and StyleGAN2's projector, which adds noise to the code for "
            "three quarters of its steps, has probably not settled.",
        ),
    )


def write_blank(shop: Workshop) -> Path:
    """The base with a generator and a discriminator of random weights, as if never trained."""
    folder = shop.out / "packs" / "blank"
    if folder.is_dir():
        return folder
    part = folder.with_name("blank.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(shop.settings.base, part)
    source = load_source(part)
    torch.manual_seed(shop.settings.seed)
    G, D = source.G, source.D
    networks = {
        GENERATOR_FILE: Generator(
            G.resolution,
            z_dim=G.mapping.z_dim,
            w_dim=G.mapping.w_dim,
            num_layers=G.mapping.num_layers,
            channels=G.synthesis.channels,
        ),
        DISCRIMINATOR_FILE: Discriminator(D.resolution, channels=D.channels),
    }
    save_base(part, networks, {"recipe": "random weights"})
    part.rename(folder)
    return folder


Drawing = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]  # of z, of ws


def _plain(G: Generator) -> Drawing:
    device = G.mapping.w_avg.device
    return G, lambda ws: G.synthesis(ws.to(device))


def _swapped(shop: Workshop, tuned: Generator, size: int) -> Drawing:
    source = shop.base.generator.synthesis

    def of_ws(ws: Tensor) -> Tensor:
        ws = ws.to(shop.runtime.device)
        return tuned.synthesis(ws, replace={size: source.features(ws, until=size)})

    return lambda z: of_ws(tuned.ws(z)), of_ws


def _moved(shop: Workshop, G: Generator) -> Number:
    """How far a tuned mapping has moved w, relative to the spread of w."""
    mapping, device = shop.base.generator.mapping, shop.runtime.device
    generator = seeded(shop.settings.seed, "mapping")
    z = torch.randn(NUM_MOVED, mapping.z_dim, generator=generator).to(device)
    with torch.inference_mode():
        before, after = mapping(z), G.mapping(z)
    moved = (after - before).norm(dim=1) / (before - before.mean(0)).norm(dim=1)
    return mean_of("w moved", moved.cpu())


def _quality(pictures: Tensor, target: Tensor) -> dict[str, Number]:
    return {
        "SSIM": mean_of("ssim", metrics.ssim(pictures, target)),
        "L2": mean_of("l2", metrics.squared_error(pictures, target)),
    }
