"""Clips cut into frames around the face, and the pairs drawn from them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine.detect import Face
from engine.errors import DataError
from motion.media import Frame, Writer
from train import cut_clips
from train.clips import load_clips
from train.cut_clips import find_cut, overlap, square_around


def write_frames(folder: Path, clips: int = 3, frames: int = 4, size: int = 64) -> Path:
    """Folders of frames; the red of a frame names its clip, the green its number."""
    for clip in range(clips):
        (folder / f"clip{clip}").mkdir(parents=True)
        for i in range(frames):
            picture = np.zeros((size, size, 3), np.uint8)
            picture[..., 0], picture[..., 1], picture[:, : size // 2, 2] = 40 * clip, 20 * i, 200
            Image.fromarray(picture).save(folder / f"clip{clip}" / f"{i:06d}.png")
    return folder


def test_pairs_are_two_frames_of_one_clip(tmp_path):
    clips = load_clips(write_frames(tmp_path), 64)
    pairs = clips.pairs(64, torch.Generator().manual_seed(0))
    assert pairs.shape == (64, 2, 3, 64, 64) and pairs.dtype == torch.uint8
    red, green = pairs[:, :, 0, 0, 0], pairs[:, :, 1, 0, 0]
    assert torch.equal(red[:, 0], red[:, 1]) and len(red.unique()) == 3
    assert (green[:, 0] != green[:, 1]).all()
    left = pairs[:, :, 2, 0, 0] > 100
    assert torch.equal(left[:, 0], left[:, 1]) and 0 < left[:, 0].sum() < 64  # mirrored alike
    assert torch.equal(pairs, clips.pairs(64, torch.Generator().manual_seed(0)))


def test_frames_that_lie_ready_are_drawn_alike(tmp_path):
    clips = load_clips(write_frames(tmp_path), 64)
    ready = clips.resident(torch.device("cpu"))
    drawn = [c.pairs(16, torch.Generator().manual_seed(3)) for c in (clips, ready)]
    assert ready.pixels.shape == (12, 3, 64, 64) and torch.equal(*drawn)
    assert clips.resident(torch.device("cpu"), most_bytes=1000).pixels is None, "too many"


def test_sets(tmp_path):
    clips = load_clips(write_frames(tmp_path), 32)
    held, rest = clips.split_off(1)
    assert held.names == ("clip2",) and rest.names == ("clip0", "clip1")
    assert clips.read(clips.files[1][:2]).shape == (2, 3, 32, 32)
    with pytest.raises(DataError, match="3 of 3 clips cannot be held out"):
        clips.split_off(3)
    with pytest.raises(DataError, match="train.cut_clips"):
        load_clips(tmp_path / "clip0", 32)
    (tmp_path / "clip0" / "000000.png").write_bytes(b"broken")
    with pytest.raises(DataError, match="000000.png cannot be read"):
        clips.read(clips.files[0])


def test_overlap_and_square():
    a, b = np.array([0, 0, 2, 2.0]), np.array([1, 1, 3, 3.0])
    assert overlap(a, b) == pytest.approx(1 / 7) and overlap(a, a) == 1
    assert overlap(a, b + 5) == 0
    boxes = np.array([[40, 40, 60, 60], [50, 40, 70, 60.0]])
    assert square_around(boxes, 0.0, 100, 100) == (40, 35, 30)
    assert square_around(boxes, 0.5, 100, 100) == (25, 20, 60)
    assert square_around(boxes + (40, 0, 40, 0), 0.5, 100, 120) == (60, 20, 60)  # moved inside
    assert square_around(boxes, 2.0, 100, 120) == (5, 0, 100)  # no larger than the picture


def detector_of_red(rgb: np.ndarray) -> list[Face]:
    """A face wherever it is red."""
    rows, columns = np.nonzero((rgb[..., 0] > 150) & (rgb[..., 1] < 100))
    if not len(rows):
        return []
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    return [Face(np.zeros((5, 2), np.float32), box, 1.0)]


def write_clip(path: Path, places: list[int | None]) -> Path:
    """A 128 x 96 clip of a red square of 32 px, its left side at these columns; None: no face."""
    with Writer(path, 128, 96) as writer:
        for i, left in enumerate(places):
            rgb = np.full((96, 128, 3), 120, np.uint8)
            if left is not None:
                rgb[30:62, left : left + 32] = (250, 20, 20)
            writer.write(Frame(i, Fraction(i, 25), rgb))
    return path


def test_cut_holds_the_face_of_the_whole_clip(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", [40 + i // 2 for i in range(24)])
    cut = find_cut(clip, detector_of_red, 0.25)
    assert cut.num_frames == 21  # the face was looked for in the frames 0, 5 .. 20
    assert abs(cut.side - 1.5 * 42) <= 4 and abs(cut.left - (61 - cut.side / 2)) <= 3


def test_cut_ends_where_the_face_goes(tmp_path):
    clip = write_clip(tmp_path / "a.mp4", [40] * 20 + [None] * 10)
    assert find_cut(clip, detector_of_red, 0.25).num_frames == 16
    jump = write_clip(tmp_path / "b.mp4", [10] * 20 + [90] * 10)
    assert find_cut(jump, detector_of_red, 0.25).num_frames == 16
    short = write_clip(tmp_path / "c.mp4", [40] * 6 + [None] * 20)
    with pytest.raises(DataError, match="c.mp4 shows one and the same face for 6 frames only"):
        find_cut(short, detector_of_red, 0.25)


def test_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cut_clips.EmbeddedDetector, "from_file", lambda: detector_of_red)
    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips" / "a.mp4", [40] * 18)
    (tmp_path / "clips" / "b.mp4").write_bytes(b"no clip")
    words = [str(tmp_path / "clips"), str(tmp_path / "frames"), "--size", "64"]
    assert cut_clips.main(words) == 0
    said = capsys.readouterr().out
    assert "a.mp4: 16 frames" in said and "b.mp4: left out" in said
    clips = load_clips(tmp_path / "frames", 64)
    assert clips.names == ("a",) and len(clips.files[0]) == 16
    assert cut_clips.main(words) == 0 and "was there already" in capsys.readouterr().out
    assert cut_clips.main([str(tmp_path / "frames"), str(tmp_path / "x")]) == 2
    assert cut_clips.main([*words[:2], "--size", "8"]) == 2
    assert "at least 32 px" in capsys.readouterr().err
