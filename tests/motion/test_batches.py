"""Many at a time, and fewer when memory is short."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import OutOfMemory
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from motion.batches import Batches, drawn, joined
from motion.person import Look
from tests.motion.test_follow import texture
from tests.motion.test_temporal import RUNTIME, face
from tests.packs import write_packs


class Network:
    """Doubles numbers, as many at a time as memory is there for."""

    def __init__(self, memory):
        self.memory, self.calls = memory, []

    def __call__(self, part):
        self.calls.append(len(part))
        if len(part) > self.memory:
            raise OutOfMemory("out of memory on cpu")
        return [2 * item for item in part]


def test_everything_goes_through_in_order():
    network = Network(8)
    assert Batches(4)(network, list(range(10))) == list(range(0, 20, 2))
    assert network.calls == [4, 4, 2]


def test_short_memory_halves_them_from_then_on():
    network, batches = Network(2), Batches(8)
    assert batches(network, list(range(9))) == list(range(0, 18, 2))
    assert network.calls == [8, 4, 2, 2, 2, 2, 1]
    batches(network, [1, 2, 3])
    assert network.calls[-2:] == [2, 1]


def test_too_little_memory_for_one_is_told():
    with pytest.raises(OutOfMemory, match="on cpu"):
        Batches(4)(Network(0), [1, 2, 3])


@pytest.fixture(scope="module")
def look(tmp_path_factory):
    library = StyleLibrary([write_packs(tmp_path_factory.mktemp("packs"))])
    stylizer = Stylizer.load("cartoon", library, RUNTIME, lambda rgb: [face()])
    return Look(stylizer, StylizeOptions())


@pytest.fixture(scope="module")
def portraits(look):
    return [look.stylizer.encode(texture(120, 160, seed))[0] for seed in range(4)]


@pytest.mark.parametrize("variation", [0, 3])
def test_faces_of_different_paths_are_drawn_as_one_by_one(look, portraits, variation):
    likely = ["first", "second", "first", "first"]
    own = [replace(p, attributes={name: 1.0}) for p, name in zip(portraits, likely, strict=True)]
    varied = replace(look, options=StylizeOptions(variation=variation))
    for portrait, picture in zip(own, drawn(varied, own), strict=True):
        alone = look.stylizer.render(portrait, varied.options)
        assert np.abs(picture.astype(int) - alone).max() <= 1
    assert drawn(varied, []) == []


def test_all_tensors_of_portraits_are_joined(portraits):
    together = joined(portraits)
    assert together.ws.shape[0] == 4 and torch.equal(together.mu[2:3], portraits[2].mu)
    assert together.edit is None
