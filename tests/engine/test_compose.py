"""Drawings put back into a photo: what surrounds them, and many of them."""

import weakref

import numpy as np
import pytest

from engine.library import StyleLibrary
from engine.pipeline import StylizeOptions, Stylizer
from tests.engine.test_pipeline import RUNTIME, face, photo
from tests.packs import FixedFaces, write_packs


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])


def test_surroundings_take_on_the_tones_of_the_drawing(library):
    """The same face, whatever surrounds it; further away, the change that the face shows."""
    stylizer = Stylizer.load("cartoon", library, RUNTIME, FixedFaces((face(30, 30, 5),)))
    rgb = photo()
    plain = stylizer(rgb)
    toned = stylizer(rgb, StylizeOptions(surroundings=1.0))
    half = stylizer(rgb, StylizeOptions(surroundings=0.5))
    kept = stylizer(rgb, StylizeOptions(surroundings=1.0, color="keep"))
    crop = stylizer(rgb, StylizeOptions(surroundings=1.0, whole_photo=False))
    corner = np.s_[-8:, -8:]
    assert (plain[corner] == rgb[corner]).all() and (kept[corner] == rgb[corner]).all()
    change = [np.abs(x[corner].astype(int) - rgb[corner]).mean() for x in (half, toned)]
    assert 0 < change[0] < change[1]
    assert (crop == stylizer(rgb, StylizeOptions(whole_photo=False))).all()
    assert (toned[30, 30] == plain[30, 30]).all()


def test_forty_faces_one_at_a_time(library, monkeypatch):
    crowd = tuple(face(40 + 70 * (i % 8), 40 + 70 * (i // 8)) for i in range(40))
    stylizer = Stylizer.load("cartoon", library, RUNTIME, FixedFaces(crowd))
    rgb = np.full((400, 640, 3), 90, np.uint8)
    alive, most = [], []
    real = Stylizer.render

    def counting(self, portrait, *arguments):
        alive.append(weakref.ref(portrait))
        most.append(sum(one() is not None for one in alive))
        return real(self, portrait, *arguments)

    monkeypatch.setattr(Stylizer, "render", counting)
    picture = stylizer(rgb)
    assert len(most) == 40 and max(most) <= 2
    changed = (picture != rgb).any(-1)
    assert all(changed[int(40 + 70 * (i // 8)), 40 + 70 * (i % 8)] for i in range(40))
