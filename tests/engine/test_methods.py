"""Every method through the one pipeline, on tiny packs: what each option and file has to change."""

import numpy as np
import pytest
import torch

from engine.base import read_base
from engine.card import ATTRIBUTE_FILE, DIRECTIONS_FILE, ENCODER_FILE, GENERATOR_FILE
from engine.errors import OptionError, PackError, StylizeError
from engine.latent import blend
from engine.library import StyleLibrary
from engine.models.attribute import AttributeClassifier
from engine.models.encoder import FeaturePyramidEncoder
from engine.pack import load_pack, save_pack
from engine.pipeline import StylizeOptions, Stylizer
from engine.reference import Reference
from engine.runtime import Runtime
from tests.engine.test_pipeline import face, photo
from tests.packs import (
    CODE,
    NUM_WS,
    PATHS,
    RESOLUTION,
    FixedFaces,
    card,
    write_any_style,
    write_base,
    write_style,
)

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
PLAIN = StylizeOptions()


@pytest.fixture
def packs(tmp_path):
    base = write_base(tmp_path)
    write_style(tmp_path, base, "cartoon")
    write_style(tmp_path, base, "swap", kind="swapped", seed=5)
    return tmp_path


@pytest.fixture
def library(packs):
    return StyleLibrary([packs])


@pytest.fixture
def ws():
    return torch.randn(1, NUM_WS, CODE, generator=torch.Generator().manual_seed(0))


def load(library: StyleLibrary, name: str = "cartoon") -> Stylizer:
    return Stylizer.load(name, library, RUNTIME, FixedFaces((face(),)))


def rendered(stylizer: Stylizer, options: StylizeOptions = PLAIN, **more: object) -> np.ndarray:
    return stylizer.render(stylizer.encode(photo())[0], options, **more)


def different(a: np.ndarray, b: np.ndarray) -> bool:
    return not np.array_equal(a, b)


def small_encoder(variational: bool) -> FeaturePyramidEncoder:
    torch.manual_seed(3)
    sizes = {"input_size": 32, "widths": (4, 8, 16, 8, 16), "units": (1, 1, 1, 1)}
    return FeaturePyramidEncoder(NUM_WS, **sizes, style_dim=CODE, variational=variational)


def add_to_base(packs, files: dict, **changes: object) -> None:
    save_pack(packs / "base", card("base", "base", **changes), files)


def test_any_style_takes_features_of_the_photo(library, ws):
    style, other = library.load("cartoon", RUNTIME), ws.flip(-1)
    for size in (4, 8, 16):
        features = style.base.generator.synthesis.features(ws, until=size)
        expected = style.network().synthesis(other, replace={size: features})
        swapped = style.synthesize(ws, other, swap_resolution=size)
        torch.testing.assert_close(swapped, expected)
    with pytest.raises(OptionError, match="swap_resolution is 12; this generator has 4, 8, 16, 32"):
        style.synthesize(ws, swap_resolution=12)


def test_toonify_draws_the_high_layers_of_the_source(library, ws):
    style = library.load("cartoon", RUNTIME)
    source, full = style.base.generator.synthesis(ws), style.synthesize(ws)
    blended = style.network(blend_resolution=8).state_dict()
    own = style.network().state_dict()
    origin = style.base.generator.state_dict()
    low, high = "synthesis.b4.conv1.weight", "synthesis.b32.conv1.weight"
    torch.testing.assert_close(blended[low], own[low], atol=0.02, rtol=0)
    torch.testing.assert_close(blended[high], origin[high], atol=0.02, rtol=0)
    picture = style.synthesize(ws, blend_resolution=8)
    assert not torch.equal(picture, full) and not torch.equal(picture, source)


def test_translation_between_two_styles(library, ws):
    style = library.between("cartoon", "swap", RUNTIME)
    cartoon = library.load("cartoon", RUNTIME)
    features = cartoon.network().synthesis.features(ws, until=8)
    expected = style.network().synthesis(ws, replace={8: features})
    torch.testing.assert_close(style.synthesize(ws), expected)


def test_no_translation_between_bases(library, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    write_style(other, write_base(other, seed=9), "foreign")
    both = StyleLibrary([*library.search, other])
    with pytest.raises(PackError, match="cartoon and foreign have different bases"):
        both.between("cartoon", "foreign", RUNTIME)


def blendgan(packs) -> Stylizer:
    write_any_style(packs, load_pack(packs / "base").card)
    return load(StyleLibrary([packs]), "any")


def test_blendgan_blends_with_learned_weights_above_the_indicator(packs, ws):
    style = blendgan(packs).style
    learned = torch.linspace(-0.2, 1.2, NUM_WS).half().float().clamp(0, 1)
    torch.testing.assert_close(style.style_weights(0), 1 - learned)
    above = style.style_weights(3)
    assert above[:3].abs().max() == 0
    torch.testing.assert_close(above[3:], 1 - learned[3:])
    code = style.random_codes(5)
    expected = style.network().synthesis(blend(ws, code, 1 - learned))
    torch.testing.assert_close(style.synthesize(ws, code, style.style_weights(0)), expected)


def test_blendgan_reads_the_style_off_a_reference(packs):
    stylizer = blendgan(packs)
    pictures = torch.rand(2, 1, 3, 40, 40, generator=torch.Generator().manual_seed(1)) * 2 - 1
    first, second = (stylizer.style.reference_codes(p) for p in pictures)
    assert first.shape == (1, NUM_WS, CODE) and not torch.equal(first, second)
    options = StylizeOptions(mix_layer=0)
    drawn = [rendered(stylizer, options, look=Reference(code)) for code in (first, second)]
    assert different(*drawn)


def test_styles_without_style_encoder_say_so(library):
    with pytest.raises(PackError, match="style cartoon has no style encoder"):
        library.load("cartoon", RUNTIME).reference_codes(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("space", ["w+", "z+"])
def test_encoders_without_posterior(packs, space):
    add_to_base(packs, {ENCODER_FILE: small_encoder(False).state_dict()}, encoder_space=space)
    pack = load_pack(packs / "cartoon")
    fields = {"base": pack.card.base, "attributes": PATHS, "encoder_space": space}
    save_pack(packs / "cartoon", card("cartoon", "blended", **fields), {})
    stylizer = load(StyleLibrary([packs]))
    portrait = stylizer.encode(photo())[0]
    assert portrait.space == space and portrait.logvar is None
    assert len(stylizer.render_samples(portrait, StylizeOptions(samples=4))) == 1


def test_a_base_has_one_encoder_per_space(packs):
    add_to_base(packs, {"encoder_wplus.safetensors": small_encoder(False).state_dict()})
    base = read_base(load_pack(packs / "base"), RUNTIME)
    assert set(base.encoders) == {"z+", "w+"} and base.encoder is base.encoders["z+"]
    with pytest.raises(PackError, match=r"no encoder into w \(it has z\+, w\+\)"):
        base.encoder_into("w")


def test_portraits_of_another_space_are_refused(packs):
    add_to_base(packs, {"encoder_wplus.safetensors": small_encoder(False).state_dict()})
    pack = load_pack(packs / "cartoon")
    fields = {"base": pack.card.base, "encoder_space": "w+", "swap_resolution": 8}
    state = load_pack(packs / "swap").state(GENERATOR_FILE)
    save_pack(packs / "other", card("other", "swapped", **fields), {GENERATOR_FILE: state})
    library = StyleLibrary([packs])
    portrait = load(library).encode(photo())[0]
    with pytest.raises(StylizeError, match=r"in z\+, style other needs .* in w\+"):
        load(library, "other").render(portrait)


def test_the_classifier_chooses_the_path_and_the_user_overrules(packs):
    pictures = {}
    for sign in (1, -1):
        classifier = AttributeClassifier(NUM_WS, CODE, PATHS)
        with torch.no_grad():
            for parameter in classifier.parameters():
                parameter.zero_()
            bias = next(p for p in classifier.parameters() if p.ndim == 1)
            bias.copy_(torch.tensor([1.0, -1.0]) * sign)
        add_to_base(packs, {ATTRIBUTE_FILE: classifier.state_dict()})
        stylizer = load(StyleLibrary([packs]))
        portrait = stylizer.encode(photo())[0]
        chosen = max(portrait.attributes, key=portrait.attributes.get)
        assert chosen == PATHS[sign < 0]
        automatic = stylizer.render(portrait)
        by_hand = stylizer.render(portrait, StylizeOptions(attribute=chosen))
        other = stylizer.render(portrait, StylizeOptions(attribute=PATHS[sign > 0]))
        assert np.array_equal(automatic, by_hand) and different(automatic, other)
        pictures[sign] = automatic
    assert different(pictures[1], pictures[-1])


def test_without_classifier_the_card_decides(library):
    stylizer = load(library)
    portrait = stylizer.encode(photo())[0]
    assert portrait.attributes == {}
    by_hand = stylizer.render(portrait, StylizeOptions(attribute=PATHS[0]))
    assert np.array_equal(stylizer.render(portrait), by_hand)


def test_bases_without_faces_take_the_central_square(packs):
    add_to_base(packs, {}, framing="center")
    stylizer = Stylizer.load("cartoon", StyleLibrary([packs]), RUNTIME, FixedFaces())
    rgb = photo(96, 128)
    portrait = stylizer.encode(rgb)[0]
    corner = portrait.face.photo_to_crop @ np.array([15.5, -0.5, 1])
    np.testing.assert_allclose(corner[:2], [-0.5, -0.5], atol=1e-9)
    picture = stylizer(rgb)
    assert picture.shape == (RESOLUTION, RESOLUTION, 3)
    assert np.array_equal(picture, stylizer.render(portrait))


def test_edits_add_up_and_leave_the_portrait_alone(library):
    stylizer = load(library)
    portrait = stylizer.encode(photo())[0]
    change = torch.full((1, NUM_WS, CODE), 0.5)
    edited = portrait.edited(change)
    assert different(stylizer.render(edited), stylizer.render(portrait))
    assert portrait.edit is None
    twice = edited.edited(-change)
    assert np.abs(stylizer.render(twice).astype(int) - stylizer.render(portrait)).max() <= 1


def test_edits_by_text_are_steps_along_the_directions(library):
    stylizer = load(library)
    portrait = stylizer.encode(photo())[0]
    direction = stylizer.style.base.directions[1]
    change = torch.zeros(1, NUM_WS, CODE)
    change[:, 2:4] = 3 * direction
    by_text = stylizer.render(portrait, StylizeOptions(edits="1:3@2-3"))
    assert np.array_equal(by_text, stylizer.render(portrait.edited(change)))
    assert different(by_text, stylizer.render(portrait))
    with pytest.raises(OptionError, match="direction 99; accepted are 0 .. 15"):
        stylizer.render(portrait, StylizeOptions(edits="99:1"))
    with pytest.raises(OptionError, match="layers"):
        stylizer.render(portrait, StylizeOptions(edits="0:1@0-18"))


def test_directions_of_the_pack_go_first(packs):
    factor = torch.linalg.qr(torch.randn(CODE, CODE, generator=torch.Generator().manual_seed(2)))[0]
    add_to_base(packs, {DIRECTIONS_FILE: {"directions": factor}})
    found = read_base(load_pack(packs / "base"), RUNTIME).directions
    torch.testing.assert_close(torch.stack(found), factor.half().float().T)
    add_to_base(packs, {DIRECTIONS_FILE: {"directions": factor[:3]}})
    with pytest.raises(PackError, match=r"shape \[3, 16\]; \[16, 16\] is needed"):
        _ = read_base(load_pack(packs / "base"), RUNTIME).directions
