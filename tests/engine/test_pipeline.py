"""Stylizer: encode once, render often, no state, no surprise on odd photos."""

import threading
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch

from engine import pipeline
from engine.detect import EmbeddedDetector, Face, face_from_points
from engine.errors import Cancelled, DetectorError, ImageError, OptionError, StylizeError
from engine.finish import labelled
from engine.library import StyleLibrary
from engine.pipeline import StylizeOptions, Stylizer, picture_distance
from engine.runtime import Runtime
from tests.packs import CODE, NUM_WS, RESOLUTION, FixedFaces, write_base, write_packs, write_style

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")


def photo(height: int = 96, width: int = 128, seed: int = 0) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return np.kron(small, np.ones((8, 8, 1), np.uint8))[:height, :width].copy()


def face(x: float = 64, y: float = 48, size: float = 12) -> Face:
    return face_from_points((x - size, y), (x + size, y), (x, y + 2 * size))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])


@pytest.fixture(scope="module")
def stylizer(library):
    return Stylizer.load("cartoon", library, RUNTIME, FixedFaces((face(),)))


@pytest.fixture(scope="module")
def portrait(stylizer):
    return stylizer.encode(photo())[0]


def test_photo_to_picture(stylizer):
    rgb = photo()
    before = rgb.copy()
    picture = stylizer(rgb)
    assert picture.shape == rgb.shape and picture.dtype == np.uint8
    assert not np.array_equal(picture, rgb)
    assert np.array_equal(rgb, before), "the photo itself was painted on"


def test_three_steps_are_the_one(stylizer):
    rgb, options = photo(), StylizeOptions(strength=0.6, color="keep")
    portraits = stylizer.encode(rgb)
    crops = [stylizer.render(p, options) for p in portraits]
    steps = stylizer.paste(rgb, portraits, crops, options)
    assert np.array_equal(steps, stylizer(rgb, options))


def test_portrait_is_a_value(portrait):
    assert portrait.mu.shape == portrait.logvar.shape == (1, NUM_WS, CODE)
    assert portrait.ws.shape == (1, NUM_WS, CODE) and portrait.ws.dtype == torch.float32
    assert portrait.face.crop.shape == (RESOLUTION, RESOLUTION, 3)
    with pytest.raises(FrozenInstanceError):
        portrait.ws = portrait.mu


def test_no_face_leaves_the_photo_alone(library):
    blind = Stylizer.load("cartoon", library, RUNTIME, FixedFaces())
    rgb = photo()
    assert blind.encode(rgb) == []
    for options in (StylizeOptions(), StylizeOptions(whole_photo=False)):
        picture = blind(rgb, options)
        assert np.array_equal(picture, rgb) and picture is not rgb


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (7, 5)])
def test_odd_sizes(stylizer, shape):
    rgb = np.zeros((*shape, 3), np.uint8)
    assert stylizer(rgb, faces=[]).shape == rgb.shape


def test_faces_that_cannot_be_cut_out_are_not_found(library):
    flat = replace(face(), landmarks=np.zeros((5, 2), np.float32))
    outside = face(5000, 5000)
    stylizer = Stylizer.load("cartoon", library, RUNTIME, FixedFaces((flat, outside, face())))
    assert len(stylizer.detect(photo())) == 1


@pytest.mark.parametrize(
    "rgb", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_only_pictures_are_stylized(stylizer, rgb):
    with pytest.raises(ImageError, match=r"uint8 RGB \[H, W, 3\] is expected"):
        stylizer(rgb)


def test_selected_faces_only(library):
    two = (face(32, 48, 8), face(96, 48, 8))
    stylizer = Stylizer.load("cartoon", library, RUNTIME, FixedFaces(two))
    rgb = photo()
    picture = stylizer(rgb, StylizeOptions(faces="1"))
    assert np.array_equal(picture[:, :56], rgb[:, :56])
    assert not np.array_equal(picture[:, 72:], rgb[:, 72:])
    assert np.array_equal(stylizer(rgb, StylizeOptions(faces="7")), rgb)


def test_crop_and_output_size(stylizer):
    rgb = photo()
    crop = stylizer(rgb, StylizeOptions(whole_photo=False))
    assert crop.shape == (RESOLUTION, RESOLUTION, 3)
    assert stylizer(rgb, StylizeOptions(whole_photo=False, output_size=50)).shape == (50, 50, 3)
    assert stylizer(rgb, StylizeOptions(output_size=64)).shape == (48, 64, 3)


def test_kept_colours_are_those_of_the_photo(stylizer):
    rgb = np.full((96, 128, 3), (200, 60, 30), np.uint8) + photo() // 16
    styled = stylizer(rgb, StylizeOptions(whole_photo=False))
    kept = stylizer(rgb, StylizeOptions(whole_photo=False, color="keep"))
    wanted = rgb.reshape(-1, 3).mean(0)
    assert np.abs(kept.reshape(-1, 3).mean(0) - wanted).max() < 12
    assert np.abs(styled.reshape(-1, 3).mean(0) - wanted).max() > 12


def test_strength_zero_is_the_source_generator(stylizer, library, portrait):
    comic = Stylizer.load("comic", library, RUNTIME, FixedFaces())
    plain = StylizeOptions(strength=0)
    assert np.array_equal(stylizer.render(portrait, plain), comic.render(portrait, plain))
    assert not np.array_equal(stylizer.render(portrait), comic.render(portrait))


def test_truncation_pulls_everybody_to_the_average(stylizer, portrait):
    other = replace(portrait, ws=portrait.ws.flip(-1))
    average = StylizeOptions(truncation_psi=0)
    assert np.array_equal(stylizer.render(portrait, average), stylizer.render(other, average))
    assert not np.array_equal(stylizer.render(portrait), stylizer.render(other))


def test_attribute_path_by_name(stylizer, portrait):
    first = stylizer.render(portrait, StylizeOptions(attribute="first"))
    assert np.array_equal(stylizer.render(portrait), first)
    second = stylizer.render(portrait, StylizeOptions(attribute="second"))
    assert not np.array_equal(second, first)
    with pytest.raises(OptionError, match="attribute is 'third'"):
        stylizer.render(portrait, StylizeOptions(attribute="third"))


def test_the_seed_decides_the_samples(stylizer, portrait):
    options = StylizeOptions(samples=4, seed=3)
    first = stylizer.render_samples(portrait, options)
    assert first.shape == (4, RESOLUTION, RESOLUTION, 3)
    assert np.array_equal(first, stylizer.render_samples(portrait, options))
    assert not np.array_equal(first, stylizer.render_samples(portrait, replace(options, seed=4)))
    assert len({sample.tobytes() for sample in first}) == 4
    longer = stylizer.render_samples(portrait, replace(options, samples=6))
    assert np.array_equal(longer[:4], first), "more samples only add to the others"


def test_the_most_typical_sample_wins(stylizer, portrait):
    options = StylizeOptions(samples=5)
    pictures = stylizer.render_samples(portrait, options)
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1
    distances = [sum(float(picture_distance(a[None], b[None])) for b in x) for a in x]
    typical = pictures[int(np.argmin(distances))]
    assert np.array_equal(stylizer.render(portrait, options), typical)


def test_another_distance_can_be_injected(library, portrait):
    darkest = Stylizer(
        library.load("cartoon", RUNTIME), FixedFaces(), lambda a, b: a.mean(dim=(1, 2, 3))
    )
    options = StylizeOptions(samples=5)
    pictures = darkest.render_samples(portrait, options)
    chosen = darkest.render(portrait, options)
    assert chosen.mean() == min(picture.mean() for picture in pictures)


def test_distance_is_zero_for_equals_and_grows():
    a = torch.rand(2, 3, 32, 32) * 2 - 1
    near, far = a + 0.01 * torch.randn_like(a), a.flip(-1)
    assert torch.equal(picture_distance(a, a), torch.zeros(2))
    assert (picture_distance(a, near) < picture_distance(a, far)).all()


def test_cancelled_before_anything_is_drawn(stylizer, portrait):
    with pytest.raises(Cancelled):
        stylizer.encode(photo(), should_stop=lambda: True)
    with pytest.raises(Cancelled):
        stylizer.render(portrait, should_stop=lambda: True)


def test_cancelled_between_samples(stylizer, portrait):
    answers = iter([False, False, True])
    with pytest.raises(Cancelled):
        stylizer.render_samples(portrait, StylizeOptions(samples=8), lambda: next(answers))


def test_two_threads_draw_what_one_does(library):
    rgb = [photo(seed=1), photo(seed=2)]
    options = [StylizeOptions(strength=0.4, samples=2), StylizeOptions(attribute="second")]
    stylizers = [
        Stylizer.load(name, library, RUNTIME, FixedFaces((face(),)))
        for name in ("cartoon", "comic")
    ]
    alone = [s(x, o) for s, x, o in zip(stylizers, rgb, options, strict=True)]
    together: dict[tuple[int, int], np.ndarray] = {}

    def work(index: int) -> None:
        for turn in range(4):
            together[index, turn] = stylizers[index](rgb[index], options[index])

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == 8
    assert all(np.array_equal(picture, alone[i]) for (i, _), picture in together.items())


def test_out_of_memory_has_a_remedy(stylizer, portrait, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 99 GB")

    monkeypatch.setattr(stylizer.style, "synthesize", exhausted)
    with pytest.raises(StylizeError, match="out of memory on cpu; choose fewer samples"):
        stylizer.render(portrait)


def test_a_portrait_of_another_base_is_refused(portrait, tmp_path):
    base = write_base(tmp_path, seed=7)
    write_style(tmp_path, base, "other")
    other = Stylizer.load("other", StyleLibrary([tmp_path]), RUNTIME, FixedFaces())
    with pytest.raises(StylizeError, match="encode the photo again"):
        other.render(portrait)


def test_without_a_detector_faces_are_placed_by_hand(library, monkeypatch):
    def nothing_here(network, **_):
        assert network is None
        raise DetectorError("no weights")

    monkeypatch.setattr(pipeline, "choose_detector", nothing_here)
    stylizer = Stylizer.load("cartoon", library, RUNTIME)
    with pytest.raises(DetectorError, match="no weights"):
        stylizer.detect(photo())
    assert len(stylizer.encode(photo(), [face()])) == 1


def test_styles_share_the_detector_of_their_base(tmp_path, monkeypatch):
    base = write_base(tmp_path, detector=True)
    for name in ("cartoon", "comic"):
        write_style(tmp_path, base, name)
    library = StyleLibrary([tmp_path])
    networks = []

    def choose(network, **_):
        networks.append(network)
        return EmbeddedDetector(network)

    monkeypatch.setattr(pipeline, "choose_detector", choose)
    for name in ("cartoon", "comic"):
        assert isinstance(Stylizer.load(name, library, RUNTIME).detect(photo()), list)
    assert networks == [library.load("comic", RUNTIME).base.detector]


def test_bfloat16_draws_nearly_the_same(library, portrait, stylizer):
    runtime = Runtime(torch.device("cpu"), torch.bfloat16, "test")
    half = Stylizer.load("cartoon", library, runtime, FixedFaces())
    a, b = stylizer.render(portrait).astype(int), half.render(portrait).astype(int)
    assert np.abs(a - b).mean() < 3


def test_label_is_written_once_and_only_where_something_was_drawn(stylizer):
    for options in (StylizeOptions(), StylizeOptions(whole_photo=False)):
        marked = stylizer(photo(), replace(options, ai_label=True))
        assert np.array_equal(marked, labelled(stylizer(photo(), options)))
    assert np.array_equal(stylizer(photo(), StylizeOptions(faces="7", ai_label=True)), photo())
