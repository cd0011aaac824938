"""Alignment against the reference recipe, the truth of its matrices, and the way back."""

import cv2
import numpy as np
import pytest

from engine.align import AlignedFace, align, face_quad, paste, quad_to_matrix
from engine.errors import ImageError
from engine.warp import halved, reduced_window, rescale, warp

UPRIGHT = np.array([[-1, 0], [1, 0], [0, 0.9], [-0.7, 1.8], [0.7, 1.8]], float)


def face(x: float, y: float, scale: float, degrees: float = 0) -> np.ndarray:
    """Five points around (x, y); the eyes are 2 * scale apart, the head is rolled by degrees."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return scale * UPRIGHT @ np.array([[c, s], [-s, c]]) + (x, y)


def waves(height: int, width: int, period: float = 40) -> np.ndarray:
    """A smooth picture: what survives any fair resampling."""
    y, x = np.mgrid[:height, :width]
    r, g, b = np.sin(x * 6.3 / period), np.cos(y * 6.3 / period), np.sin((x + y) * 6.3 / period)
    return np.rint(127 + 100 * np.stack([r, g, b], -1)).astype(np.uint8)


def reference_picture(height: int, width: int, phase: float) -> np.ndarray:
    """The picture that the golden crops were cut out of, as their notes describe it."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    r = 127.5 + 127.5 * np.sin(x / 17 + phase) * np.cos(y / 23)
    g = 127.5 + 127.5 * np.sin((x + y) / 31 + phase)
    b = 255 * ((x // 16 + y // 16) % 2)
    return np.clip(np.rint(np.stack([r, g, b], -1)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["inside", "padded", "shrunk", "psp_256"])
def test_golden(golden, name):
    reference = golden("ffhq_alignment")
    case, wanted = reference.spec["cases"][name], reference.outputs[name]
    picture = reference_picture(case["height"], case["width"], case["phase"])
    landmarks = np.array(case["landmarks"])
    aligned = align(picture, landmarks, case["output_size"], case["transform_size"])
    error = np.abs(aligned.crop.astype(int) - wanted)
    assert (error <= 1).mean() >= 0.99 and error.mean() <= 0.25


def test_quad_of_a_known_face():
    eyes_apart_20 = np.array([[-10, 0], [10, 0], [0, 10], [-7, 20], [7, 20]], float)
    # e = (20, 0), m = (0, 20): |x| = max(40, 36) along (1, 0), centre 0.1 m below the eyes
    assert np.allclose(face_quad(eyes_apart_20), [[-40, -38], [-40, 42], [40, 42], [40, -38]])


def test_68_points_agree_with_their_five():
    points = np.zeros((68, 2))
    five = face(50, 40, 10, 12)
    points[36:42], points[42:48], points[48], points[54] = five[0], five[1], five[3], five[4]
    assert np.allclose(face_quad(points), face_quad(five))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((4, 2)), r"shape \[4, 2\]; 5 or 68 finite points.*mark both eyes"),
        (np.full((5, 2), np.nan), "finite points"),
        (np.ones((5, 2)), "one spot.*mark them again"),
        (face(5000, 40, 10), r"outside of the picture \(100 x 80\).*mark eyes"),
    ],
)
def test_impossible_landmarks(points, message):
    with pytest.raises(ImageError, match=message):
        align(waves(80, 100), points, 32)


@pytest.mark.parametrize("scale", [4.0, 5.3, 9.1])
def test_halving_first_changes_little(scale):
    yy, xx = np.mgrid[:1201, :1403]
    waves = [np.sin(xx / 37 + yy / 61), np.cos(xx / 53 - yy / 41), np.sin(yy / 29)]
    rgb = np.rint(127.5 + 120 * np.stack(waves, -1)).astype(np.uint8)
    low, high = np.array([20, 30]), np.array([120, 110])
    sizes = (rgb, low, high, np.array([scale, scale]))
    one, other = reduced_window(*sizes), reduced_window(*sizes, exact=True)
    inside = np.s_[: int(1201 / scale) - 31, : int(1403 / scale) - 21]
    assert one.shape == other.shape
    assert np.abs(one.astype(int) - other)[inside].max() <= 2


def test_halves_of_odd_pictures_count_the_last_row_twice():
    rgb = np.array([[0, 10, 30], [20, 50, 70], [100, 120, 200]], np.uint8)[..., None].repeat(3, 2)
    assert halved(rgb)[..., 0].tolist() == [[20, 50], [110, 200]]


def test_an_enlarged_face_lies_where_its_matrix_says():
    yy, xx = np.mgrid[:300, :300]
    waves = np.stack([np.sin(xx / 19), np.sin(yy / 17), np.cos(xx / 18)], -1)
    points = np.array([[130, 130], [170, 130], [150, 152], [135, 172], [165, 172]], float)
    face = align(np.rint(127.5 + 100 * waves).astype(np.uint8), points, 512)
    assert np.hypot(*(face_quad(points)[3] - face_quad(points)[0])) < 512, "it is enlarged"
    u, v = np.mgrid[100:400, 100:400][::-1]
    x, y = (face.crop_to_photo @ np.stack([u, v, np.ones_like(u)]).reshape(3, -1))[:2]
    wanted = 127.5 + 100 * np.stack([np.sin(x / 19), np.sin(y / 17), np.cos(x / 18)], -1)
    assert np.abs(face.crop[100:400, 100:400].reshape(-1, 3) - wanted).max() < 2


def test_impossible_picture():
    with pytest.raises(ImageError, match=r"float64 \[80, 100, 3\]; uint8.*read_photo"):
        align(waves(80, 100).astype(float), face(50, 40, 10), 32)


def blob(picture: tuple[int, int], x: float, y: float, sigma: float) -> np.ndarray:
    rows, columns = np.mgrid[: picture[0], : picture[1]]
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.rint(spot).astype(np.uint8)[..., None].repeat(3, 2)


def centroid(rgb: np.ndarray) -> np.ndarray:
    weight = rgb[..., 0].astype(float)
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("degrees", [0, 23, 180, -90])
@pytest.mark.parametrize(
    ("size", "transform_size"), [(64, None), (24, None), (24, 96), (200, None)]
)
def test_matrix_tells_where_a_point_went(size, transform_size, degrees):
    at = np.array([160.3, 141.8])
    landmarks = face(150, 140, 25, degrees)
    aligned = align(blob((301, 323), *at, 5), landmarks, size, transform_size)
    expected = (aligned.photo_to_crop @ [*at, 1])[:2]
    assert np.abs(centroid(aligned.crop) - expected).max() < 0.06
    back = aligned.crop_to_photo @ [*expected, 1]
    assert np.allclose(back, [*at, 1])


@pytest.mark.parametrize("degrees", [0, 31])
def test_matrix_is_a_similarity_that_rights_the_head(degrees):
    landmarks = face(150, 140, 25, degrees)
    matrix = align(waves(301, 323), landmarks, 64).photo_to_crop
    a, b = matrix[0, :2], matrix[1, :2]
    assert matrix.dtype == np.float64 and np.allclose(matrix[2], [0, 0, 1])
    assert np.isclose(a @ b, 0) and np.isclose(a @ a, b @ b) and np.linalg.det(matrix) > 0
    eyes = np.c_[landmarks[:2], np.ones(2)] @ matrix.T
    assert np.isclose(eyes[0, 1], eyes[1, 1]) and eyes[0, 0] < eyes[1, 0]


def test_matrix_of_another_resolution():
    picture, landmarks = waves(301, 323), face(150, 140, 25, 10)
    aligned = align(picture, landmarks, 64)
    larger = align(picture, landmarks, 256)
    assert np.allclose(aligned.photo_to(256), larger.photo_to_crop)
    assert np.allclose(rescale(larger.photo_to_crop, 256, 64), aligned.photo_to_crop)
    # The outer corner of the first pixel is the same place at any resolution.
    corner = np.linalg.inv(aligned.photo_to_crop) @ [-0.5, -0.5, 1]
    assert np.allclose(larger.photo_to_crop @ corner, [-0.5, -0.5, 1])


@pytest.mark.parametrize("center", [(5, 5), (95, 40), (50, 79), (-15, 40)])
def test_face_partly_outside(center):
    aligned = align(waves(80, 100), face(*center, 12, 20), 48)
    assert aligned.crop.shape == (48, 48, 3) and aligned.crop.std() > 1
    assert paste(waves(80, 100), aligned.crop, aligned.photo_to_crop).shape == (80, 100, 3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2)])
def test_tiny_photo(shape):
    picture = np.full((*shape, 3), 200, np.uint8)
    aligned = align(picture, face(shape[1] / 2, shape[0] / 2, 0.4), 16)
    assert (np.abs(aligned.crop.astype(int) - 200) <= 1).all()
    assert paste(picture, aligned.crop, aligned.photo_to_crop, like=picture).shape[:2] == shape


def test_large_padded_face_is_like_the_exact_recipe(monkeypatch):
    """The blur of large surroundings is computed on a smaller copy; nobody should see it."""
    picture, landmarks = waves(900, 900, 90), face(300, 200, 120, 15)
    fast = align(picture, landmarks, 512).crop
    monkeypatch.setattr("engine.edges.BLUR_SIZE", 10**6)
    exact = align(picture, landmarks, 512).crop
    assert np.abs(fast.astype(int) - exact).mean() < 0.5


@pytest.mark.parametrize("degrees", [0, 17, 200])
@pytest.mark.parametrize(("size", "most", "mean"), [(256, 4, 0.25), (80, 6, 0.5)])
def test_pasting_the_crop_back_gives_the_photo(size, most, mean, degrees):
    picture = waves(400, 420)
    aligned = align(picture, face(210, 200, 25, degrees), size)
    error = paste(picture, aligned.crop, aligned.photo_to_crop).astype(int) - picture
    assert np.abs(error).max() <= most and np.abs(error).mean() < mean
    assert abs(error.mean()) < 0.05


def test_pasting_again_and_again_does_not_drift():
    picture = result = waves(400, 420)
    for _ in range(10):
        aligned = align(result, face(210, 200, 25, 12), 256)
        result = paste(result, aligned.crop, aligned.photo_to_crop)
    assert np.abs(result.astype(int) - picture).mean() < 1


def test_outside_of_the_mask_every_bit_stays():
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (200, 220, 3), np.uint8)
    quad = np.array([[60, 50], [60, 130], [140, 130], [140, 50.0]])
    before = picture.copy()
    crop = np.full((64, 64, 3), 255, np.uint8)
    result = paste(picture, crop, quad_to_matrix(quad, 64))
    touched = (result != picture).any(-1)
    outside = np.ones((200, 220), bool)
    outside[50:131, 60:141] = False
    assert not touched[outside].any() and touched[70:110, 80:120].mean() > 0.9
    assert np.array_equal(picture, before)
    assert (result[88:92, 98:102] == 255).all()


def test_mask_holds_hair_and_chin_and_fades_smoothly():
    quad = np.array([[0, 0], [0, 100], [100, 100], [100, 0.0]])
    white = np.full((128, 128, 3), 255, np.uint8)
    picture = np.zeros((101, 101, 3), np.uint8)
    weight = paste(picture, white, quad_to_matrix(quad, 128))[..., 0].astype(int)
    assert (weight[16:85, 50] >= 250).all()  # hair line to chin in FFHQ framing
    assert weight[0].max() <= 2 and weight[:, 0].max() <= 2 and weight[0, 0] == 0
    assert np.abs(np.diff(weight, axis=0)).max() < 32
    hard = paste(picture, white, quad_to_matrix(quad, 128), feather=0.05)[..., 0]
    assert (hard > 250).sum() > (weight > 250).sum()


def test_crop_outside_of_the_picture_changes_nothing():
    picture = waves(60, 60)
    matrix = quad_to_matrix(np.array([[90, 0], [90, 40], [130, 40], [130, 0.0]]), 32)
    crop = np.zeros((32, 32, 3), np.uint8)
    assert np.array_equal(paste(picture, crop, matrix, like=picture), picture)


def test_larger_crop_is_antialiased_and_smaller_one_is_smooth():
    picture = np.full((80, 80, 3), 50, np.uint8)
    quad = np.array([[8, 8], [8, 72], [72, 72], [72, 8.0]])
    checker = ((np.indices((512, 512)).sum(0) % 2) * 255).astype(np.uint8)[..., None].repeat(3, 2)
    middle = paste(picture, checker, quad_to_matrix(quad, 512))[30:50, 30:50].astype(int)
    assert np.abs(middle - 127).max() <= 3
    step = np.zeros((8, 8, 3), np.uint8)
    step[:, 4:] = 200
    row = paste(picture, step, quad_to_matrix(quad, 8), feather=0.2)[40, 24:56, 0].astype(int)
    assert np.abs(np.diff(row)).max() <= 45  # 8 photo pixels per crop pixel: no steps of 200


def test_colour_match_takes_the_tint_and_keeps_the_drawing():
    picture = waves(300, 320)
    aligned = align(picture, face(150, 130, 30), 128)
    tinted = np.clip(aligned.crop * [0.6, 0.8, 0.5] + [60, 0, 20], 0, 255).astype(np.uint8)
    inside = (slice(100, 160), slice(120, 180))
    plain = paste(picture, tinted, aligned.photo_to_crop)
    matched = paste(picture, tinted, aligned.photo_to_crop, like=picture)
    mean = picture[inside].mean((0, 1))
    assert np.abs(plain[inside].mean((0, 1)) - mean).max() > 15
    assert np.abs(matched[inside].mean((0, 1)) - mean).max() < 9
    same = paste(picture, aligned.crop, aligned.photo_to_crop, like=picture)
    assert np.abs(same.astype(int) - picture).mean() < 1


def test_crop_that_is_not_square():
    with pytest.raises(ImageError, match=r"crop of shape \[8, 9, 3\]; \[R, R, 3\] is accepted"):
        paste(waves(40, 40), np.zeros((8, 9, 3), np.uint8), np.eye(3))


def test_wild_photos_come_back_whole(shared):
    """Five labelled photographs: upright crop, and an identity 'generator' leaves the picture."""
    lines = (shared / "data/wild/test.csv").read_text().splitlines()[1:6]
    for line in lines:
        fields = line.split(",")
        rgb = cv2.imread(str(shared / "data/wild" / fields[0]))[..., ::-1]
        landmarks = np.array(fields[8:18], float).reshape(5, 2)
        aligned: AlignedFace = align(rgb, landmarks, 512)
        result = paste(rgb, aligned.crop, aligned.photo_to_crop)
        assert np.abs(result.astype(int) - rgb).mean() < 1  # edges are softened, as FFHQ does


@pytest.mark.parametrize("scale", [0.24, 0.11])
@pytest.mark.parametrize("box", [(0, 0, 301, 200), (37, 22, 300, 199), (120, 90, 121, 91)])
def test_what_is_much_enlarged_is_drawn_as_if_it_were_drawn_at_once(scale, box, monkeypatch):
    """Half the size and doubled: no shift, no seams at the edges of boxes, hardly another grey."""
    small = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    image = cv2.resize(small, (96, 96), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D((150, 100), 17, scale)
    matrix = np.vstack([turn + [[0, 0, -100], [0, 0, -50]], [0, 0, 1]])
    settings = (box, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
    doubled = warp(image, matrix, *settings).astype(int)
    monkeypatch.setattr("engine.warp.ENLARGED", 1e9)
    at_once = warp(image, matrix, *settings)
    assert doubled.shape == at_once.shape == (box[3] - box[1], box[2] - box[0], 3)
    half_a_pixel = warp(image, matrix @ [[1, 0, 0.5], [0, 1, 0], [0, 0, 1]], *settings)
    error = np.abs(doubled - at_once)
    assert error.max() <= 5
    assert error.mean() <= 0.5 * np.abs(half_a_pixel.astype(int) - at_once).mean()
