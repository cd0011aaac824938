"""Who somebody is, known before the first frame is drawn."""

from fractions import Fraction

import numpy as np
import pytest

from engine.library import StyleLibrary
from engine.pipeline import Stylizer
from motion.means import SAMPLE_SECONDS, Means, clip_means
from motion.media import Frame
from motion.temporal import Stabilizer, TemporalOptions
from tests.motion.test_follow import texture
from tests.motion.test_temporal import RUNTIME, Script, face
from tests.packs import write_packs

FOUND = [face(40, 40, 8), face(120, 40, 7)]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])


@pytest.fixture
def stylizer(library):
    return Stylizer.load("cartoon", library, RUNTIME, Script([list(FOUND) for _ in range(40)]))


def clip(num_frames):
    """Ten frames a second, each of them different."""
    pictures = [texture(120, 160, i % 7) // 2 + 60 for i in range(num_frames)]
    return [Frame(i, Fraction(i, 10), p.astype(np.uint8)) for i, p in enumerate(pictures)]


def test_means_of_everybody_over_some_frames(stylizer):
    frames = clip(21)
    means = clip_means(frames, stylizer)
    looked_at = frames[:: round(10 * SAMPLE_SECONDS)]
    assert len(stylizer._detector.faces) == 40 - len(looked_at)
    for there in FOUND:
        encoded = [stylizer.encode(frame.rgb, [there])[0].ws[0].numpy() for frame in looked_at]
        assert np.allclose(means.of(0, 1.03, there), np.mean(encoded, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("scene", "time", "there"),
    [(0, 1.0, face(80, 90, 5)), (1, 1.0, FOUND[0]), (0, 9.0, FOUND[0])],
    ids=["somewhere else", "another scene", "another time"],
)
def test_who_was_not_met_has_no_mean(stylizer, scene, time, there):
    assert clip_means(clip(11), stylizer).of(scene, time, there).size == 0


def test_nobody_in_the_clip(stylizer):
    stylizer._detector.faces = [[] for _ in range(9)]
    assert clip_means(clip(11), stylizer) is None


def drawn_codes(stylizer, frames, means, monkeypatch):
    """The codes that people are drawn from, all of who they are held: [n, L, w_dim]."""
    temporal, codes = TemporalOptions(identity=1.0, look_ahead=2), []
    stabilizer = Stabilizer(stylizer, None, temporal, {1: None}, batch=1)
    stabilizer.means, real = means, Stylizer.render_samples

    def render(self, portrait, options):
        codes.append(portrait.ws[0].numpy())
        return real(self, portrait, options)

    with monkeypatch.context() as patch:
        patch.setattr(Stylizer, "render_samples", render)
        for frame in frames:
            stabilizer.push(frame)
        stabilizer.flush()
    return np.stack(codes)


def test_people_are_drawn_alike_from_the_first_frame_on(stylizer, monkeypatch):
    frames = clip(12)
    means = clip_means(frames, stylizer)
    running, known = (drawn_codes(stylizer, frames, m, monkeypatch) for m in (None, means))
    drift = [np.abs(codes[0, 6:] - codes[-1, 6:]).max() for codes in (running, known)]
    assert drift[1] < 1e-5 < drift[0]
    assert np.allclose(known[0, 6:], means.of(0, 0.0, FOUND[0])[6:], atol=1e-5)
    assert np.abs(known[:, :6] - known[0, :6]).max() > 1e-3, "their expression is free"


def test_a_restart_keeps_the_means(stylizer):
    first, second = (Stabilizer(stylizer, None, TemporalOptions(look_ahead=2)) for _ in range(2))
    first.means = clip_means(clip(11), stylizer)
    for frame in clip(6):
        first.push(frame)
    second.restore(first.snapshot())
    assert isinstance(second.means, Means)
    assert np.array_equal(second.means.of(0, 0.2, FOUND[1]), first.means.of(0, 0.2, FOUND[1]))
