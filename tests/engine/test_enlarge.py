"""The upscaler, and where drawings are enlarged by it."""

import copy
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.card import UPSCALER_FILE
from engine.enlarge import enlarged
from engine.errors import CheckpointError, PackError
from engine.image import resize
from engine.library import StyleLibrary
from engine.models.upscaler import Upscaler, upscaler_from_state
from engine.options import StylizeOptions
from engine.pack import load_pack, save_pack
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from motion.media import Frame
from motion.temporal import TemporalOptions, stylize
from tests.motion.test_follow import texture
from tests.motion.test_temporal import face
from tests.packs import write_packs

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


def with_tail(seed=0, channels=8):
    torch.manual_seed(seed)
    network = Upscaler(channels, 2)
    torch.nn.init.normal_(network.tail.weight, std=0.05)
    return network


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = write_packs(tmp_path_factory.mktemp("packs"))
    pack = load_pack(folder / "base")
    save_pack(pack.folder, pack.card, {UPSCALER_FILE: with_tail().state_dict()})
    return StyleLibrary([folder])


@pytest.fixture(scope="module")
def stylizer(library):
    return Stylizer.load("cartoon", library, RUNTIME, lambda rgb: [face()])


def test_untrained_it_is_bicubic_and_its_sizes_are_read_off_the_weights():
    x = torch.rand(2, 3, 6, 10) * 2 - 1
    bicubic = F.interpolate(x, scale_factor=2, mode="bicubic")
    torch.testing.assert_close(Upscaler(8, 1)(x), bicubic)
    network = with_tail()
    again = upscaler_from_state(network.state_dict())
    torch.testing.assert_close(again(x), network(x))
    assert not torch.allclose(again(x), bicubic, atol=1e-3)


def test_a_correction_stays_where_its_pixels_are():
    """Folding and unfolding agree about places: a spot changes what lies around it only."""
    network, x = with_tail(), torch.zeros(1, 3, 32, 32)
    spot = x.clone()
    spot[:, :, 20, 8] = 1
    changed = (network(spot) - network(x)).abs().sum(1)[0] > 1e-7
    rows, columns = changed.nonzero().T
    reach = 2 * 2 * 4 + 4  # pixels of the result: four convolutions over cells of two pixels
    assert (rows - 40).abs().max() <= reach and (columns - 16).abs().max() <= reach


def test_other_files_are_refused(library, tmp_path):
    with pytest.raises(CheckpointError, match="no upscaler in these 1 tensors"):
        upscaler_from_state({"out.weight": torch.zeros(1)})
    folder = write_packs(tmp_path)
    pack = load_pack(folder / "base")
    save_pack(pack.folder, pack.card, {UPSCALER_FILE: {"head.weight": torch.zeros(8, 12, 3, 3)}})
    with pytest.raises(PackError, match=rf"{UPSCALER_FILE}.*tail.weight is missing"):
        Stylizer.load("cartoon", StyleLibrary([folder]), RUNTIME)


def test_only_what_fits_is_enlarged(stylizer):
    base, drawing = stylizer.style.base, texture(32, 32)
    assert enlarged(drawing, base).shape == (64, 64, 3)
    odd, large = texture(31, 32), texture(1024, 1024)
    assert enlarged(odd, base) is odd and enlarged(large, base) is large
    assert enlarged(drawing, replace(base, upscaler=None)) is drawing


@pytest.mark.parametrize(("size", "is_finer"), [(10.0, True), (2.0, False)])
def test_faces_larger_than_their_drawings_are_finer(stylizer, size, is_finer):
    """A face of 10 px from an eye to the nose spans about 80 px, more than the 32 drawn of it."""
    photo, found, options = texture(240, 240), [face(size=size)], StylizeOptions(surroundings=0.0)
    style = copy.copy(stylizer.style)
    style.base = replace(style.base, upscaler=None)
    fine, plain = (one(photo, options, faces=found) for one in (stylizer, Stylizer(style)))
    assert np.array_equal(fine, plain) != is_finer
    assert np.abs(fine.astype(int) - plain).mean() < 5, "the same drawing in the same place"


def test_a_crop_of_a_chosen_size_is_enlarged(stylizer):
    portrait = stylizer.encode(texture(240, 240))[0]
    drawn = stylizer.render(portrait)
    whole = stylizer.crop(portrait, drawn, StylizeOptions(output_size=64))
    assert np.array_equal(whole, enlarged(drawn, stylizer.style.base))
    for size in (0, 40):
        plain = stylizer.crop(portrait, drawn, StylizeOptions(output_size=size))
        assert np.array_equal(plain, resize(drawn, size or 32, size or 32))


def test_a_face_of_a_film_stays_as_fine_as_it_was(stylizer):
    """It comes nearer, from as large as its drawing to three times as large."""
    frames = [Frame(i, Fraction(i, 30), texture(240, 240)) for i in range(6)]
    sizes, asked = [4.0, 5.0, 6.0, 8.0, 10.0, 12.0], []
    real = Stylizer.paste

    def paste(self, *arguments, fine=None):
        asked.append(fine)
        return real(self, *arguments, fine=fine)

    for way, expected in ((sizes, False), (sizes[::-1], True)):
        found = iter([[face(size=size)] for size in way])
        own = Stylizer(stylizer.style, lambda rgb, found=found: next(found))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Stylizer, "paste", paste)
            list(stylize(own, frames, None, TemporalOptions(look_ahead=2)))
        assert asked == [expected] * 6
        asked.clear()
