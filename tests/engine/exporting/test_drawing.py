"""An aligned photo to its drawing in one file: codes, detail and style, as the page draws it."""

import numpy as np
import pytest
import torch

from engine.card import DETAIL_FILE
from engine.exporting import export
from engine.exporting.graph import to_onnx
from engine.exporting.parts import parts_of
from engine.library import StyleLibrary
from engine.models.detail import DetailEncoder
from engine.pack import load_pack, save_pack
from engine.runtime import Runtime
from tests.packs import write_base, write_style

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
onnx = pytest.importorskip("onnx", reason="needs onnx, of requirements-dev.txt")


def test_one_file_draws_a_photo_with_its_detail(tmp_path):
    base = write_base(tmp_path)
    torch.manual_seed(3)
    reader = DetailEncoder(8, (8, 12), (1, 1, 1))
    torch.nn.init.normal_(reader.out.weight)
    folder = tmp_path / "base"
    save_pack(folder, load_pack(folder).card, {DETAIL_FILE: reader.state_dict()})
    write_style(tmp_path, base, "plain", kind="swapped")
    style = StyleLibrary([tmp_path]).load("plain", RUNTIME)
    parts = {part.name: part for part in parts_of(style)}
    assert set(parts) == {"encoder", "generator", "drawing"}
    onnx.save(to_onnx(parts["drawing"], {}), tmp_path / "drawing.onnx")
    session = export.session(tmp_path / "drawing.onnx")
    for count in (1, 3):
        photos = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
        ws = torch.cat([style.base.encode(photo[None], "z+").ws for photo in photos])
        detail = style.base.detail(photos, ws)
        wanted = style.synthesize(ws, detail=detail)
        [drawn] = session.run(None, {"image": photos.numpy()})
        np.testing.assert_allclose(drawn, wanted.numpy(), rtol=1e-3, atol=1e-4)
        assert (wanted - style.synthesize(ws)).abs().max() > 0.01
