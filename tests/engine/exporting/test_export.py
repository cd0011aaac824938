"""ONNX files compute what PyTorch computes, for batches of any size, and say what they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.base import read_base
from engine.exporting import LEAST_PSNR, export, export_pack, graph
from engine.exporting.graph import with_eight_bit_weights
from engine.exporting.parts import parts_of
from engine.exporting.plain import PlainSynthesis
from engine.latent import map_zplus
from engine.library import StyleLibrary
from engine.models.stylegan2 import Generator
from engine.pack import load_pack
from engine.runtime import Runtime
from engine.style import Style
from tests.packs import CODE, NUM_WS, RESOLUTION, write_base, write_style

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
onnx = pytest.importorskip("onnx", reason="needs onnx, of requirements-dev.txt")


def random_codes(count: int) -> torch.Tensor:
    return torch.randn(count, NUM_WS, CODE, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("packs")
    base = write_base(folder)
    write_style(folder, base, "plain", kind="swapped")
    write_style(folder, base, "paths", seed=2)
    return folder


@pytest.fixture(scope="module")
def style(packs: Path) -> Style:
    return StyleLibrary([packs]).load("plain", RUNTIME)


@pytest.fixture(scope="module")
def exported(style: Style, tmp_path_factory) -> tuple[Path, list]:
    folder = tmp_path_factory.mktemp("exported")
    return folder, list(export_pack(style, folder))


@pytest.mark.parametrize("clamp", [None, 0.5])
def test_plain_synthesis_draws_the_same(clamp: float | None):
    torch.manual_seed(0)
    sizes = {"z_dim": CODE, "w_dim": CODE, "num_layers": 2, "conv_clamp": clamp}
    synthesis = Generator(RESOLUTION, channels={4: 8, 8: 8, 16: 6, 32: 4}, **sizes).synthesis
    for module in synthesis.modules():
        if hasattr(module, "noise_strength"):
            module.noise_strength.data.fill_(0.3)
            module.bias.data.normal_()
    ws, plain = random_codes(3), PlainSynthesis(synthesis)
    with torch.no_grad():
        torch.testing.assert_close(plain(ws), synthesis(ws), rtol=1e-4, atol=1e-5)
        half = PlainSynthesis(synthesis, until=16).features(ws)
        torch.testing.assert_close(half, synthesis.features(ws, 16), rtol=1e-4, atol=1e-5)
        other = synthesis.features(random_codes(6)[3:], 16)
        swapped = synthesis(ws, replace={16: other})
        torch.testing.assert_close(plain(ws, other, 16), swapped, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
def test_onnx_computes_what_the_style_draws(style: Style, exported, count: int):
    folder, _ = exported
    ws = random_codes(count)
    [drawn] = export.session(folder / "generator.onnx").run(None, {"ws": ws.numpy()})
    np.testing.assert_allclose(drawn, style.synthesize(ws).numpy(), rtol=1e-3, atol=1e-4)
    image = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
    [codes] = export.session(folder / "encoder.onnx").run(None, {"image": image.numpy()})
    wanted = torch.cat([style.base.encode(row[None], "z+").ws for row in image])
    np.testing.assert_allclose(codes, wanted.numpy(), rtol=1e-3, atol=1e-4)


def test_graphs_are_made_of_plain_operations(exported):
    folder, _ = exported
    for name in ("encoder", "generator"):
        model = onnx.load(folder / f"{name}.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert {node.domain for node in model.graph.node} == {""}
        assert [o.version for o in model.opset_import if not o.domain] == [graph.OPSET]
        made = {node.output[0] for node in model.graph.node}
        for node in model.graph.node:  # weights are constants: CoreML takes no others
            assert not (node.op_type.startswith("Conv") and node.input[1] in made)
        assert str(Path(__file__).parents[3]) not in str(model)  # no paths of this machine


def test_files_say_what_they_are(style: Style, exported):
    folder, _ = exported
    kept = {p.key: p.value for p in onnx.load(folder / "generator.onnx").metadata_props}
    assert kept["pack"] == "plain" and kept["licence"] == "Apache-2.0"
    assert kept["pack_sha256"] == style.card.sha256
    assert "[-1, 1]" in kept["about picture"]
    told = json.loads((folder / "export.json").read_text())
    assert told["base_sha256"] == style.base.pack.card.sha256
    assert [part["name"] for part in told["parts"]] == ["encoder", "generator"]
    assert told["parts"][1]["shapes"] == {
        "ws": ["batch", NUM_WS, CODE],
        "picture": ["batch", 3, RESOLUTION, RESOLUTION],
    }
    assert set(told["sha256"]) == {p.name for p in folder.glob("*.onnx")}


def test_variants_are_kept_that_draw_the_same(exported):
    folder, outcomes = exported
    for outcome in outcomes:
        assert outcome.psnr >= LEAST_PSNR or not outcome.file
        assert bool(outcome.file) == (folder / (outcome.file or "-")).is_file()
    assert {o.variant for o in outcomes if o.file} == {"float32", "float16", "int8-weights"}


def test_a_changed_picture_is_refused(style: Style, exported, tmp_path: Path, monkeypatch):
    """An export whose weights are rounded to nothing must not be called the same."""
    part = next(p for p in parts_of(style) if p.name == "generator")
    model = onnx.load(exported[0] / "generator.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(graph, "SMALLEST", 1)
        patch.setattr(np, "rint", lambda x: np.trunc(x / 64) * 64)
        onnx.save(with_eight_bit_weights(model), tmp_path / "coarse.onnx")
    outcome = export.measure(part, style.base, "int8-weights", tmp_path / "coarse.onnx")
    assert outcome.psnr < LEAST_PSNR
    assert "pictures differ" in export._judged(outcome).why_not


def test_eight_bit_weights_are_close(monkeypatch, style: Style, exported, tmp_path: Path):
    monkeypatch.setattr(graph, "SMALLEST", 64)
    part = next(p for p in parts_of(style) if p.name == "encoder")
    model = onnx.load(exported[0] / "encoder.onnx")
    small = with_eight_bit_weights(model)
    assert small.ByteSize() < 0.5 * model.ByteSize()
    assert small.metadata_props == model.metadata_props
    onnx.save(small, tmp_path / "small.onnx")
    x = part.example
    [found] = export.session(tmp_path / "small.onnx").run(None, {"image": x.numpy()})
    wanted = part.run(x)[0].numpy()
    assert np.abs(found - wanted).mean() < 0.05 * np.abs(wanted).mean()
    assert np.abs(found - wanted).max() > 0


def test_parts_follow_the_pack(packs: Path):
    style = StyleLibrary([packs]).load("paths", RUNTIME)
    assert [part.name for part in parts_of(style)] == [
        "encoder",
        "generator-first",
        "generator-second",
    ]
    base = read_base(load_pack(packs / "base"), RUNTIME)
    assert [part.name for part in parts_of(base)] == ["encoder", "generator"]


def test_encoder_part_maps_codes_as_the_base_does(style: Style):
    part = next(iter(parts_of(style)))
    mu = style.base.encoder(part.example)
    torch.testing.assert_close(part.run(part.example)[0], map_zplus(part.network.mapping, mu))


def test_missing_packages_are_named_with_the_remedy(style: Style, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(graph, "PACKAGES", ("onnx", "no_such_package"))
    with pytest.raises(Exception, match="no_such_package is missing: pip install onnx"):
        next(export_pack(style, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_embedded_style_survives_the_journey(tmp_path: Path):
    style = StyleLibrary().load(os.environ.get("STYLIZE_EXPORT", "pencil"), RUNTIME)
    outcomes = list(export_pack(style, tmp_path))
    assert all(o.file and o.psnr >= LEAST_PSNR for o in outcomes)
    [photo] = [p.example for p in parts_of(style) if p.name == "encoder"]
    [ws] = export.session(tmp_path / "encoder.onnx").run(["ws"], {"image": photo.numpy()})
    name = next(p.name for p in parts_of(style) if p.name.startswith("generator"))
    [drawn] = export.session(tmp_path / f"{name}.onnx").run(None, {"ws": ws})
    wanted = torch.cat([style.base.encode(row[None], "z+").ws for row in photo])
    np.testing.assert_allclose(drawn, style.synthesize(wanted).numpy(), atol=5e-3)
