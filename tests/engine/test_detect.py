"""Detectors: real faces, everything without one, faces marked by hand, which backend is used."""

import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from engine.detect import (
    EMBEDDED_WEIGHTS,
    EmbeddedDetector,
    Face,
    FaceAlignmentDetector,
    YuNetDetector,
    choose_detector,
    face_from_points,
)
from engine.detect.face import Proposals, cut, shrunk, turned_back, upright_matrix
from engine.errors import DetectorError
from engine.image import read_photo
from engine.models.detector import CellNetwork, FaceNetwork, PointNetwork, box_iou
from train.portraits import read_portraits

# A face looking at us: eyes above, mouth below.
UPRIGHT = np.array([[40, 50], [80, 50], [60, 70], [45, 90], [75, 90]], np.float32)


def tiny() -> FaceNetwork:
    cells = CellNetwork((4, 4, 6, 6, 8), (0, 1, 0, 1, 0), 8)
    return FaceNetwork(cells, PointNetwork((4, 4, 6, 8), (0, 0, 1, 0), 8)).eval()


@pytest.fixture(scope="module")
def detector() -> EmbeddedDetector:
    return EmbeddedDetector.from_file()


@pytest.fixture(scope="module")
def portraits(shared):
    return read_portraits(shared / "data" / "wild" / "test.csv", largest_face=np.inf)


def landmark_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Mean distance in eye distances."""
    eyes = np.linalg.norm(expected[1] - expected[0])
    return float(np.linalg.norm(found - expected, axis=1).mean() / eyes)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_turned_back_follows_the_pixels(turns):
    photo = np.zeros((5, 7), np.uint8)
    photo[1, 4] = 255
    y, x = np.argwhere(np.rot90(photo, turns))[0]
    face = Face(np.tile(np.float32([x, y]), (5, 1)), np.float32([x, y, x + 1, y + 1]), 1.0)
    back = turned_back(face, turns, 5, 7)
    assert back.landmarks[0].tolist() == [4, 1]
    assert (back.box[2:] >= back.box[:2]).all()


def test_upright_crop_puts_a_turned_face_upright():
    angle = np.radians(130)
    turn = 3 * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = upright_matrix((UPRIGHT @ turn.T + [400, 300]).astype(np.float32), 96)
    crop = (UPRIGHT @ turn.T + [400, 300]) @ matrix[:, :2].T + matrix[:, 2]
    assert crop[0, 1] == pytest.approx(crop[1, 1], abs=1e-3) and crop[0, 0] < crop[1, 0]
    assert (crop[:2].mean(0) + crop[3:].mean(0)) / 2 == pytest.approx([47.5, 47.5], abs=1e-3)


def test_cut_agrees_with_itself_when_it_shrinks_first():
    yy, xx = np.mgrid[:256, :256]
    ramp = np.stack([xx, yy, xx], -1).astype(np.uint8)
    crop = cut(ramp, np.array([[0.25, 0, 1.0], [0, 0.25, 2.0]]), 48)
    assert crop[20, 20, :2].tolist() == pytest.approx([(20 - 1) * 4, (20 - 2) * 4], abs=1)


def test_shrunk_never_enlarges_and_never_vanishes():
    assert shrunk(np.zeros((10, 20, 3), np.uint8), 640)[0].shape == (10, 20, 3)
    small, scale = shrunk(np.zeros((1, 6400, 3), np.uint8), 640)
    assert small.shape == (1, 640, 3) and scale == pytest.approx([0.1, 1])


@pytest.mark.parametrize("shape", [(1601, 2403), (3000, 4000), (641, 1999)])
def test_shrunk_by_halves_lies_where_its_factors_say(shape):
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    ramp = np.stack([xx * 0.05, yy * 0.05, xx * 0], -1).astype(np.float32)
    small, scale = shrunk(ramp, 160)
    x, y = (np.array([50, 30]) + 0.5) / scale - 0.5
    assert small[30, 50, :2].tolist() == pytest.approx([0.05 * x, 0.05 * y], abs=0.02)
    assert max(small.shape[:2]) == 160


def test_proposals_become_faces_largest_first_without_faces_in_faces():
    boxes = [[0, 0, 20, 20], [0, 0, 22, 20], [100, 0, 200, 100], [140, 40, 160, 60]]
    landmarks = np.zeros((4, 5, 2), np.float32)
    found = Proposals(np.float32([0.8, 0.8, 0.9, 0.7]), np.float32(boxes), landmarks).faces()
    assert [face.box.tolist() for face in found] == [[100, 0, 200, 100], [0, 0, 21, 20]]


def test_face_from_points_keeps_eyes_and_mouth():
    face = face_from_points((40, 50), (80, 50), (60, 90))
    assert face.landmarks.shape == (5, 2) and face.landmarks.dtype == np.float32
    assert face.landmarks[:2].tolist() == [[40, 50], [80, 50]]
    assert face.landmarks[3:].mean(0).tolist() == pytest.approx([60, 90])
    assert face.landmarks[3, 0] < face.landmarks[4, 0]
    assert (face.box[:2] < face.landmarks.min(0)).all()
    assert (face.box[2:] > face.landmarks.max(0)).all()


def test_face_from_points_exchanges_eyes_clicked_in_the_other_order():
    swapped = face_from_points((80, 50), (40, 50), (60, 90))
    assert swapped.landmarks[:2].tolist() == [[40, 50], [80, 50]]
    upside_down = face_from_points((80, 90), (40, 90), (60, 50))
    assert upside_down.landmarks[:2].tolist() == [[80, 90], [40, 90]]


@pytest.mark.parametrize("mouth", [(60, 50), (float("nan"), 3)])
def test_face_from_points_refuses_what_spans_no_face(mouth):
    with pytest.raises(DetectorError, match="span no face.*mark them again"):
        face_from_points((40, 50), (80, 50), mouth)


FACELESS = {
    "1x1": np.zeros((1, 1, 3), np.uint8),
    "1x700": np.full((1, 700, 3), 200, np.uint8),
    "black": np.zeros((120, 90, 3), np.uint8),
    "white": np.full((700, 300, 3), 255, np.uint8),
    "noise": np.random.default_rng(0).integers(0, 256, (200, 260, 3), np.uint8),
}


@pytest.mark.parametrize("name", FACELESS)
def test_no_face_is_an_empty_list(detector, name):
    assert detector(FACELESS[name]) == []


def test_yunet_finds_none_where_there_is_none(shared):
    yunet = YuNetDetector(shared / "weights" / "yunet_n_640_640.onnx")
    assert [yunet(picture) for picture in FACELESS.values()] == [[]] * len(FACELESS)


def test_shipped_weights_are_small_and_half():
    assert EMBEDDED_WEIGHTS.stat().st_size < 2**20


def test_finds_a_face_and_its_landmarks_in_order(detector, portraits):
    for portrait in portraits[::28]:
        faces = detector(portrait.levels[0])
        assert faces and box_iou(faces[0].box[None], portrait.box[None])[0, 0] > 0.5
        left, right, nose, mouth_left, mouth_right = faces[0].landmarks
        assert left[0] < right[0] and mouth_left[0] < mouth_right[0]
        assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
        assert landmark_error(faces[0].landmarks, portrait.landmarks) < 0.12


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_finds_a_turned_face_and_keeps_its_landmarks_apart(detector, portraits, turns):
    portrait = portraits[0]
    rgb = portrait.levels[0]
    faces = detector(np.ascontiguousarray(np.rot90(rgb, turns)))
    back = turned_back(faces[0], turns, *rgb.shape[:2])
    assert landmark_error(back.landmarks, portrait.landmarks) < 0.12


def mosaic(portraits, rows: int, columns: int, face: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Tiles of one face size, and the boxes of the faces."""
    side = 3 * face
    canvas, boxes = np.full((rows * side, columns * side, 3), 90, np.uint8), []
    for i in range(rows * columns):
        portrait, corner = portraits[i], np.array([i % columns, i // columns]) * side
        scale = face / portrait.face_size
        middle = (portrait.box[:2] + portrait.box[2:]) / 2
        matrix = np.column_stack([scale * np.eye(2), side / 2 - scale * middle])
        small, factors = shrunk(
            portrait.levels[0], max(1, round(max(portrait.levels[0].shape) * scale))
        )
        matrix[:, :2] /= factors
        tile = cv2.warpAffine(small, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        canvas[corner[1] : corner[1] + side, corner[0] : corner[0] + side] = tile
        half = scale * (portrait.box[2:] - portrait.box[:2]) / 2
        boxes.append(np.concatenate([corner + side / 2 - half, corner + side / 2 + half]))
    return canvas, boxes


@pytest.mark.parametrize(("rows", "columns", "face"), [(2, 3, 70), (5, 8, 26)])
def test_finds_several_faces(detector, portraits, rows, columns, face):
    picture, boxes = mosaic(portraits, rows, columns, face)
    faces = detector(picture)
    iou = box_iou(np.stack(boxes), np.stack([f.box for f in faces]))
    assert (iou.max(1) > 0.5).mean() >= 0.95
    assert len(faces) <= len(boxes) + 1
    areas = [f.area for f in faces]
    assert areas == sorted(areas, reverse=True)


def test_a_badge_on_a_lapel_is_no_face(detector, shared):
    rgb = read_photo(shared / "data" / "wild" / "test" / "congress_0005.jpg").rgb
    assert len(detector(rgb)) == 1


@pytest.mark.parametrize("share", [0.7, 0.9, 1.0])
def test_finds_a_face_that_fills_the_picture(detector, portraits, share):
    for portrait in portraits[::35]:
        x0, y0, x1, y1 = portrait.box
        half = max(x1 - x0, y1 - y0) / share / 2
        low = np.maximum(0, [(x0 + x1) / 2 - half, (y0 + y1) / 2 - half]).astype(int)
        high = np.array([(x0 + x1) / 2 + half, (y0 + y1) / 2 + half]).astype(int)
        close = cv2.resize(portrait.levels[0][low[1] : high[1], low[0] : high[0]], (900, 900))
        faces = detector(close)
        assert len(faces) == 1 and faces[0].area > 0.5 * 900**2 * share**2


def test_searches_a_large_photo_finer_for_small_faces(detector, portraits):
    picture, boxes = mosaic(portraits, 1, 2, 30)
    photo = np.full((1500, 2000, 3), 120, np.uint8)
    photo[700 : 700 + picture.shape[0], 900 : 900 + picture.shape[1]] = picture
    expected = np.stack(boxes) + np.array([900, 700, 900, 700])
    found = np.stack([f.box for f in detector(photo)])
    assert (box_iou(expected, found).max(1) > 0.5).all()


def test_yunet_agrees_with_its_own_labels(shared, portraits):
    faces = YuNetDetector(shared / "weights" / "yunet_n_640_640.onnx")(portraits[0].levels[0])
    assert landmark_error(faces[0].landmarks, portraits[0].landmarks) < 0.05


def test_missing_and_broken_yunet_files_are_named(tmp_path):
    with pytest.raises(DetectorError, match="no YuNet weights at .*nowhere.onnx.*embedded"):
        YuNetDetector(tmp_path / "nowhere.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(DetectorError, match="OpenCV cannot read .*broken.onnx"):
        YuNetDetector(tmp_path / "broken.onnx")


def test_missing_and_broken_own_weights_are_named(tmp_path):
    with pytest.raises(DetectorError, match="none.safetensors does not hold our face detector"):
        EmbeddedDetector.from_file(tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"12345678")
    with pytest.raises(DetectorError, match="restore the file"):
        EmbeddedDetector.from_file(tmp_path / "x.safetensors")


@pytest.fixture
def empty_hub(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(FaceAlignmentDetector, "installed", staticmethod(lambda: True))
    return tmp_path


def test_68_points_are_not_downloaded_unasked(empty_hub, monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", None)  # importing it would fail
    assert not FaceAlignmentDetector.available()
    assert isinstance(choose_detector(tiny()), EmbeddedDetector)
    with pytest.raises(DetectorError, match="allow the download"):
        FaceAlignmentDetector(choose_detector(tiny()))
    assert not list(empty_hub.iterdir())


def test_68_points_are_used_when_their_weights_are_here(empty_hub, monkeypatch):
    (empty_hub / "checkpoints").mkdir()
    FaceAlignmentDetector.weights().write_bytes(b"")
    asked = []

    class Package:
        """Stands in for face_alignment.FaceAlignment: the box's corners, 34 times."""

        def __init__(self, kind, **options):
            asked.append((kind, options))

        def get_landmarks_from_image(self, rgb, boxes):
            x0, y0, x1, y1 = boxes[0][:4]
            asked.append(rgb.shape)
            return [np.tile(np.float32([[x0, y0], [x1, y1]]), (34, 1))]

    module = SimpleNamespace(FaceAlignment=Package, LandmarksType=SimpleNamespace(TWO_D=1))
    monkeypatch.setitem(sys.modules, "face_alignment", module)
    chosen = choose_detector(tiny())
    assert isinstance(chosen, FaceAlignmentDetector)
    assert asked[0][1]["face_detector"] == "folder" and asked[0][1]["device"] == "cpu"

    turned = UPRIGHT[:, ::-1] * [-1, 1] + [150, 0]  # a quarter clockwise: eyes right of the mouth
    face = Face(turned.astype(np.float32), np.float32([40, 30, 110, 95]), 0.9)
    chosen._finder = lambda rgb: [face]
    found = chosen(np.zeros((120, 160, 3), np.uint8))[0]
    assert asked[1] == (160, 120, 3)  # seen upright
    assert found.landmarks.shape == (68, 2)
    assert found.box.tolist() == face.box.tolist()
    assert np.sort(found.landmarks[:2, 0]).tolist() == [40, 110]


def test_a_named_file_wins(shared):
    file = shared / "weights" / "yunet_n_320_320.onnx"
    assert isinstance(choose_detector(tiny(), yunet=file), YuNetDetector)
