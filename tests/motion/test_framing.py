"""Framing: the square around a face, its cut and its matrix, and the square of a clip."""

from fractions import Fraction

import numpy as np
import pytest

from engine.align import paste
from engine.detect import Face
from engine.errors import MediaError
from motion.framing import Square, central_square, clip_square, face_square
from motion.media import Frame

RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def face(x0: float, y0: float, x1: float, y1: float) -> Face:
    return Face(np.zeros((5, 2), np.float32), np.array([x0, y0, x1, y1], np.float32), 1.0)


def test_the_square_has_room_around_the_face_and_stays_inside():
    square = face_square(np.array([30, 20, 50, 45.0]), RGB)
    assert square == Square(25, 18, 30)
    assert face_square(np.array([60, 20, 80, 40.0]), RGB) == Square(80 - 24, 18, 24)
    assert face_square(np.array([0, 0, 70, 60.0]), RGB).side == 84, "larger than the picture"
    assert central_square(RGB) == Square(10, 0, 60)


def test_a_cut_at_its_own_size_is_the_pixels_themselves():
    assert np.array_equal(Square(25, 18, 30).cut(RGB, 30), RGB[18:48, 25:55])


def test_edges_are_repeated_beyond_the_picture():
    cut = Square(-5, 50, 20).cut(RGB, 20)
    assert np.array_equal(cut[:10, 5:], RGB[50:, :15])
    assert (cut[:10, :5] == RGB[50:, :1]).all() and (cut[10:, 5:] == RGB[-1, :15]).all()


def test_a_cut_goes_back_to_where_it_was():
    square = Square(25, 18, 30)
    for size in (30, 90):
        back = paste(RGB, square.cut(RGB, size), square.photo_to_crop(size))
        close = np.abs(back.astype(int) - RGB).mean()
        assert close < (0.01 if size == 30 else 6), "noise survives being enlarged and reduced"
    corners = square.normalised(np.array([[25, 18], [54, 47]]))
    assert np.allclose(corners, [[-1, -1], [1, 1]])


def test_the_square_of_a_clip_holds_the_face_throughout():
    boxes = iter([face(20, 20, 30, 30), face(24, 20, 34, 30), face(60, 0, 70, 10)])
    asked = []

    def detector(rgb: np.ndarray) -> list[Face]:
        asked.append(rgb)
        return [next(boxes)]

    frames = [Frame(i, Fraction(i, 4), RGB) for i in range(6)]  # looked at every half second
    square, count = clip_square(iter(frames), detector)
    assert (len(asked), count) == (3, 6)
    assert square == face_square(np.array([20, 20, 34, 30]), RGB), "the third is somebody else"


def test_clips_without_a_face_or_a_frame():
    frames = [Frame(0, Fraction(0), RGB)]
    assert clip_square(frames, lambda rgb: [])[0] == central_square(RGB)
    with pytest.raises(MediaError, match="no frame"):
        clip_square([], lambda rgb: [])
