import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from engine.detect import Face, face_from_points
from engine.errors import DataError, ImageError, OptionError
from train import dataset
from train import prepare as module
from train.data import load_images
from train.dataset import Attributes
from train.duplicates import HASH_BITS, Duplicates, perceptual_hash
from train.prepare import Preparation, main, prepare

SIZE = 32
PLAIN = Preparation(size=SIZE)
ALIGNED = Preparation(size=SIZE, aligned=True, format="png")


def blobs(seed: int, size: int = 64) -> np.ndarray:
    """A random picture with detail at every scale, as photos have it: uint8 [size, size, 3]."""
    random, rgb = np.random.default_rng(seed), np.full((size, size, 3), 128.0)
    for side in (2, 4, 8, 16, 32):
        noise = random.normal(0, 80 / side**0.5, (side, side, 3))
        rgb += cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def save(path: Path, rgb: np.ndarray, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, **options)


def table(out: Path) -> dict[str, dict[str, str]]:
    """Rows of data.csv by their source."""
    with (out / "data.csv").open(newline="") as file:
        return {row["source"]: row for row in csv.DictReader(file)}


def reasons(report: module.Report) -> dict[str, str]:
    return {source: reason for reason, source, _ in report.refused}


def detect_marks(rgb: np.ndarray) -> list[Face]:
    """A detector of tests: pure red is a left eye, green a right eye, blue a mouth."""
    columns = []
    for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255)):
        rows, cols = np.nonzero((rgb == color).all(-1))
        columns.append(sorted(zip(cols.tolist(), rows.tolist(), strict=True)))
    return [face_from_points(*np.float32(points)) for points in zip(*columns, strict=True)]


def face_picture(seed: int, faces: int = 1, step: int = 8, size: int = 96) -> np.ndarray:
    """A picture with faces whose eyes lie 2 `step` apart, marked for `detect_marks`."""
    rgb = np.minimum(blobs(seed, size), 250)
    for i in range(faces):
        x, y = size // 2 - step + 4 * i * step, size // 2
        rgb[y, x], rgb[y, x + 2 * step], rgb[y + 2 * step, x + step] = np.eye(3) * 255
    return rgb


def test_bad_pictures_are_named_and_stop_nothing(tmp_path: Path):
    photos = tmp_path / "photos"
    for seed in range(3):
        save(photos / f"{seed}.png", blobs(seed))
    save(photos / "tiny.png", blobs(9, size=8))
    save(photos / "wide.png", np.hstack([blobs(7), blobs(8)]))
    (photos / "text.jpg").write_text("no picture")
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:500])
    (photos / "empty.webp").write_bytes(b"")
    (photos / "notes.txt").write_text("not looked at")
    (photos / "._0.png").write_text("what macOS leaves behind")
    report = prepare(photos, tmp_path / "set", ALIGNED)
    assert reasons(report) == {
        "tiny.png": "too small",
        "wide.png": "not square",
        "text.jpg": "broken",
        "cut.png": "broken",
        "empty.webp": "broken",
    }
    assert sorted(table(tmp_path / "set")) == ["0.png", "1.png", "2.png"]
    text = (tmp_path / "set" / "report.txt").read_text()
    assert "pictures: 8 looked at, 3 kept" in text and "left out, broken: 3" in text
    assert "other files, not looked at: 1" in text
    assert "tiny.png: the crop is 8 px wide in the original, at least 16 are asked for" in text


def test_set_is_read_back(tmp_path: Path):
    for seed in range(3):
        save(tmp_path / "photos" / "deeper" / f"{seed}.png", blobs(seed))
    rows = "file,attribute\n0.png,female\ndeeper/1.png,male\nphotos/deeper/2.png,male\nx.png,male\n"
    (tmp_path / "who.csv").write_text(rows)
    out = tmp_path / "set"
    report = prepare(tmp_path / "photos", out, ALIGNED, table=tmp_path / "who.csv")
    data = load_images(out, SIZE)
    assert data.images.shape == (3, 3, SIZE, SIZE)
    assert data.attributes == ("female", "male", "male")
    text = report.text()
    assert "attribute female: 1" in text and "attribute male: 2" in text
    assert "rows of the table that name no picture here: 1" in text
    expected = module.resize(blobs(0), SIZE, SIZE)
    assert np.array_equal(data.images[0].permute(1, 2, 0).numpy(), expected)
    assert table(out)["deeper/0.png"]["native_crop_px"] == "64"


def test_jpeg_set_is_close_to_the_pictures(tmp_path: Path):
    save(tmp_path / "photos" / "a.png", blobs(1))
    prepare(tmp_path / "photos", tmp_path / "set", Preparation(size=SIZE, aligned=True))
    with Image.open(tmp_path / "set" / "000000.jpg") as picture:
        error = np.abs(np.asarray(picture, int) - module.resize(blobs(1), SIZE, SIZE))
    assert error.mean() < 5


def test_faces_are_found_aligned_and_measured(tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "set"
    save(photos / "one.png", face_picture(1))
    save(photos / "two.png", face_picture(2, faces=2, size=128))
    save(photos / "none.png", np.minimum(blobs(3), 250))
    save(photos / "far.png", face_picture(4, step=1))
    report = prepare(photos, out, PLAIN, detect_marks)
    assert reasons(report) == {"none.png": "no face found", "far.png": "too small"}
    assert {s.source: s.num_faces for s in report.kept} == {"one.png": 1, "two.png": 2}
    # FFHQ: the side is max(4 x eye distance, 3.6 x eyes to mouth) = 64 px of the photo.
    assert table(out)["one.png"]["native_crop_px"] == "64"
    assert "several faces, largest taken: 1 (two.png)" in report.text()


def test_several_faces_can_be_left_out(tmp_path: Path):
    save(tmp_path / "photos" / "one.png", face_picture(1))
    save(tmp_path / "photos" / "two.png", face_picture(2, faces=2, size=128))
    plan = Preparation(size=SIZE, several="skip")
    report = prepare(tmp_path / "photos", tmp_path / "set", plan, detect_marks)
    assert reasons(report) == {"two.png": "several faces"}


def test_points_that_span_no_face_are_a_refusal(tmp_path: Path):
    save(tmp_path / "photos" / "a.png", blobs(1))
    flat = Face(np.zeros((5, 2), np.float32), np.zeros(4, np.float32), 1.0)
    report = prepare(tmp_path / "photos", tmp_path / "set", PLAIN, lambda rgb: [flat])
    assert reasons(report) == {"a.png": "no face found"} and report.kept == []


def test_largest_of_duplicates_stays(tmp_path: Path):
    photos, out = tmp_path / "photos", tmp_path / "set"
    large = blobs(5, size=128)
    save(photos / "a_small.jpg", cv2.resize(large, (48, 48), interpolation=cv2.INTER_AREA))
    save(photos / "b_large.png", large)
    save(photos / "c_again.jpg", large, quality=60)
    save(photos / "d_mirrored.png", np.ascontiguousarray(large[:, ::-1]))
    save(photos / "e_other.png", blobs(6))
    report = prepare(photos, out, ALIGNED)
    assert [s.source for s in report.kept] == ["b_large.png", "e_other.png"]
    assert set(reasons(report).values()) == {"duplicate"} and len(report.refused) == 3
    assert sorted(p.name for p in out.iterdir()) == [
        *("000001.png", "000004.png", "data.csv", "report.txt")
    ]
    assert len(load_images(out, SIZE)) == 2


def test_duplicates_can_be_kept(tmp_path: Path):
    for name in "ab":
        save(tmp_path / "photos" / f"{name}.png", blobs(5))
    plan = Preparation(size=SIZE, aligned=True, max_distance=-1)
    assert len(prepare(tmp_path / "photos", tmp_path / "set", plan).kept) == 2


def test_hash_ignores_what_copies_change():
    rgb = blobs(1)
    assert perceptual_hash(rgb).shape == (HASH_BITS,)
    darker = np.rint(rgb * 0.8).astype(np.uint8)
    for copy in (darker, cv2.resize(rgb, (256, 256))):
        assert np.count_nonzero(perceptual_hash(copy) != perceptual_hash(rgb)) <= 20
    assert np.count_nonzero(perceptual_hash(blobs(2)) != perceptual_hash(rgb)) > 60


def test_no_photo_of_the_public_set_is_called_a_duplicate(shared: Path):
    files = sorted((shared / "data" / "photos" / "test").glob("*.jpg"))
    seen = Duplicates(len(files), Preparation().max_distance)
    for file in files:
        rgb = module.read_photo(file).rgb
        assert seen.find(rgb) is None, file.name
        seen.add(rgb)
    assert len(files) > 100 and seen.find(rgb[:, ::-1]) == len(files) - 1


def test_transparent_pixels_become_white(tmp_path: Path):
    rgba = np.dstack([blobs(1), np.zeros((64, 64), np.uint8)])
    rgba[:32, :, 3] = 255
    save(tmp_path / "photos" / "a.png", rgba)
    prepare(tmp_path / "photos", tmp_path / "set", ALIGNED)
    image = load_images(tmp_path / "set", SIZE).images[0].numpy()
    assert (image[:, 20:] == 255).all() and image[:, :12].mean() < 200


def test_attributes_of_ambiguous_names_are_not_guessed(tmp_path: Path):
    (tmp_path / "who.csv").write_text("file,attribute\na/1.png,female\nb/1.png,male\n")
    attributes = Attributes(tmp_path / "who.csv", tmp_path / "photos")
    assert attributes.of("a/1.png") == "female" and attributes.of("c/1.png") == ""
    assert attributes.unused(["a/1.png"]) == 1


def test_full_disk_is_told_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path / "photos" / "a.png", blobs(1))

    def no_space(part: Path, target: Path) -> None:
        assert part.exists()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset.os, "replace", no_space)
    with pytest.raises(ImageError, match="No space left on device; make room"):
        prepare(tmp_path / "photos", tmp_path / "set", ALIGNED)
    assert list((tmp_path / "set").iterdir()) == []


def test_questions_that_make_no_sense_are_refused(tmp_path: Path):
    save(tmp_path / "photos" / "a.png", blobs(1))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="photos is in use; a new or empty folder"):
        prepare(tmp_path / "photos", tmp_path / "photos", ALIGNED)
    with pytest.raises(DataError, match="is not a folder"):
        prepare(tmp_path / "nowhere", tmp_path / "set", ALIGNED)
    with pytest.raises(DataError, match="no pictures among the 0 files"):
        prepare(tmp_path / "empty", tmp_path / "set", ALIGNED)
    with pytest.raises(DataError, match="nowhere.csv is not a file"):
        prepare(tmp_path / "photos", tmp_path / "set", ALIGNED, table=tmp_path / "nowhere.csv")
    with pytest.raises(OptionError, match="--size is 3; 4 to 2048"):
        Preparation(size=3)
    with pytest.raises(OptionError, match="--several is 'all'; accepted: largest, skip"):
        Preparation(several="all")


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    save(tmp_path / "photos" / "a.png", blobs(1))
    command = [str(tmp_path / "photos"), str(tmp_path / "set"), "--size", "32", "--aligned"]
    assert main(command) == 0
    assert "pictures: 1 looked at, 1 kept" in capsys.readouterr().out
    assert main(command) == 2
    assert "is in use" in capsys.readouterr().err
    assert main([*command[:1], str(tmp_path / "b"), "--aligned", "--min-native", "200"]) == 1
    absent = str(tmp_path / "absent.onnx")
    assert main([*command[:1], str(tmp_path / "c"), "--detector", absent]) == 2
    assert "absent.onnx" in capsys.readouterr().err
