"""Training pictures for the face detector, composed from labelled portraits.

A training picture is a canvas cut into cells; each cell is filled with something faceless, and most
get one portrait, scaled, rolled, mirrored and shifted so that its face has the wanted size. All of
it is a function of (seed, index of the picture), so a resumed run sees the same pictures.
Points and boxes are pixels with centres at integers; boxes are x0, y0, x1, y1.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from engine.detect.face import MIRRORED
from train.portraits import Portrait

MAX_FACES = 9  # of one training picture
MIN_VISIBLE = 0.75  # of each side of a face that runs over the edge


@dataclass(frozen=True)
class Labelled:
    """Training pictures uint8 [N, S, S, 3] with up to M faces: [N, M, 4], [N, M, 5, 2], [N, M]."""

    images: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    valid: np.ndarray


def draw_faces(
    portraits: list[Portrait], size: int, count: int, seed: int, cur_nimg: int
) -> Labelled:
    """Compose the `count` training pictures of side `size` from number `cur_nimg` on."""
    images = np.empty((count, size, size, 3), np.uint8)
    boxes = np.zeros((count, MAX_FACES, 4), np.float32)
    landmarks = np.zeros((count, MAX_FACES, 5, 2), np.float32)
    valid = np.zeros((count, MAX_FACES), bool)
    for i in range(count):
        rng = np.random.default_rng([seed, cur_nimg + i])
        faces = compose(portraits, images[i], rng)
        for j, (box, points) in enumerate(faces):
            boxes[i, j], landmarks[i, j], valid[i, j] = box, points, True
        images[i] = develop(images[i], rng)
    return Labelled(images, boxes, landmarks, valid)


def compose(
    portraits: list[Portrait], canvas: np.ndarray, rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Fill `canvas` uint8 [S, S, 3] in place; return (box, landmarks) of each face in it."""
    size = len(canvas)
    grid = rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])
    share = 0.8 if grid == 1 else 0.7
    faces = []
    for x0, y0, x1, y1 in _cells(size, grid, rng):
        cell = canvas[y0:y1, x0:x1]
        cell[:] = faceless(portraits, y1 - y0, x1 - x0, rng)
        if rng.random() > share:
            continue
        portrait = portraits[rng.integers(len(portraits))]
        box, landmarks = place(portrait, cell, rng)
        corner = np.array([x0, y0], np.float32)
        faces.append((box + np.tile(corner, 2), landmarks + corner))
    return faces


def _cells(size: int, grid: int, rng: np.random.Generator) -> list[tuple[int, int, int, int]]:
    """Cut a square into grid x grid unequal cells."""
    jitter = 0.2 * size / grid
    inner = [size * k / grid + rng.uniform(-jitter, jitter, 2) for k in range(1, grid)]
    xs, ys = ([0, *(round(p[axis]) for p in inner), size] for axis in (0, 1))
    return [(xs[i], ys[j], xs[i + 1], ys[j + 1]) for j in range(grid) for i in range(grid)]


def place(
    portrait: Portrait, cell: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a portrait into `cell` uint8 [h, w, 3] at a random size, place and roll.

    Returns the face's box and landmarks in the cell's pixels.
    """
    height, width = cell.shape[:2]
    wanted = math.exp(rng.uniform(math.log(13), math.log(0.92 * min(height, width))))
    scale = wanted / portrait.face_size
    upright = rng.random() < 0.5
    roll = rng.normal(0, 12) if upright else rng.uniform(-65, 65)
    mirrored = rng.random() < 0.5
    cosine, sine = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = scale * np.array([[cosine, -sine], [sine, cosine]])
    if mirrored:
        turn[:, 0] *= -1
    middle, half = _turned_box(portrait.box, turn)
    target = _inside(rng, half, width), _inside(rng, half[::-1], height)
    matrix = np.column_stack([turn, np.array(target) - turn @ middle])
    level = min(max(0, int(-math.log2(scale) + 0.3)), len(portrait.levels) - 1)
    _warp_onto(cell, portrait.levels[level], matrix, 2**level)
    landmarks = portrait.landmarks @ turn.T + matrix[:, 2]
    landmarks = landmarks[MIRRORED] if mirrored else landmarks
    box = np.concatenate([np.array(target) - half, np.array(target) + half])
    if rng.random() < 0.1:
        _occlude(cell, box, rng)
    return box.astype(np.float32), landmarks.astype(np.float32)


def _turned_box(box: np.ndarray, turn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle of a box (before turning), and half the sides of its inscribed ellipse turned."""
    half = (box[2:] - box[:2]) / 2
    return (box[:2] + box[2:]) / 2, np.sqrt(((turn * half) ** 2).sum(1))


def _inside(rng: np.random.Generator, half: np.ndarray, length: int) -> float:
    """Draw a coordinate for the middle so that at least MIN_VISIBLE of the side is in view."""
    spare = half[0] * (2 * MIN_VISIBLE - 1) if rng.random() < 0.3 else half[0]
    low, high = spare - 0.5, length - 0.5 - spare
    return rng.uniform(low, high) if low < high else (length - 1) / 2


def _warp_onto(cell: np.ndarray, source: np.ndarray, matrix: np.ndarray, shrunk: int) -> None:
    """Draw `source`, which is `shrunk` times smaller than what `matrix` maps, onto `cell`."""
    to_full = np.array([[shrunk, 0, shrunk / 2 - 0.5], [0, shrunk, shrunk / 2 - 0.5], [0, 0, 1]])
    warped = np.ascontiguousarray(cell)
    size = (cell.shape[1], cell.shape[0])
    cv2.warpAffine(source, matrix @ to_full, size, warped, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
    cell[:] = warped


def _occlude(cell: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> None:
    """Cover a part of a face, up to half of each side, with one colour: hands, hair, masks."""
    sides = (box[2:] - box[:2]) * rng.uniform(0.15, 0.5, 2)
    x0, y0 = np.maximum(0, rng.uniform(box[:2], box[2:] - sides)).astype(int)
    x1, y1 = np.ceil([x0, y0] + sides).astype(int)
    cell[y0:y1, x0:x1] = rng.integers(0, 256, 3)


def faceless(
    portraits: list[Portrait], height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw a picture uint8 [height, width, 3] without a face, sometimes with what resembles one."""
    kind = rng.choice(5, p=[0.4, 0.2, 0.1, 0.15, 0.15])
    if kind == 1:
        return texture(height, width, rng)
    if kind == 2:
        return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
    portrait = portraits[rng.integers(len(portraits))]
    if kind == 3:
        return scrambled_face(portrait, height, width, rng)
    if kind == 4:
        return erased_face(portrait, height, width, rng)
    return outside_face(portrait, height, width, rng)


def outside_face(
    portrait: Portrait, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Cut a piece of background, clothes or hair from beside a face, and size it."""
    source = portrait.levels[0]
    h, w = source.shape[:2]
    margin = 0.08 * portrait.face_size
    x0, y0, x1, y1 = portrait.box + np.array([-margin, -2 * margin, margin, margin])
    strips = [(0, 0, x0, h), (x1, 0, w, h), (0, 0, w, y0), (0, y1, w, h)]
    strips = [s for s in (tuple(map(int, s)) for s in strips) if min(s[2] - s[0], s[3] - s[1]) > 15]
    if not strips:
        return texture(height, width, rng)
    left, top, right, bottom = strips[rng.integers(len(strips))]
    side = rng.integers(16, min(right - left, bottom - top) + 1)
    x, y = rng.integers(left, right - side + 1), rng.integers(top, bottom - side + 1)
    piece = np.rot90(source[y : y + side, x : x + side], rng.integers(4))
    return cv2.resize(np.ascontiguousarray(piece), (width, height))


def scrambled_face(
    portrait: Portrait, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Cut a face into pieces and lay them out in another order: the parts without the whole."""
    face = cv2.resize(_face_crop(portrait), (width, height))
    n = int(rng.integers(3, 6))
    xs, ys = (np.linspace(0, length, n + 1).astype(int) for length in (width, height))
    result = np.empty_like(face)
    for i, j in enumerate(rng.permutation(n * n)):
        piece = face[ys[j // n] : ys[j // n + 1], xs[j % n] : xs[j % n + 1]]
        target = result[ys[i // n] : ys[i // n + 1], xs[i % n] : xs[i % n + 1]]
        target[:] = cv2.resize(piece, target.shape[1::-1])
    return result


def erased_face(
    portrait: Portrait, height: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Keep head and body, paint the face over with its own colour: a head from behind."""
    colour = cv2.mean(_face_crop(portrait))[:3]
    canvas = np.full((height, width, 3), colour, np.uint8)
    box, _ = place(portrait, canvas, rng)
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * rng.uniform(0.48, 0.6)
    axes = (float(half[0] * 2), float(half[1] * 2))
    cv2.ellipse(canvas, (tuple(map(float, middle)), axes, 0.0), colour, -1)
    return canvas


def _face_crop(portrait: Portrait) -> np.ndarray:
    x0, y0, x1, y1 = np.maximum(portrait.box, 0).astype(int)
    return portrait.levels[0][y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def texture(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Draw coloured noise of random coarseness, with a few strokes, discs and letters on it."""
    picture = np.zeros((height, width, 3), np.float32)
    for cells in 2 ** rng.integers(0, 7, 3):
        noise = rng.random((int(cells) + 1, int(cells) + 1, 3), np.float32)
        picture += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) / 3
    picture = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
    for _ in range(rng.integers(0, 12)):
        _stroke(picture, rng)
    return picture


def _stroke(picture: np.ndarray, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    colour = tuple(float(v) for v in rng.integers(0, 256, 3))
    (xa, xb), (ya, yb) = rng.integers(0, width, 2).tolist(), rng.integers(0, height, 2).tolist()
    kind = rng.integers(4)
    if kind == 0:
        cv2.line(picture, (xa, ya), (xb, yb), colour, int(rng.integers(1, 8)), cv2.LINE_AA)
    elif kind == 1:
        radius = int(rng.integers(2, max(3, min(height, width) // 3)))
        cv2.circle(picture, (xa, ya), radius, colour, int(rng.choice([-1, 2])), cv2.LINE_AA)
    elif kind == 2:
        cv2.rectangle(picture, (xa, ya), (xb, yb), colour, int(rng.choice([-1, 2])))
    else:
        letters = "".join(chr(c) for c in rng.integers(48, 123, 4))
        cv2.putText(picture, letters, (xa, ya), 0, float(rng.uniform(0.4, 2)), colour, 2)


def develop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Vary exposure, contrast, colour, sharpness, noise and compression of uint8 [H, W, 3]."""
    gain = rng.uniform(0.65, 1.4) * rng.uniform(0.88, 1.12, 3)
    shift, gamma = rng.uniform(-35, 35), math.exp(rng.uniform(-0.35, 0.35))
    ramp = 255 * (np.arange(256) / 255) ** gamma
    table = np.clip((ramp[:, None] - 128) * gain + 128 + shift, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[:, None])
    chance = rng.random(4)
    if chance[0] < 0.2:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if chance[1] < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.8))
    if chance[2] < 0.15:
        noise = rng.integers(0, rng.integers(5, 40), image.shape, dtype=np.uint8)
        image = cv2.add(image, noise)
    if chance[3] < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image
