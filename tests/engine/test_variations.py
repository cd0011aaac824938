"""Variations: random looks of one style, around what they are drawn, and steps between them."""

import numpy as np
import pytest
import torch

from engine.library import StyleLibrary
from engine.pack import load_pack, save_pack
from engine.pipeline import StylizeOptions
from tests.engine.test_methods import RUNTIME, different, load, rendered
from tests.engine.test_pipeline import photo
from tests.packs import NUM_WS, PATHS, card, write_packs


@pytest.fixture
def packs(tmp_path):
    return write_packs(tmp_path)


@pytest.fixture
def library(packs):
    return StyleLibrary([packs])


def test_variations_are_looks_of_one_style(library):
    stylizer = load(library)
    plain = rendered(stylizer)
    first, again, second = (
        rendered(stylizer, StylizeOptions(variation=n, mix_layer=2)) for n in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert different(first, second) and different(first, plain)


def test_mix_layer_runs_from_all_style_to_all_photo(library):
    stylizer = load(library)
    code = stylizer.style.random_codes(7)
    all_style = stylizer.style.synthesize(code)[0]
    options = StylizeOptions(variation=7, style_psi=1.0, mix_layer=0, variation_center="average")
    picture = rendered(stylizer, options)
    expected = ((all_style + 1) * 127.5).round().clamp(0, 255).permute(1, 2, 0).numpy()
    assert np.abs(picture - expected).max() <= 1
    untouched = rendered(stylizer, StylizeOptions(variation=7, mix_layer=NUM_WS))
    assert np.array_equal(untouched, rendered(stylizer))


def test_variations_around_the_photo_go_away_from_its_own_codes(library):
    stylizer = load(library)
    portrait = stylizer.encode(photo())[0]
    style, w_avg = stylizer.style, stylizer.style.mapping.w_avg
    options = StylizeOptions(variation=7, style_psi=0.5, mix_layer=0)
    look = stylizer.look(portrait, options)
    expected = portrait.ws + 0.5 * (style.random_codes(7) - w_avg)
    torch.testing.assert_close(look.ws, expected, atol=1e-5, rtol=1e-5)
    assert np.array_equal(
        stylizer.render(portrait, options), stylizer.render(portrait, options, look=look)
    )
    none = StylizeOptions(variation=7, style_psi=0.0, mix_layer=0)
    torch.testing.assert_close(stylizer.look(portrait, none).ws, portrait.ws, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(stylizer.look(portrait, StylizeOptions()).ws, portrait.ws)


def test_steps_lead_from_one_variation_to_another(library):
    style = load(library).style
    first, second = style.random_codes(3), style.random_codes(4)
    torch.testing.assert_close(style.random_codes(3, steps=[(4, 0.0)]), first)
    torch.testing.assert_close(style.random_codes(3, steps=[(4, 1.0)]), second)
    near, far = (style.random_codes(3, steps=[(4, share)]) for share in (0.2, 0.6))
    assert 0 < (near - first).norm() < (far - first).norm()
    assert not torch.equal(style.random_codes(3, steps=[(4, 0.2), (5, 0.2)]), near)


def test_variety_zero_is_the_average_look(library):
    style = load(library).style
    assert torch.allclose(style.random_codes(1, 0.0), style.random_codes(2, 0.0), atol=1e-6)
    assert torch.allclose(style.random_codes(1, 0.0)[0, 0], style.mapping.w_avg, atol=1e-6)


def test_a_z_plus_style_draws_one_code_per_layer(packs, library):
    assert library.load("cartoon", RUNTIME).random_codes(1).std(dim=1).max() == 0
    pack = load_pack(packs / "cartoon")
    fields = {"base": pack.card.base, "attributes": PATHS, "variation_space": "z+"}
    save_pack(packs / "cartoon", card("cartoon", "blended", **fields), {})
    style = StyleLibrary([packs]).load("cartoon", RUNTIME)
    assert style.random_codes(1).std(dim=1).max() > 0
