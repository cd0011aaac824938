"""The student: sizes read off its weights, folding changes nothing, packs know their own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.card import GENERATOR_FILE, STUDENT_FILE
from engine.errors import CheckpointError, ImageError, PackError
from engine.library import StyleLibrary
from engine.live import RECORD, TEACHER, draw_crops, has_student, student_of
from engine.models.student import WIDTHS, Student, student_from_state
from engine.pack import load_pack, save_pack
from engine.runtime import Runtime
from tests.packs import RESOLUTION, write_packs

RUNTIME = Runtime(torch.device("cpu"), torch.float32, "test")
SMALL = (4, 6, 8)


def trained(widths=SMALL, blocks=1) -> Student:
    """A student whose batch norms have seen something."""
    torch.manual_seed(0)
    student = Student(widths, blocks).train()
    for module in student.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_()
    student(torch.randn(4, 3, 16, 16))
    return student.eval().requires_grad_(False)


def give_student(folder: Path, taught_by: str | None = None) -> None:
    pack = load_pack(folder)
    record = {TEACHER: taught_by or pack.card.files[GENERATOR_FILE]}
    card = replace(pack.card, training={**pack.card.training, RECORD: record})
    save_pack(folder, card, {STUDENT_FILE: trained().state_dict()})


def taught_library(folder: Path) -> StyleLibrary:
    """Write packs into a folder, of which cartoon has a student."""
    write_packs(folder)
    give_student(folder / "cartoon")
    return StyleLibrary([folder])


@pytest.mark.parametrize("sizes", [(SMALL, 1), ((3, 5), 2)])
def test_sizes_are_read_off_the_weights(sizes):
    student = trained(*sizes)
    again = student_from_state(student.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert (again.widths, again.blocks) == sizes
    assert torch.equal(again(x), student(x))
    assert student(x).shape == x.shape


def test_folded_batch_norms_draw_the_same():
    student = trained()
    x = torch.randn(2, 3, 16, 16)
    folded = student.folded()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    torch.testing.assert_close(folded(x), student(x), rtol=1e-4, atol=1e-4)


def test_the_usual_student_has_less_than_5_mb():
    values = Student(WIDTHS).state_dict().values()
    assert 2.5e6 < 2 * sum(v.numel() for v in values) < 5e6


def test_wrong_pictures_and_weights_are_refused():
    with pytest.raises(ImageError, match="multiple of 8"):
        trained()(torch.zeros(1, 3, 12, 16))
    with pytest.raises(CheckpointError, match="no student in these 1 tensors"):
        student_from_state({"x": torch.zeros(1)})
    state = trained().state_dict()
    del state["head.bias"]
    with pytest.raises(CheckpointError, match="head.bias is missing"):
        student_from_state(state)


def test_a_style_draws_crops_with_its_student(tmp_path: Path):
    folder = write_packs(tmp_path, ["comic", "cartoon"])
    give_student(folder / "comic")
    library = StyleLibrary([folder])
    style = library.load("comic", RUNTIME)
    crops = np.random.default_rng(0).integers(0, 255, (2, RESOLUTION, RESOLUTION, 3), np.uint8)
    drawn = draw_crops(style, crops)
    assert drawn.shape == crops.shape and drawn.dtype == np.uint8 and drawn.std() > 0
    assert np.abs(drawn[1:].astype(int) - draw_crops(style, crops[1:])).max() <= 1
    assert student_of(style) is student_of(style)
    assert student_of(library.load("cartoon", RUNTIME)) is None


def test_the_student_of_another_generator_is_not_used(tmp_path: Path, caplog):
    folder = write_packs(tmp_path, ["comic"])
    give_student(folder / "comic", taught_by="0" * 64)
    style = StyleLibrary([folder]).load("comic", RUNTIME)
    assert not has_student(style.card) and student_of(style) is None
    assert "learned from another generator" in caplog.text


def test_a_damaged_student_is_said_to_be_damaged(tmp_path: Path):
    folder = write_packs(tmp_path, ["comic"])
    give_student(folder / "comic")
    style = StyleLibrary([folder]).load("comic", RUNTIME)
    (folder / "comic" / STUDENT_FILE).write_bytes(b"x")
    with pytest.raises(PackError, match="altered or is incomplete"):
        student_of(style)
