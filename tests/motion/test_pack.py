"""Motion packs: written and read back, found by name, refused when altered."""

import json

import pytest
import torch

from engine.errors import CheckpointError, PackError
from motion.fomm import DenseMotion, Generator
from motion.pack import (
    CARD_FILE,
    KEYPOINTS_FILE,
    MotionCard,
    find_motion_pack,
    load_motion_pack,
    read_motion_card,
    save_motion_pack,
)
from tests.motion.fomm import tiny

CARD = MotionCard("tiny", tiny.SIZE, licence="Apache-2.0", align_corners=False)


@pytest.fixture
def folder(tmp_path):
    save_motion_pack(tmp_path / "tiny", CARD, tiny.detector(), tiny.generator())
    return tmp_path / "tiny"


def test_a_pack_is_read_back(folder):
    pack = load_motion_pack(folder)
    assert (pack.card.size, pack.card.licence) == (tiny.SIZE, "Apache-2.0")
    assert pack.generator.dense_motion.align_corners is False
    ours, theirs = tiny.detector()(tiny.pictures()), pack.detector(tiny.pictures())
    assert torch.allclose(ours.value, theirs.value, atol=2e-2), "stored as float16"
    assert not pack.detector.training and not any(
        p.requires_grad for p in pack.generator.parameters()
    )


def test_packs_are_found(folder):
    search = [folder.parent / "none", folder.parent]
    assert find_motion_pack(search=search) == find_motion_pack("tiny", search) == folder
    assert find_motion_pack("./else") == find_motion_pack("./else", search)
    with pytest.raises(PackError, match="no motion pack 'vox'; there are tiny"):
        find_motion_pack("vox", search)


def test_without_weights_the_way_to_them_is_told(tmp_path):
    with pytest.raises(PackError, match="no motion weights .* fetch fomm-vox-adv"):
        find_motion_pack(search=[tmp_path])


def test_altered_packs_are_refused(folder):
    (folder / KEYPOINTS_FILE).write_bytes(b"else")
    with pytest.raises(PackError, match="was altered or is incomplete"):
        load_motion_pack(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"size": 7}, "size is 7"),
        ({"size": True}, "size is True"),
        ({"align_corners": 1}, "align_corners is 1"),
        ({"name": "../up"}, "name is '../up'"),
        ({"files": {"../x": "0" * 64}}, "no plain"),
        ({"format_version": 2}, "format version 2"),
        ({"more": 1}, r"unknown entries \['more'\]"),
    ],
)
def test_cards_that_are_refused(folder, change, message):
    values = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(values | change))
    with pytest.raises(PackError, match=message):
        read_motion_card(folder)


def test_cards_that_are_none(tmp_path):
    for text, message in (("[]", "holds list"), ("{", "cannot be read as JSON")):
        (tmp_path / CARD_FILE).write_text(text)
        with pytest.raises(PackError, match=message):
            read_motion_card(tmp_path)
    with pytest.raises(PackError, match="is missing"):
        read_motion_card(tmp_path / "none")


def test_networks_of_two_trainings_are_refused(tmp_path):
    other = Generator(DenseMotion(5, (4, 6, 8), 2), (4, 6))
    with pytest.raises(CheckpointError, match="finds 3 keypoints, the generator needs 5"):
        save_motion_pack(tmp_path / "tiny", CARD, tiny.detector(), other)
