"""The detector's recipe: what is drawn, what is asked of each cell, exact resume, the weights."""

import csv
import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from engine.detect import EmbeddedDetector, Face, YuNetDetector
from engine.detect.embedded import CROP
from engine.errors import DataError, OptionError
from engine.models.detector import cell_grid
from train import loop
from train.detector import WEIGHTS, DetectorConfig, main, schedule, train
from train.face_losses import assign, detection_losses, overlap, point_losses
from train.face_metrics import accuracy, consensus, faceless200, false_alarms, point_errors
from train.faces import draw_faces
from train.portraits import POINTS, read_portraits
from train.upright import draw_crops

LANDMARKS = np.float32([[50, 60], [80, 60], [65, 75], [55, 92], [76, 92]])
BOX = np.float32([35, 30, 95, 110])


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A folder like ../shared/data/wild, with three drawings for faces."""
    folder = tmp_path_factory.mktemp("wild")
    columns = ["file", "box_x", "box_y", "box_w", "box_h"]
    columns += [f"{point}_{axis}" for point in POINTS for axis in "xy"]
    for split in ("train", "test"):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            for i in range(3):
                name = f"{split}{i}.png"
                picture = np.full((150, 130, 3), 60 * i + 40, np.uint8)
                cv2.ellipse(picture, (65, 70), (30, 40), 0, 0, 360, (150, 180, 230), -1)
                for x, y in LANDMARKS.astype(int).tolist():
                    cv2.circle(picture, (x, y), 4, (20, 20, 90), -1)
                cv2.imwrite(str(folder / name), picture)
                writer.writerow([name, 35, 30, 60, 80, *LANDMARKS.ravel().tolist()])
    return folder


@pytest.fixture(scope="module")
def portraits(wild):
    return read_portraits(wild / "train.csv")


def tiny(wild, out) -> DetectorConfig:
    return DetectorConfig(
        data=str(wild), out=str(out), size=64, neck=8, images=8, batch=4, crops=8, crop_batch=4
    )


def test_portraits_are_shrunk_with_their_labels(wild):
    full, small = (read_portraits(wild / "train.csv", size)[0] for size in (np.inf, 30.0))
    assert full.box.tolist() == BOX.tolist() and small.face_size == pytest.approx(30)
    scale = 30 / full.face_size
    np.testing.assert_allclose(small.landmarks + 0.5, (full.landmarks + 0.5) * scale, atol=1e-4)


def test_missing_labels_and_pictures_are_named(tmp_path, wild):
    with pytest.raises(DataError, match="no labelled pictures at .*train.csv.*--data"):
        read_portraits(tmp_path / "train.csv")
    table = (wild / "train.csv").read_text(encoding="utf-8")
    (tmp_path / "train.csv").write_text(table, encoding="utf-8")
    with pytest.raises(DataError, match="train0.png cannot be read"):
        read_portraits(tmp_path / "train.csv")


def test_pictures_depend_on_their_number_alone(portraits):
    both, second = draw_faces(portraits, 64, 4, 0, 0), draw_faces(portraits, 64, 2, 0, 2)
    np.testing.assert_array_equal(both.images[2:], second.images)
    np.testing.assert_array_equal(both.landmarks[2:], second.landmarks)
    crops, later = draw_crops(portraits, 4, 0, 0), draw_crops(portraits, 2, 0, 2)
    np.testing.assert_array_equal(crops.images[2:], later.images)


def test_drawn_labels_fit_the_faces(portraits):
    faces = draw_faces(portraits, 128, 32, 0, 0)
    assert 0 < faces.valid.sum() < faces.valid.size
    boxes, points = faces.boxes[faces.valid], faces.landmarks[faces.valid]
    assert (points > boxes[:, None, :2]).all() and (points < boxes[:, None, 2:]).all()
    left, right = points[:, 0], points[:, 1]
    down = points[:, 3:].mean(1) - points[:, :2].mean(1)
    across = right - left
    assert (across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] > 0).all()  # never a mirror image


def test_crops_hold_their_landmarks(portraits):
    crops = draw_crops(portraits, 32, 0, 0)
    inside = crops.landmarks[crops.is_face]
    assert crops.is_face.any() and not crops.is_face.all()
    assert inside.min() > 0 and inside.max() < CROP


def test_each_face_is_answered_for_by_cells_near_its_middle():
    cells = cell_grid(128, 128)
    boxes = torch.tensor([[[16.0, 16, 40, 40], [20, 30, 120, 126], [0, 0, 0, 0]]])
    owner, decided = assign(cells, boxes, torch.tensor([[True, True, False]]))
    small, large = (torch.nonzero(owner[0] == face)[:, 0] for face in (0, 1))
    assert set(cells[small, 2].tolist()) == {8.0}
    assert set(cells[large, 2].tolist()) == {16.0, 32.0}
    assert (cells[small, :2] - 28).abs().max() <= 0.2 * 24 + 4
    assert not decided.all() and decided[owner >= 0].all()


def test_overlap_known_values():
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10]])
    iou, giou = overlap(a, b)
    assert iou.tolist() == [1, 0] and giou.tolist() == pytest.approx([1, 0])


def test_losses_vanish_for_the_right_answer_and_have_gradients():
    cells, box = cell_grid(64, 64), torch.tensor([[[16.0, 16, 48, 48]]])
    points = torch.tensor([[[[24.0, 26], [40, 26], [32, 32], [26, 40], [38, 40]]]])
    valid = torch.ones(1, 1, dtype=torch.bool)
    right = torch.zeros(1, len(cells), 15)
    right[..., 0] = -20
    right[..., 1:3] = (32 - cells[:, :2]) / cells[:, 2:]
    right[..., 3:5] = torch.log(32 / (4 * cells[:, 2:]))
    offset = (points[0] - cells[:, None, :2]) / (2 * cells[:, None, 2:])
    right[..., 5:] = offset.flatten(1)
    owner, _ = assign(cells, box, valid)
    right[..., 0][owner >= 0] = 20
    losses = detection_losses(right, cells, box, points, valid)
    assert all(float(loss) < 1e-4 for loss in losses.values())
    wrong = (right + 0.3).requires_grad_()
    losses = detection_losses(wrong, cells, box, points, valid)
    sum(losses.values()).backward()
    assert min(float(losses[name].detach()) for name in ("box", "landmarks")) > 1e-3
    assert torch.isfinite(wrong.grad).all() and wrong.grad.abs().sum() > 0


def test_losses_of_pictures_without_faces_are_finite():
    cells = cell_grid(64, 64)
    empty = torch.zeros(2, 9, dtype=torch.bool)
    losses = detection_losses(
        torch.zeros(2, len(cells), 15), cells, torch.zeros(2, 9, 4), torch.zeros(2, 9, 5, 2), empty
    )
    assert float(losses["score"]) > 0 and float(losses["box"]) == float(losses["landmarks"]) == 0
    points = torch.zeros(2, 5, 2)
    losses = point_losses(points, torch.zeros(2), points, torch.zeros(2, dtype=torch.bool), 60.0)
    assert float(losses["landmarks"]) == 0 and float(losses["score"]) == pytest.approx(np.log(2))


def test_schedule_rises_and_falls():
    values = [schedule(n, 100, 1000) for n in (0, 50, 100, 550, 1000, 2000)]
    assert values == pytest.approx([1 / 101, 51 / 101, 1.0, 0.505, 0.01, 0.01])


def test_stopped_and_resumed_gives_the_same_weights(wild, tmp_path):
    whole, parts = tiny(wild, tmp_path / "whole"), tiny(wild, tmp_path / "parts")
    file = train(whole)
    steps = loop.Run.steps

    def only_one(run):  # what Ctrl-C does after the first step
        for step in steps(run):
            yield step
            run._stop = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Run, "steps", only_one)
        assert train(parts) is None
    assert not (tmp_path / "parts" / WEIGHTS).exists()
    assert train(parts).read_bytes() == file.read_bytes()
    assert (tmp_path / "parts" / "cells" / "config.json").exists()
    EmbeddedDetector.from_file(file)(np.zeros((40, 40, 3), np.uint8))


def test_command_line_trains_and_evaluates(wild, tmp_path, capsys):
    flags = ["--data", str(wild), "--out", str(tmp_path), "--size", "64", "--neck", "8"]
    flags += ["--images", "4", "--batch", "4", "--crops", "4", "--crop-batch", "4"]
    main([*flags, "--dry-run"])
    assert not list(tmp_path.iterdir())
    main(flags)
    assert "wrote" in capsys.readouterr().out
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("train.face_metrics.NUM_FACELESS", 2)
        main([*flags, "--evaluate"])
    printed = capsys.readouterr().out
    measured = json.loads(printed[printed.index("}") + 1 :])
    assert {"found", "landmarks", "false_alarms200", "ms_640"} <= measured.keys()


@pytest.mark.parametrize("change", [{"size": 100}, {"batch": 1}])
def test_what_cannot_be_trained_is_refused(change):
    with pytest.raises(OptionError, match="--"):
        replace(DetectorConfig(), **change)


def test_metrics_of_a_perfect_and_a_blind_detector(portraits):
    truth = {portrait.levels[0].tobytes(): portrait for portrait in portraits}

    def perfect(rgb):
        portrait = truth.get(rgb.tobytes())
        return [Face(portrait.landmarks, portrait.box, 1.0)] if portrait else []

    assert accuracy(perfect, portraits) == {
        "found": 1.0, "landmarks": 0.0, "eyes_mouth": 0.0, "extra": 0.0
    }  # fmt: skip
    assert accuracy(lambda rgb: [], portraits)["found"] == 0
    pictures = faceless200(portraits)
    assert len(pictures) == 200 and false_alarms(perfect, pictures) == 0
    assert (pictures[7] == faceless200(portraits)[7]).all()


def test_consensus_of_yunet_is_near_its_labels(shared):
    portraits = read_portraits(shared / "data" / "wild" / "test.csv", np.inf)[:2]
    yunet = YuNetDetector(shared / "weights" / "yunet_n_320_320.onnx")
    errors = [point_errors(consensus(yunet, portrait), portrait) for portrait in portraits]
    assert 0 < np.mean(errors) < 0.12
    assert (consensus(lambda rgb: [], portraits[0]) == portraits[0].landmarks).all()
