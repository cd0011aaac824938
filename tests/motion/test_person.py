"""One person over time: movement passes untouched, trembling does not, identity stays."""

from dataclasses import replace

import numpy as np
import pytest

from engine.library import StyleLibrary
from engine.portraits import encode_face
from engine.warp import moved_by
from motion.person import Person
from motion.temporal import TemporalOptions
from tests.motion.test_follow import texture
from tests.motion.test_temporal import RUNTIME, face
from tests.packs import write_packs

JUMPS = 6.0 * np.array([0, 1, -1, 1, 1, -1, 0, 1, -1, -1, 1, 0])  # pixels to the side


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    packs = write_packs(tmp_path_factory.mktemp("packs"))
    return StyleLibrary([packs]).load("cartoon", RUNTIME).base


def shift(x):
    return np.array([[1, 0, x], [0, 1, 0], [0, 0, 1.0]])


def watched(trembling, temporal):
    """A person whose head jumps, seen by a detector that is off by so many pixels."""
    random, person = np.random.default_rng(0), Person(temporal, 37.0, 8)
    for index, jump in enumerate(JUMPS):
        if index:
            person.follow(index, shift(jump - JUMPS[index - 1]))
        true = face(60 + jump)
        noise = random.normal(0, 1, true.landmarks.shape).astype(np.float32)
        person.see(index, index / 30, replace(true, landmarks=true.landmarks + trembling * noise))
    return person


def encoded(person, picture, index, base):
    found = person.face_in(picture, index, index / 30)
    portrait = encode_face(picture, found, base, "z+")
    person.learn(index, index / 30, portrait)
    return portrait


@pytest.mark.parametrize("look_ahead", [0, 8])
def test_a_jump_passes_at_once(look_ahead):
    person = watched(0.0, TemporalOptions(look_ahead=look_ahead))
    last = len(JUMPS) - 1
    found = person.face_in(texture(120, 160), last, last / 30)
    assert np.abs(found.landmarks - face(60 + JUMPS[-1]).landmarks).max() < 1e-3


def test_trembling_is_smoothed_while_the_head_jumps():
    errors = []
    for steadiness in (0.0, 1.0):
        person = watched(1.0, TemporalOptions(steadiness=steadiness))
        found = [moved_by(shift(jump), person.points.at(i / 30)) for i, jump in enumerate(JUMPS)]
        true = [face(60 + jump).landmarks for jump in JUMPS]
        errors.append(np.abs([f[:5] - t for f, t in zip(found, true, strict=True)][2:-2]).mean())
    assert errors[1] < 0.75 * errors[0]


def test_who_is_drawn_stays_and_the_expression_does_not(base):
    person = watched(0.0, TemporalOptions(identity=1.0, smoothing=0.0))
    pictures = [texture(120, 160, seed) for seed in range(4)]
    placed = [encoded(person, picture, 8 + i, base) for i, picture in enumerate(pictures)]
    steady = [person.steadied(p, (8 + i) / 30, 6).ws[0] for i, p in enumerate(placed)]
    for portrait, ws in zip(placed, steady, strict=True):
        assert np.allclose(ws[:6], portrait.ws[0, :6], atol=1e-5)
        assert np.allclose(ws[6:], steady[0][6:], atol=1e-5)
    assert not np.allclose(placed[0].ws[0, 6:], placed[1].ws[0, 6:], atol=1e-3)


def test_the_attribute_is_chosen_once(base):
    person = watched(0.0, TemporalOptions())
    portrait = encoded(person, texture(120, 160), 8, base)
    chosen = []
    for likely in (0.6, 0.3):
        person.attributes = {"first": likely, "second": 1 - likely}
        chosen.append(person.steadied(portrait, 8 / 30, 6).attributes)
    assert chosen == [{"first": 1.0, "second": 0.0}] * 2
