"""Floors, variants and growth on a tiny network; that no number here depends on the clock."""

import json
from functools import partial

import pytest
import torch

from engine.benchmark import __main__ as command
from engine.benchmark import drawn, formats, growth, networks, profile, variants
from engine.benchmark.timing import Timing
from engine.library import StyleLibrary
from engine.models.stylegan2 import Generator
from engine.ops import strips
from engine.runtime import pick_runtime
from train.packs import load_source

CHANNELS = {4: 8, 8: 6, 16: 4}
RUNTIME = pick_runtime("cpu", "float32")


def tiny(resolution=16, runtime=RUNTIME):
    torch.manual_seed(0)
    G = Generator(16, z_dim=8, w_dim=8, num_layers=1, channels=CHANNELS).eval()
    for name, parameter in G.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0.3)
    return G.requires_grad_(False)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(networks, "network", tiny)
    monkeypatch.setattr(growth, "network", tiny)
    monkeypatch.setattr(profile, "network", tiny)
    monkeypatch.setattr(networks, "PEAK_SIZE", 16)
    monkeypatch.setattr(networks, "COPY_BYTES", 1024)


def test_multiplications_and_bytes_are_counted():
    synthesis = tiny().synthesis
    pairs = [(8, 8, 4, 4), (8, 6, 4, 8), (6, 6, 8, 8), (6, 4, 8, 16), (4, 4, 16, 16)]
    assert networks.multiplications(synthesis) == sum(9 * i * o * h * h for i, o, h, _ in pairs)
    floats = sum(i * h * h + o * r * r + 9 * i * o for i, o, h, r in pairs)
    assert networks.moved_bytes(synthesis, torch.float32) == 4 * floats
    assert networks.moved_bytes(synthesis, torch.bfloat16) == 2 * floats
    assert len(networks.convolutions(synthesis, torch.float32, 2)) == len(pairs)


def test_rows_compare_the_total_with_every_floor(small):
    rows = networks.rows(16, RUNTIME, 2, batch=2)
    names = ["synthesis", "convolutions alone", "arithmetic floor", "memory floor"]
    assert [row["what"] for row in rows] == names
    assert len({tuple(row) for row in rows}) == 1  # the same columns
    total = rows[0]["processor seconds"]
    for row in rows:
        assert row["total / this"] == pytest.approx(total / row["processor seconds"])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", variants.WAYS)
def test_without_an_optimisation_the_picture_is_the_same(monkeypatch, name, batch):
    monkeypatch.setattr(strips, "LARGE", 0)
    monkeypatch.setattr(strips, "STRIP", 3000)
    G = tiny()
    ws = networks.codes(G, batch)
    with torch.inference_mode():
        expected = G.synthesis(ws)
        with variants.WAYS[name](), torch.no_grad():
            assert torch.allclose(G.synthesis(ws), expected, atol=1e-5)
        assert torch.equal(G.synthesis(ws), expected)  # and all is as it was


def test_channels_first_is_what_it_says(monkeypatch):
    layouts = []
    layer = variants.stylegan2.SynthesisLayer
    forward = layer.forward

    def spy(self, x, *rest):
        layouts.append(x.is_contiguous() and x.shape[2] > 1)
        return forward(self, x, *rest)

    monkeypatch.setattr(layer, "forward", spy)
    G = tiny()
    for way, expected in ((variants.nullcontext, False), (variants.channels_first, True)):
        layouts.clear()
        with way(), torch.inference_mode():
            G.synthesis(networks.codes(G))
        assert layouts[1:] == [expected] * 4


def test_variants_are_compared_with_what_ships():
    shipped, slow = Timing((9.0, 9.0), (2.0, 2.0)), Timing((1.0, 1.0), (3.0, 3.0))
    rows = variants._compared({variants.SHIPPED: shipped, "off": slow}, 2, RUNTIME)
    assert [row["over shipped"] for row in rows] == [1.0, 1.5]
    assert [row["processor seconds"] for row in rows] == [1.0, 1.5]


def test_profile_tells_convolutions_apart(small):
    rows = {row["operation"]: row for row in profile.rows(16, RUNTIME, 2)}
    calls = {"convolution 3x3": 3, "up-convolution 3x3": 2, "FIR 4x4": 2, "convolution 1x1": 3}
    assert {name: rows[name]["calls"] for name in calls} == calls
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)


def test_profile_is_of_one_picture_and_sorted():
    rows = profile.table_rows({"short": [0.1] * 4, "long": [1.0, 1.0]}, 2)
    assert [(row["operation"], row["calls"]) for row in rows] == [("long", 1), ("short", 2)]
    assert [row["seconds"] for row in rows] == pytest.approx([1.0, 0.2])


def test_growth_ends_where_memory_does(monkeypatch):
    G = tiny()
    draw = G.synthesis.forward

    def forward(ws):
        if len(ws) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return draw(ws)

    monkeypatch.setattr(G.synthesis, "forward", forward)
    rows = growth.batch_rows(G, (1, 2, 4, 8), RUNTIME, 1)
    assert [row["batch"] for row in rows] == [1, 2]


def test_memory_is_measured_before_and_after(small):
    found = growth.measure_memory(16, "cpu", "float32")
    if found["MB at most"] is not None:  # not Linux
        assert 0 < found["MB loaded"] <= found["MB at most"]


def test_a_drawn_pack_is_a_style_that_can_be_trained_from(tmp_path, monkeypatch):
    monkeypatch.setattr(drawn, "Generator", partial(Generator, channels=CHANNELS, num_layers=1))
    folder = drawn.write_drawn(tmp_path, 16, trainable=True)
    style = StyleLibrary([folder]).load(drawn.STYLE, RUNTIME)
    codes = style.base.encode(torch.zeros(1, 3, 256, 256), "z+")
    assert codes.ws.shape == (1, 6, 512) and codes.logvar is not None
    assert style.synthesize(codes.ws).shape == (1, 3, 16, 16)
    assert style.base.detector is not None
    assert load_source(folder / "base").D.resolution == 16


def test_formats_are_compared_with_float32(monkeypatch):
    monkeypatch.setattr(formats, "NUM_CODES", 2)
    rows = formats.rows(RUNTIME, (1,))
    assert [row["format"] for row in rows] == ["float32", "bfloat16"]
    assert rows[0]["close"] == 1 and rows[0]["farthest"] <= 1
    assert 0.9 < rows[1]["close"] < 1 and rows[1]["farthest"] > 2


def test_command_writes_what_it_prints(small, monkeypatch, tmp_path, capsys):
    floors = ["floors", "--resolution", "16", "--repeat", "1", "--out", str(tmp_path)]
    assert command.main([*floors, "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert (tmp_path / "floors.md").read_text("utf-8") == printed
    values = json.loads((tmp_path / "floors.json").read_text("utf-8"))
    assert values["tables"][0]["rows"][0]["what"] == "synthesis"
    assert "--repeat 1" in values["command"]

    monkeypatch.setattr(command, "BATCHES", (1, 2))
    monkeypatch.setattr(command, "SIZES", (16,))
    monkeypatch.setattr(command, "PACK_CHANNELS", dict.fromkeys((4, 8, 16, 32, 64, 128), 4))
    monkeypatch.setattr(growth, "memory_of", lambda *_: {"MB loaded": 1.0, "MB at most": 2.0})
    assert command.main(["growth", "--repeat", "1", "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "growth.png").stat().st_size > 1000
    assert "![Cost of a picture](growth.png)" in capsys.readouterr().out


def test_wrong_wishes_are_told(capsys):
    assert command.main(["--device", "tpu"]) == 2
    assert "is no device" in capsys.readouterr().err
