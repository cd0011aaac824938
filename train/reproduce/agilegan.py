"""AgileGAN (Song et al. 2021): Table 2, embedding methods, and Figure 12, parts of its encoder.

One generator is tuned on the exemplars by AgileGAN's recipe; every method embeds the same test
photos into the latent space of the base, and the tuned generator draws the codes. Four encoders are
trained with one recipe, budget and seed: into Z+ with a posterior ("hVAE"), into Z+ without one,
into Z, and into W+ ("pSp"). So small a budget trains no encoder from nothing: all four begin with
the trunk of the base's own encoder and with new layers that answer codes. That trunk was trained
into Z+ with a posterior, which favours "hVAE". "in-domain" optimises from the codes of the pSp
encoder, close to them; the two others optimise from the average face.
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from engine.base import read_base
from engine.latent import map_zplus
from engine.pack import load_pack
from train import encoder, metrics
from train.data import seeded
from train.encoder_config import PRESETS as ENCODERS
from train.encoder_config import EncoderConfig
from train.packs import load_source, save_base
from train.reproduce import ui2i
from train.reproduce.settings import Settings
from train.reproduce.table import Claim, Number, Table, number
from train.reproduce.workshop import Part, Workshop, pictures_in
from train.seen import Photos

TABLE_2 = {
    "hVAE": 64.7,
    "PSP": 69.0,
    "in-domain": 78.6,
    "optimization (Toonify)": 71.9,
    "optimization (Image2StyleGAN)": 74.7,
}
FULL, WITHOUT_Z_PLUS, WITHOUT_POSTERIOR, PSP = "hVAE", "w/o Z+", "w/o variational", "PSP"
SPACES = {FULL: "z+", WITHOUT_Z_PLUS: "z", WITHOUT_POSTERIOR: "z+", PSP: "w+"}
NAMES = {FULL: "hvae", WITHOUT_Z_PLUS: "without-zplus", WITHOUT_POSTERIOR: "without-variational"}
ENCODER_IMAGES, ENCODER_BATCH = 8, 8  # an encoder sees eight times the budget: it is quicker
HEADS = re.compile(r"^fc_|(^|\.)linears?\.|^latent_avg$")
PRIOR, SHOWN = 2000, 8


def styling(settings: Settings) -> Part:
    """The run of the tuned generator: hinge loss, and structure kept by a perceptual distance."""
    pack = str(Path(settings.out) / "packs" / "agilegan")
    more = {"loss": "hinge", "sim_weight": 1.5, "sim_drop": 1, "pack": pack}
    return ui2i.tuning(settings, "agilegan", **more)


def embedding(settings: Settings, row: str) -> Part:
    """The run of one of the encoders."""
    out, name = Path(settings.out), NAMES.get(row, "psp")
    photos = num_photos(settings)
    epochs = max(1, ENCODER_IMAGES * settings.budget // (2 * photos))
    images = epochs * 2 * photos
    config = replace(
        ENCODERS["cpu"],
        data=str(out / "encoder-photos"),
        base=str(out / "encoders" / name),
        out=str(out / f"encoder-{name}"),
        space=SPACES[row],
        variational=row == FULL,
        perceptual=settings.perceptual,
        epochs=epochs,
        batch=ENCODER_BATCH,
        lr=1e-3,
        w_norm_weight=0.005 if row == PSP else 0.0,
        loss_size=settings.size,
        sample_every=images,
        ema_images=images / 8,
        seed=settings.seed,
    )
    return Part(f"encoder-{name}", encoder.train, config, images)


def num_photos(settings: Settings) -> int:
    """How many photos an encoder is trained on; each is seen mirrored too."""
    present = len(pictures_in(Path(settings.data) / "photos" / "train"))
    return min(present, ENCODER_IMAGES * settings.budget // 2)


def parts(settings: Settings) -> list[Part]:
    """All that is trained."""
    return [styling(settings), *(embedding(settings, row) for row in SPACES)]


def tables(shop: Workshop) -> list[Table]:
    """Train, measure and draw both tables."""
    train_photos = Path(shop.settings.data) / "photos" / "train"
    shop.copied(train_photos, "photos", ui2i.PHOTOS)
    shop.copied(train_photos, "encoder-photos", num_photos(shop.settings))
    encoded = {row: _encoded(shop, row) for row in SPACES}
    shop.run(styling(shop.settings))
    return [ablation(shop, encoded), embeddings(shop, encoded)]


def ablation(shop: Workshop, encoded: dict[str, Photos]) -> Table:
    """Figure 12, and the overlap with the prior of Figure 2."""
    style = shop.style(shop.out / "packs" / "agilegan")
    rows, step = {}, len(shop.photos.ws) // SHOWN
    figure = [shop.photos.seen.pictures[::step][:SHOWN]]
    for row, photos in encoded.items():
        rows[row], drawn = shop.stylized(style, photos.ws, photos)
        rows[row]["reconstruction"] = shop.distance_of(photos.rebuilt, photos.seen)
        rows[row]["overlap"] = _overlap(shop, photos)
        figure += [x.pictures[::step][:SHOWN] for x in (photos.rebuilt, drawn)]
    others = [row for row in encoded if row != FULL]
    far = "KL weighs 5e-5 here, as in the training of the base, a tenth of the paper's 5e-4"
    return Table(
        title="Parts of the encoder",
        source="Song et al. 2021, Figures 12 and 2, which have no numbers",
        rows=rows,
        claims=(
            Claim("reconstruction", FULL, WITHOUT_Z_PLUS),
            Claim("FID", FULL, WITHOUT_POSTERIOR),
            Claim("KID", FULL, WITHOUT_POSTERIOR),
            *(Claim("overlap", row, FULL) for row in others),
        ),
        reasons={Claim("overlap", row, FULL): far for row in others},
        notes=(
            "Reconstruction and LPIPS_s are perceptual distances to the photo, of what the base "
            "and what the style draws. The overlap is that of codes in W+ and 2,000 samples of the "
            "prior in the plane of t-SNE.",
        ),
        figure=(
            shop.save_figure("agilegan-encoders", figure),
            f"Rows: photo; then rebuilt and stylized with {', '.join(encoded)}.",
        ),
    )


def embeddings(shop: Workshop, encoded: dict[str, Photos]) -> Table:
    """Table 2."""
    style = shop.style(shop.out / "packs" / "agilegan")
    packed, psp = shop.chosen(shop.photos), shop.chosen(encoded[PSP])
    codes = {
        FULL: shop.chosen(encoded[FULL]).ws,
        PSP: psp.ws,
        "in-domain": shop.invert("indomain", packed, psp.ws).ws,
        "optimization (Toonify)": shop.invert("projector", packed).ws,
        "optimization (Image2StyleGAN)": shop.invert("image2stylegan", packed).ws,
        "the base's own encoder": packed.ws,
    }
    rows, figure = {}, [packed.seen.pictures[:SHOWN]]
    for row, ws in codes.items():
        rows[row], drawn = shop.stylized(style, ws, packed)
        figure.append(drawn.pictures[:SHOWN])
    return Table(
        title="Embedding methods, stylized",
        source="Song et al. 2021, Table 2",
        rows=rows,
        paper={"FID": {"cartoon": TABLE_2}},
        proxies={"KID": "FID"},
        reasons={
            Claim(column, PSP, row): (
                "so few images hardly train an encoder into W+: the people it rebuilds look alike"
            )
            for column in ("FID", "KID")
            for row in TABLE_2
        },
        notes=(
            "The last row is AgileGAN's encoder too, trained with the base for some 120,000 "
            "images: what a budget as small as that of the first row costs.",
        ),
        figure=(
            shop.save_figure("agilegan-methods", figure),
            f"Rows: photo, {', '.join(codes)}.",
        ),
    )


def write_start(shop: Workshop, config: EncoderConfig) -> Path:
    """A copy of the base with the encoder that a run starts from: an old trunk, new heads."""
    folder = Path(config.base)
    if folder.is_dir():
        return folder
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(shop.settings.base, part)
    source = load_source(part)
    torch.manual_seed(config.seed)
    size = source.E.input_size
    new = encoder.new_encoder(replace(config, init="narrow", input_size=size), source)
    if config.space == "z+" and not new.variational:  # leave the posterior out, not a layer
        new.fc_mu = torch.nn.Linear(new.style_dim, new.style_dim)
        torch.nn.init.orthogonal_(new.fc_mu.weight)
    own = new.state_dict()
    kept = {name: x for name, x in source.E.state_dict().items() if name in own}
    new.load_state_dict(own | {name: x for name, x in kept.items() if not HEADS.search(name)})
    card = source.pack.card
    save_base(part, {card.encoder_file(config.space): new}, {"recipe": "trunk of the base's own"})
    part.rename(folder)
    return folder


def _encoded(shop: Workshop, row: str) -> Photos:
    part = embedding(shop.settings, row)
    write_start(shop, part.config)
    shop.run(part)
    base = read_base(load_pack(part.config.base), shop.runtime)
    return shop.encoded(base, part.config.space)


def _overlap(shop: Workshop, photos: Photos) -> Number:
    """How evenly codes and samples of the prior are mixed in W+ (Figure 2)."""
    mapping, seed = shop.base.generator.mapping, shop.settings.seed
    z = torch.randn(PRIOR, photos.ws.shape[1], mapping.z_dim, generator=seeded(seed, "prior"))
    with torch.inference_mode():
        parts = [map_zplus(mapping, x.to(shop.runtime.device)).float().cpu() for x in z.split(100)]
    plane, prior = metrics.tsne(photos.ws, torch.cat(parts), seed)
    counts = (len(plane), len(prior))

    def overlap(rows: slice) -> float:
        return metrics.overlap(
            plane[rows], prior, seeded(seed, "overlap"), min(10, len(plane) // 2)
        )

    return number("overlap", "tsne", counts, overlap)
