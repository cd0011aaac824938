"""The packs that ship: whole, small, and they draw the person in the photo."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.card import GENERATOR_FILE
from engine.image import read_photo, resize
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.pack import EMBEDDED_PACKS, load_pack
from engine.pipeline import Stylizer
from engine.runtime import pick_runtime
from engine.surgery import without_shared
from motion.pack import find_motion_pack, load_motion_pack

TWO_PATHS = ("cartoon", "comic")
STYLES = (*TWO_PATHS, "engraving", "look", "oil", "pencil", "studio_bw")
GREY = ("engraving", "pencil", "studio_bw")
LARGEST_FILE, LARGEST_SUM = 16 * 2**20, 80 * 2**20


@pytest.fixture(scope="module")
def library():
    return StyleLibrary([EMBEDDED_PACKS])


@pytest.fixture(scope="module")
def portraits(shared, library):
    """Portraits of 16 people of the test photos, with their crops, as small pictures."""
    with (shared / "data" / "photos" / "test.csv").open(newline="") as table:
        files = [row["file"] for row in csv.DictReader(table)][::11][:16]
    stylizer = Stylizer.load("cartoon", library, pick_runtime())
    found = [stylizer.encode(read_photo(shared / "data" / "photos" / f).rgb) for f in files]
    assert all(found), "the embedded detector misses an aligned portrait"
    return [faces[0] for faces in found]


def test_what_ships():
    shipped = {path.name for path in EMBEDDED_PACKS.iterdir() if path.is_dir()}
    assert shipped == {"base", "motion", *STYLES}
    assert find_motion_pack() == EMBEDDED_PACKS / "motion"
    assert load_motion_pack(EMBEDDED_PACKS / "motion").card.training
    for name in ("base", *STYLES):
        pack = load_pack(EMBEDDED_PACKS / name)  # compares every hash
        assert pack.card.licence and pack.card.training
        assert pack.has("detector.safetensors") if name == "base" else pack.preview
        for file in pack.card.files:
            assert (EMBEDDED_PACKS / name / file).stat().st_size <= LARGEST_FILE, file
    sizes = [path.stat().st_size for path in EMBEDDED_PACKS.rglob("*") if path.is_file()]
    assert sum(sizes) <= LARGEST_SUM


@pytest.mark.parametrize("name", STYLES)
def test_no_style_holds_a_layer_of_its_base(name):
    base = load_pack(EMBEDDED_PACKS / "base").state(GENERATOR_FILE)
    own = load_pack(EMBEDDED_PACKS / name).state(GENERATOR_FILE)
    assert own.keys() == without_shared(own, base).keys()


@pytest.mark.parametrize("batch", [1, 2])
def test_float16_draws_the_same_to_two_grey_levels(library, batch):
    """What a GPU computes in when asked to; a CPU can, slowly. bfloat16 does not reach this."""
    G = library.load("pencil", pick_runtime("cpu", "float32")).base.generator
    z = torch.randn(batch, G.mapping.z_dim, generator=torch.Generator().manual_seed(0))
    drawn = []
    try:
        with torch.inference_mode():
            for dtype in (torch.float32, torch.float16):
                G.synthesis.dtype = dtype
                drawn.append((G(z, truncation_psi=0.7).clamp(-1, 1) + 1) * 127.5)
    finally:
        G.synthesis.dtype = torch.float32
    assert ((drawn[0].round() - drawn[1].round()).abs() <= 2).float().mean() >= 0.999


@pytest.mark.parametrize("name", TWO_PATHS)
def test_style_differs_from_the_photo_and_between_attributes(name, library, portraits):
    stylizer = Stylizer.load(name, library, pick_runtime())
    assert len(stylizer.card.attributes) == 2
    pictures = [
        stylizer.render(portraits[0], StylizeOptions(attribute=attribute))
        for attribute in stylizer.card.attributes
    ]
    source = stylizer.render(portraits[0], StylizeOptions(strength=0.0))
    assert len(source) >= 256
    for picture in pictures:
        assert np.abs(picture.astype(int) - source).mean() > 8
    assert np.abs(pictures[0].astype(int) - pictures[1]).mean() > 2


@pytest.mark.parametrize("name", GREY)
def test_grey_styles_are_grey(name, library, portraits):
    stylizer = Stylizer.load(name, library, pick_runtime())
    source = stylizer.render(portraits[0], StylizeOptions(strength=0.0)).astype(float)
    drawn = stylizer.render(portraits[0], StylizeOptions()).astype(float)
    assert drawn.std(axis=2).mean() < 6 < source.std(axis=2).mean()


def test_reconstructions_show_their_own_photo(library, portraits):
    """Each reconstruction is nearer to its own photo than to the other fifteen."""
    stylizer = Stylizer.load("cartoon", library, pick_runtime())
    options = StylizeOptions(strength=0.0)
    photos = np.stack([resize(p.face.crop, 16, 16) for p in portraits]).astype(float)
    rebuilt = np.stack([resize(stylizer.render(p, options), 16, 16) for p in portraits])
    distances = np.abs(rebuilt[:, None] - photos[None]).mean((2, 3, 4))
    assert (distances.argmin(1) == np.arange(len(photos))).mean() >= 0.9


@pytest.mark.parametrize("name", ["comic", *GREY])
def test_stylized_pictures_show_their_own_photo(name, library, portraits):
    """Light and dark, where they are, survive the style well enough to tell who is who.

    Cartoon and oil are left out: they paint every portrait on a ground of their own, light or dark.
    """
    stylizer = Stylizer.load(name, library, pick_runtime())
    photos = [_structure(p.face.crop) for p in portraits]
    drawn = [_structure(stylizer.render(p, StylizeOptions())) for p in portraits]
    likeness = np.array([[float((d * p).mean()) for p in photos] for d in drawn])
    assert (likeness.argmax(1) == np.arange(len(photos))).mean() >= 0.5  # chance is 1 in 16


def _structure(rgb):
    """Grey 12x12 picture of zero mean and unit deviation."""
    grey = resize(rgb, 12, 12).astype(float).mean(2)
    return (grey - grey.mean()) / grey.std()


def test_look_draws_in_the_colours_of_a_reference(library, portraits):
    """Blue, pink and grey pictures that ship as examples make blue, pink and grey drawings."""
    stylizer = Stylizer.load("look", library, pick_runtime())
    assets = Path(__file__).parents[1] / "demo" / "assets"
    drawn = []
    for number in (3, 4, 1):
        code = stylizer.reference(read_photo(assets / f"reference_{number}.png").rgb)
        pictures = [
            stylizer.render(p, StylizeOptions(mix_layer=0), None, code) for p in portraits[:4]
        ]
        drawn.append(np.stack(pictures).mean((0, 1, 2)))
    (blue, pink, gray) = drawn
    assert blue[2] > blue[0] + 40 and pink[0] > pink[1] + 40
    assert np.ptp(gray) < np.ptp(blue) / 3
