"""Many at a time, and fewer when memory is short."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.errors import OutOfMemory
from engine.library import StyleLibrary
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.runtime import Runtime
from motion.batches import Batches, drawn, joined, usual_batches
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


def test_calls_are_made_side_by_side_and_share_what_there_is():
    both = threading.Barrier(2, timeout=10)

    def call(part):
        both.wait()  # passes only where two wait
        return [(item, torch.get_num_threads()) for item in part]

    batches = Batches(4, 2, num_threads=1)
    assert batches.together == 8
    assert batches(call, range(6)) == [(n, 1) for n in range(6)], "three each"


def test_short_memory_ends_calls_side_by_side():
    network, batches = Network(2), Batches(4, 2)
    assert batches(network, list(range(9))) == list(range(0, 18, 2))
    assert network.calls[:3] == [4, 4, 1] and set(network.calls[3:]) == {4, 2, 1}
    assert (batches.size, batches.num_calls) == (2, 1)


def test_what_a_processor_draws_at_a_time_fits_into_memory():
    def usual(num_threads, resolution, device="cpu"):
        runtime = Runtime(torch.device(device), torch.float32, "test", num_threads)
        batches = usual_batches(runtime, resolution)
        return batches.size, batches.num_calls

    assert [usual(n, 256) for n in (1, 2, 4, 16)] == [(4, 1), (4, 2), (4, 4), (2, 8)]
    assert [usual(n, 1024) for n in (1, 2, 16)] == [(4, 1), (2, 2), (1, 4)]
    assert usual(8, 4096) == (1, 1) and usual(8, 1024, "cuda") == (16, 1)


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
