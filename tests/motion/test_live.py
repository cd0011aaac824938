"""A live face is searched for now and then, followed between, held steady; drawn either way."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from engine.align import face_quad
from engine.detect import Face
from engine.library import StyleLibrary
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from motion.live import LiveFace, LiveSettings, draw_live
from tests.engine.test_student import give_student
from tests.packs import RESOLUTION, write_packs

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
FRAME = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)


def face(x: float, y: float = 60.0, size: float = 30.0) -> Face:
    points = np.array([[-0.5, 0], [0.5, 0], [0, 0.6], [-0.4, 1], [0.4, 1]]) * size + (x, y)
    box = np.array([x - size, y - size, x + size, y + 1.6 * size])
    return Face(points.astype(np.float32), box.astype(np.float32), 1.0)


@dataclass
class Script:
    """A detector that finds what it is told, and counts."""

    found: list = field(default_factory=list)
    still_there: list = field(default_factory=list)
    searches: int = 0

    def __call__(self, rgb: np.ndarray) -> list:
        self.searches += 1
        return list(self.found)

    def again(self, rgb: np.ndarray, faces: list) -> list:
        return list(self.still_there)


def test_searches_only_now_and_then():
    script, live = Script([face(80)], [face(80)]), LiveFace(search_every=10)
    seen = [live.see(FRAME, i / 10, script) for i in range(21)]
    assert all(found is not None for found in seen) and script.searches == 3


def test_a_lost_face_is_searched_for_at_once():
    script, live = Script([face(80)], []), LiveFace(search_every=100)
    assert live.see(FRAME, 0.0, script) is not None
    script.found = []
    assert live.see(FRAME, 0.1, script) is None and script.searches == 2
    script.found = [face(40)]
    found = live.see(FRAME, 0.2, script)
    np.testing.assert_allclose(found.landmarks, face(40).landmarks, atol=1e-3)


def test_a_resting_face_is_held_steady_and_a_moving_one_followed():
    random, live = np.random.default_rng(1), LiveFace(search_every=1000)
    script = Script([face(80)])
    shaking, steady = [], []
    for i in range(60):
        script.still_there = [face(80 + random.normal(0, 0.6))]
        shaking.append(script.still_there[0].landmarks if i else face(80).landmarks)
        steady.append(live.see(FRAME, i / 15, script).landmarks)
    assert np.std(steady[20:], axis=0).mean() < 0.75 * np.std(shaking[20:], axis=0).mean()
    for i in range(10):
        script.still_there = [face(80 + 4.0 * i)]
        found = live.see(FRAME, (60 + i) / 15, script)
    assert abs(found.landmarks.mean(0)[0] - face(116).landmarks.mean(0)[0]) < 4


def test_stays_with_the_same_person():
    script, live = Script([face(40, size=20)], [face(40, size=20)]), LiveFace(search_every=1)
    live.see(FRAME, 0.0, script)
    script.found = [face(120, size=25), face(41, size=20)]
    assert live.see(FRAME, 0.1, script).landmarks.mean(0)[0] < 60
    script.found = [face(110, size=30), face(41, size=15)]  # somebody sat down in front
    assert live.see(FRAME, 0.2, script).landmarks.mean(0)[0] > 90


def test_after_a_pause_nothing_is_carried_on():
    script, live = Script([face(80)], [face(80)]), LiveFace(search_every=1000)
    live.see(FRAME, 0.0, script)
    script.found = [face(50)]
    found = live.see(FRAME, 60.0, script)
    np.testing.assert_allclose(found.landmarks, face(50).landmarks, atol=1e-3)


def test_no_picture_is_kept():
    script, live = Script([face(80)], [face(80)]), LiveFace()
    live.see(FRAME, 0.0, script)
    kept = [v for v in vars(live).values() if isinstance(v, np.ndarray)]
    assert not any(v.size > 100 for v in kept) and "rgb" not in vars(live)


def stylizers(folder: Path) -> dict[str, Stylizer]:
    """One style with a student and one without."""
    write_packs(folder, ["comic", "cartoon"])
    give_student(folder / "comic")
    library = StyleLibrary([folder])
    return {name: Stylizer(library.load(name, RUNTIME)) for name in library.names()}


def test_draws_with_and_without_a_student(tmp_path: Path, monkeypatch):
    for name, stylizer in stylizers(tmp_path).items():
        encoded = []
        encode = stylizer.encode
        monkeypatch.setattr(
            stylizer, "encode", lambda *a, e=encode, k=encoded: k.append(1) or e(*a)
        )
        crop = draw_live(stylizer, FRAME, face(80))
        assert crop.shape == (RESOLUTION, RESOLUTION, 3) and crop.dtype == np.uint8
        whole = draw_live(stylizer, FRAME, face(80), LiveSettings(whole_photo=True))
        assert whole.shape == FRAME.shape and not np.array_equal(whole, FRAME)
        assert np.array_equal(whole[:3, :3], FRAME[:3, :3])  # far from the face
        assert len(encoded) == (0 if name == "comic" else 2)


def test_the_face_is_cut_out_where_it_is(tmp_path: Path, monkeypatch):
    """A student that changes nothing gives the square of the face back."""
    stylizer = stylizers(tmp_path)["comic"]
    monkeypatch.setattr("motion.live.draw_crops", lambda style, crops: crops)
    ramp = np.dstack([np.tile(np.arange(160), (120, 1))] * 3).astype(np.uint8)
    crop = draw_live(stylizer, ramp, face(80, size=20))
    left, right = face_quad(face(80, size=20).landmarks)[[0, 3], 0]
    expected = left + (np.arange(RESOLUTION) + 0.5) * (right - left) / RESOLUTION
    inside = (expected > 2) & (expected < 157)
    np.testing.assert_allclose(crop[16, inside, 0], expected[inside], atol=2)


def test_eyes_are_as_large_as_the_card_says(tmp_path: Path, monkeypatch):
    stylizer = stylizers(tmp_path)["comic"]
    monkeypatch.setattr("motion.live.draw_crops", lambda style, crops: crops)
    plain = draw_live(stylizer, FRAME, face(80))
    stylizer.card = replace(stylizer.card, defaults={**stylizer.card.defaults, "eyes": 1.4})
    assert (draw_live(stylizer, FRAME, face(80)) != plain).any()
