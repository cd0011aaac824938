"""Detail: what a photo shows beyond its codes, from the network to the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.card import DETAIL_FILE
from engine.errors import CheckpointError, ImageError, PackError
from engine.library import StyleLibrary
from engine.models.detail import DetailEncoder, detail_from_state
from engine.options import StylizeOptions
from engine.pack import load_pack, save_pack
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from tests.demo.page import face
from tests.packs import FixedFaces, write_packs

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


def trained(out_channels: int = 8) -> DetailEncoder:
    torch.manual_seed(3)
    network = DetailEncoder(out_channels, (8, 12), (2, 1, 1))
    torch.nn.init.normal_(network.out.weight)
    return network


def add_detail(folder, network: DetailEncoder) -> None:
    save_pack(folder, load_pack(folder).card, {DETAIL_FILE: network.state_dict()})


@pytest.fixture
def packs(tmp_path):
    folder = write_packs(tmp_path)
    add_detail(folder / "base", trained())
    return folder


@pytest.fixture
def stylizer(packs):
    style = StyleLibrary([packs]).load("cartoon", RUNTIME)
    return Stylizer(style, FixedFaces((face(60, 50, 30),)))


@pytest.fixture
def photo():
    return np.random.default_rng(0).integers(0, 255, (120, 140, 3), np.uint8)


def test_untrained_it_changes_nothing_and_shapes_fit():
    photo, drawn = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 8, 8)
    assert not DetailEncoder(8)(photo, drawn).any()
    assert trained()(photo, drawn).shape == (2, 8, 8, 8)


def test_sizes_are_read_off_the_weights():
    network = trained()
    again = detail_from_state(network.state_dict())
    pictures = torch.randn(1, 3, 32, 32), torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(again(*pictures), network(*pictures))
    with pytest.raises(CheckpointError, match="no detail encoder in these 1 tensors"):
        detail_from_state({"weight": torch.zeros(1)})
    broken = {k: v for k, v in network.state_dict().items() if k != "fold.bias"}
    with pytest.raises(CheckpointError, match=r"fold\.bias is missing"):
        detail_from_state(broken)


def test_pictures_must_fit():
    with pytest.raises(ImageError, match=r"got \[1, 3, 32, 32\] and \[1, 3, 16, 16"):
        trained()(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ImageError, match="R a multiple of 8"):
        trained()(torch.zeros(1, 3, 36, 36), torch.zeros(1, 3, 9, 9))


def test_likeness_scales_what_only_the_photo_shows(stylizer, photo):
    (portrait,) = stylizer.encode(photo)
    assert portrait.detail.shape == (1, 8, 8, 8)
    pictures = [stylizer.render(portrait, StylizeOptions(likeness=x)) for x in (0, 0.5, 1)]
    plain = stylizer.render(replace(portrait, detail=None), StylizeOptions())
    assert np.array_equal(pictures[0], plain)
    assert not np.array_equal(pictures[1], plain) and not np.array_equal(*pictures[1:])
    average = StylizeOptions(truncation_psi=0.0)  # of nobody: nothing of a photo is in it
    other = replace(portrait, detail=-portrait.detail)
    assert np.array_equal(stylizer.render(portrait, average), stylizer.render(other, average))


def test_detail_reaches_a_swapped_style_through_the_source(stylizer, photo):
    (portrait,) = stylizer.encode(photo)
    options = StylizeOptions(swap_resolution=16)  # above the 8 px of the detail
    full, none = (stylizer.render(portrait, replace(options, likeness=x)) for x in (1.0, 0.0))
    assert not np.array_equal(full, none)


def test_a_base_without_it_draws_as_before(tmp_path, photo):
    style = StyleLibrary([write_packs(tmp_path)]).load("cartoon", RUNTIME)
    (portrait,) = Stylizer(style, FixedFaces((face(60, 50, 30),))).encode(photo)
    assert portrait.detail is None


def test_a_detail_encoder_of_another_base_is_refused(packs):
    add_detail(packs / "base", trained(9))
    with pytest.raises(PackError, match="answers 9 channels; the generator has 8 at 8 px"):
        StyleLibrary([packs]).load("cartoon", RUNTIME)
