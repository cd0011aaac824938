"""CUDA graphs, as far as they can be checked without a GPU: when to record, and what to replay."""

import gc
import logging
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from engine.ops import graphs
from engine.ops.graphs import Recording, replayed


class Network:
    """Counts its calls."""

    dtype = torch.float16

    def __init__(self):
        self.calls = 0

    def __call__(self, ws, add):
        self.calls += 1
        return ws * 2 + sum(add.values()) if isinstance(ws, torch.Tensor) else "drawn"


def on_gpu(batch=1):
    properties = {"device": torch.device("cuda:0"), "dtype": torch.float32}
    return SimpleNamespace(shape=(batch, 4, 8), **properties)


@pytest.fixture
def recordings(monkeypatch):
    """Networks that were recorded; they are not run."""
    made = []

    class Fake(Recording):
        def __init__(self, network, ws):
            made.append(network)

        def replay(self, ws):
            return "replayed"

    monkeypatch.setattr(graphs, "Recording", Fake)
    monkeypatch.delenv("STYLIZE_GRAPHS", raising=False)
    return made


@torch.no_grad()
def test_the_third_call_is_recorded(recordings):
    network, other = Network(), Network()
    assert [replayed(network, on_gpu()) for _ in range(4)] == ["drawn"] * 2 + ["replayed"] * 2
    assert recordings == [network] and network.calls == 2
    network.dtype = torch.float32
    assert replayed(network, on_gpu()) == replayed(other, on_gpu()) == "drawn"


@torch.no_grad()
def test_what_is_never_recorded(recordings, monkeypatch):
    network = Network()
    ws = torch.ones(1, 4, 8)
    for _ in range(4):
        assert torch.equal(replayed(network, ws), 2 * ws)
        assert replayed(network, on_gpu(batch=2)) == "drawn"
        with torch.enable_grad():
            assert replayed(network, on_gpu()) == "drawn"
    monkeypatch.setenv("STYLIZE_GRAPHS", "0")
    assert {replayed(network, on_gpu()) for _ in range(4)} == {"drawn"}
    assert recordings == []


@torch.no_grad()
def test_a_failed_recording_is_told_once(monkeypatch, caplog):
    def fail(network, ws):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs.Recording, "__init__", lambda self, *a: fail(*a))
    network = Network()
    with caplog.at_level(logging.WARNING):
        assert {replayed(network, on_gpu()) for _ in range(5)} == {"drawn"}
    assert len(caplog.records) == 1 and "not permitted" in caplog.text


@torch.no_grad()
def test_recordings_go_with_their_network(recordings):
    network = Network()
    for _ in range(3):
        replayed(network, on_gpu())
    recordings.clear()
    before = len(graphs._recorded)
    del network
    gc.collect()
    assert len(graphs._recorded) == before - 1


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_recording_copies_in_and_out(mode, monkeypatch):
    """With a stand-in for torch.cuda, whose graph does again what was recorded."""
    stream = SimpleNamespace(wait_stream=lambda other: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", SimpleNamespace)
    monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda s: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", lambda *a, **k: nullcontext())
    network = Network()
    with mode():
        first, second = torch.ones(1, 4, 8), torch.full((1, 4, 8), 3.0)
        recording = Recording(network, (first, second))
        ws, detail = recording.content
        recording.graph.replay = lambda: recording.picture.copy_(network(ws, {8: detail}))
        a, b = recording.replay((first, second)), recording.replay((second, first))
        assert torch.equal(a, 2 * first + second) and torch.equal(b, 2 * second + first)
    assert not any(x.is_inference() for x in (ws, detail, recording.picture))
