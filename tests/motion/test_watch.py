"""Known faces are looked at again; frames are searched every few, and at once if unsure."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import pytest

from engine.library import StyleLibrary
from engine.pipeline import Stylizer
from motion.media import Frame
from motion.watch import CONFIRMED, Watch
from tests.motion.test_follow import texture
from tests.motion.test_temporal import RUNTIME, face
from tests.packs import write_packs

EVERY = 4


@dataclass
class Detector:
    """Finds what is there now; `searched` and `looked` are the frames it was asked in."""

    there: list = field(default_factory=list)
    frame: int = 0
    searched: list = field(default_factory=list)
    looked: list = field(default_factory=list)

    def __call__(self, rgb):
        self.searched.append(self.frame)
        return list(self.there)

    def again(self, rgb, faces):
        self.looked.append(self.frame)
        centres = np.array([now.landmarks.mean(0) for now in self.there]).reshape(-1, 2)
        return [
            replace(old, landmarks=self.there[int(nearest.argmin())].landmarks)
            for old in faces
            if (nearest := np.hypot(*(centres - old.landmarks.mean(0)).T)).min(initial=99) < 15
        ]


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])


@pytest.fixture
def detector():
    return Detector()


@pytest.fixture
def watch(library, detector):
    return Watch(Stylizer.load("cartoon", library, RUNTIME, detector), EVERY)


def seen(watch, detector, there, pictures=None):
    """Show a clip whose faces are `there` in each frame, by default a picture that rests."""
    still = texture(120, 160)
    sightings = []
    for index, faces in enumerate(there):
        detector.there, detector.frame = faces, index
        rgb = still if pictures is None else pictures[index]
        sightings.append(watch(Frame(index, Fraction(index, 30), rgb)))
    return sightings


def test_a_known_face_is_searched_for_every_few_frames(watch, detector):
    there = [[face(60 + i)] for i in range(12)]
    sightings = seen(watch, detector, there)
    assert detector.searched == [0, 1, 2, 6, 10], "until it is confirmed, then every fourth"
    assert detector.looked == list(range(12)), "the search does not make landmarks jump"
    for sighting, faces in zip(sightings, there, strict=True):
        assert list(sighting.faces) == [0]
        assert np.array_equal(sighting.faces[0].landmarks, faces[0].landmarks)


def test_somebody_new_is_found_by_the_next_search_and_then_searched_for(watch, detector):
    there = [[face(40, size=8)]] * 7 + [[face(40, size=8), face(110, size=8)]] * 8
    sightings = seen(watch, detector, there)
    first = next(i for i, sighting in enumerate(sightings) if 1 in sighting.faces)
    assert 7 <= first < 7 + EVERY
    assert detector.searched[-CONFIRMED:] == list(range(first, first + CONFIRMED))


def test_a_lost_face_is_searched_for_at_once(watch, detector):
    sightings = seen(watch, detector, [[face()]] * 5 + [[]] * 2 + [[face()]] * 3)
    assert [list(s.faces) for s in sightings[4:]] == [[0], [], [], [0], [0], [0]]
    assert {5, 6, 7} <= set(detector.searched)


def test_without_a_movement_that_is_certain_the_frame_is_searched(watch, detector):
    pictures = [texture(120, 160, seed=0)] * 4 + [np.full((120, 160, 3), 128, np.uint8)] * 2
    seen(watch, detector, [[face()]] * 6, pictures)
    assert {4, 5} <= set(detector.searched)


def test_two_tracks_never_follow_one_face(watch, detector):
    apart = [face(50, size=8), face(75, size=8)]
    seen(watch, detector, [apart] * 4 + [[face(62, size=8)]] * 2)
    assert 4 in detector.searched


def test_a_cut_begins_anew(watch, detector):
    pictures = [texture(120, 160)] * 5 + [texture(120, 160, 3) // 4] * 3
    sightings = seen(watch, detector, [[face()]] * 8, pictures)
    assert [s.is_cut for s in sightings] == [False] * 5 + [True] + [False] * 2
    assert [list(s.faces) for s in sightings] == [[0]] * 5 + [[1]] * 3
    assert {5, 6, 7} <= set(detector.searched)


def test_a_detector_that_only_searches_searches_each_frame(library):
    frames = []
    stylizer = Stylizer.load("cartoon", library, RUNTIME, lambda rgb: frames.append(1) or [face()])
    watch = Watch(stylizer)
    for index in range(6):
        watch(Frame(index, Fraction(index, 30), texture(120, 160)))
    assert len(frames) == 6


def test_a_restored_watch_sees_the_same(library, detector, watch):
    pictures = [np.roll(texture(120, 160), i, 1) for i in range(12)]
    there = [[face(60 + i)] for i in range(12)]
    whole = seen(watch, detector, there, pictures)
    other = Watch(watch._stylizer, EVERY)
    other.restore(whole[4].state)
    again = seen(other, detector, there, pictures)
    assert all(not sighting.faces for sighting in again[:5]), "known from before"
    for a, b in zip(whole[5:], again[5:], strict=True):
        assert np.array_equal(a.faces[0].landmarks, b.faces[0].landmarks)
        assert np.array_equal(a.movements[0], b.movements[0])
    assert whole[-1].state["due"] == again[-1].state["due"]
