"""FFHQ alignment and the way back: landmarks -> upright square crop -> feathered into the photo.

The recipe of Karras et al. 2019 (arXiv 1812.04948, appendix C): a square from eyes and mouth,
reflected and blurred where it leaves the picture, supersampled, reduced with Lanczos. Given
`transform_size` it is reproduced. Without, the photo is reduced by a fraction instead of a whole
number, so that every face is sampled alike and its matrix is an exact similarity. Always, only the
part around the face is touched, and wide blurs are computed on a smaller copy: milliseconds instead
of seconds. Points are (x, y) pixels, centres at integers, origin top-left.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image

from engine import color
from engine.edges import beyond
from engine.errors import ImageError
from engine.eyes import eye_centers
from engine.image import resize
from engine.warp import covered_box, halved, reduce_to_photo, reduced_window, rescale, warp

# Rows blended at a time: a 40-megapixel photo then costs no more memory than its own copy.
STRIP = 256
MASK_SIZE = 256
FEATHER = 0.3
# Colour is compared at this size: enough for mean and deviation, whatever the photo's resolution.
COLOR_SIZE = 128


@dataclass(frozen=True)
class AlignedFace:
    """A face cut out upright: `crop` uint8 [S, S, 3], `photo_to_crop` float64 [3, 3] similarity."""

    crop: np.ndarray
    photo_to_crop: np.ndarray

    @property
    def crop_to_photo(self) -> np.ndarray:
        """The inverse similarity, float64 [3, 3]."""
        return np.linalg.inv(self.photo_to_crop)

    def photo_to(self, resolution: int) -> np.ndarray:
        """The matrix into the same square drawn with `resolution` pixels a side, for `paste`."""
        return rescale(self.photo_to_crop, self.crop.shape[0], resolution)


def face_quad(landmarks: np.ndarray) -> np.ndarray:
    """Corners nw, sw, se, ne of the FFHQ square, float64 [4, 2], from 5 or 68 points [K, 2].

    With e from eye to eye and m from eyes to mouth: x ~ e - rot90(m), |x| = max(2 |e|, 1.8 |m|),
    centre = eyes + 0.1 m. Raises ImageError if the points span no face.
    """
    points = np.asarray(landmarks, np.float64)
    if points.shape not in ((5, 2), (68, 2)) or not np.isfinite(points).all():
        raise ImageError(
            f"landmarks of shape {list(points.shape)}; 5 or 68 finite points (x, y) are accepted: "
            "mark both eyes and the mouth"
        )
    eye_left, eye_right = eye_centers(points)
    mouth = (points[3] + points[4] if len(points) == 5 else points[48] + points[54]) / 2
    eyes = (eye_left + eye_right) / 2
    e, m = eye_right - eye_left, mouth - eyes
    x = e + (m[1], -m[0])
    length = np.hypot(*x)
    if length < 1e-6 or np.hypot(*e) < 1e-6:
        raise ImageError(
            "eyes and mouth lie on one spot; two different eyes and a mouth below are accepted: "
            "mark them again"
        )
    x *= max(2.0 * np.hypot(*e), 1.8 * np.hypot(*m)) / length
    y = np.array([-x[1], x[0]])
    center = eyes + 0.1 * m
    return np.stack([center - x - y, center - x + y, center + x + y, center + x - y])


def align(
    rgb: np.ndarray, landmarks: np.ndarray, size: int, transform_size: int | None = None
) -> AlignedFace:
    """Cut the face at `landmarks` [5|68, 2] out of uint8 [H, W, 3] as an upright [size, size, 3].

    `transform_size` is the side of the supersampled square (FFHQ: 4 x size) and switches to the
    original arithmetic; None samples at 2 x size. Raises ImageError if the square misses the photo.
    """
    quad = face_quad(landmarks)
    _check_overlap(rgb, quad)
    extent = np.array(rgb.shape[1::-1])  # width, height
    side = float(np.hypot(*(quad[3] - quad[0])))
    shrink = side / (2 * size) if transform_size is None else np.floor(side / size * 0.5)
    shrink = max(float(shrink), 1.0)
    grid = np.maximum(np.rint(extent / shrink), 1)
    if transform_size is not None:
        # The recipe divides the corners only: rounding of the reduced photo, and half a pixel, move
        # what it really cuts out. The matrix has to tell the truth.
        quad = (quad / shrink + 0.5) * extent / grid - 0.5
    image, inner = _cut(rgb, quad, grid.astype(int), side / shrink, transform_size is not None)
    crop = _sample(image, inner, size, transform_size)
    return AlignedFace(crop, quad_to_matrix(quad, size))


def quad_to_matrix(quad: np.ndarray, size: int) -> np.ndarray:
    """photo_to_crop of the square nw, sw, se, ne drawn with `size` pixels a side, float64 [3, 3].

    Crop pixel i covers the i-th of `size` equal parts, so its centre lies at (i + 0.5) / size.
    """
    right, down = (quad[3] - quad[0]) / size, (quad[1] - quad[0]) / size
    origin = quad[0] + 0.5 * (right + down)
    crop_to_photo = np.eye(3)
    crop_to_photo[:2] = np.stack([right, down, origin], 1)
    return np.linalg.inv(crop_to_photo)


def paste(
    rgb: np.ndarray,
    crop: np.ndarray,
    photo_to_crop: np.ndarray,
    *,
    feather: float = FEATHER,
    like: np.ndarray | None = None,
) -> np.ndarray:
    """Blend crop uint8 [R, R, 3] back into a copy of rgb uint8 [H, W, 3].

    `photo_to_crop` belongs to R (`AlignedFace.photo_to(R)`). `feather` in (0, 1] is the width of
    the soft border as a part of half the crop; beyond it the photo stays bit for bit.
    With `like`, a picture of the size of rgb, the crop first takes its mean colour and contrast.
    """
    if crop.ndim != 3 or crop.shape[0] != crop.shape[1] or crop.shape[2] != 3:
        raise ImageError(f"crop of shape {list(crop.shape)}; [R, R, 3] is accepted: pass one face")
    colors = None if like is None else compare_colors(like, crop, photo_to_crop, feather)
    crop = crop if colors is None else color.recolor(crop, colors)
    x0, y0, x1, y1 = covered_box(rgb, photo_to_crop, crop.shape[0])
    out = rgb.copy()
    if x0 >= x1 or y0 >= y1:
        return out
    photo_to_mask = rescale(photo_to_crop, crop.shape[0], MASK_SIZE)
    crop, photo_to_crop = reduce_to_photo(crop, photo_to_crop)
    for top in range(y0, y1, STRIP):
        box = (x0, top, x1, min(top + STRIP, y1))
        face = warp(crop, photo_to_crop, box, cv2.INTER_CUBIC, cv2.BORDER_REPLICATE)
        weight = warp(_mask(feather), photo_to_mask, box, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
        part = out[box[1] : box[3], x0:x1]
        part[:] = cv2.blendLinear(face, np.ascontiguousarray(part), weight, 1 - weight)
    return out


def compare_colors(
    rgb: np.ndarray, crop: np.ndarray, photo_to_crop: np.ndarray, feather: float = FEATHER
) -> np.ndarray | None:
    """Compare the crop with the photo under it, both seen at COLOR_SIZE: `color.compare`.

    Arguments as of `paste`. None where the crop lies beside the photo.
    """
    x0, y0, x1, y1 = covered_box(rgb, photo_to_crop, len(crop))
    if x0 >= x1 or y0 >= y1:
        return None
    photo_to_color = rescale(photo_to_crop, len(crop), COLOR_SIZE)
    k = min(np.sqrt(np.linalg.det(photo_to_color)), 1.0)
    grid = np.maximum(np.rint(np.array([x1 - x0, y1 - y0]) * k), 1).astype(int)
    region = rgb[y0:y1, x0:x1]
    while (np.array(region.shape[1::-1]) >= 4 * grid).all():  # as fine, in a third of the time
        region = halved(region)
    region = cv2.resize(region, grid.tolist(), interpolation=cv2.INTER_AREA)
    ratio = np.array([x1 - x0, y1 - y0]) / grid
    region_to_photo = np.diag([*ratio, 1.0])
    region_to_photo[:2, 2] = (ratio - 1) / 2 + (x0, y0)
    color_to_region = np.linalg.inv(photo_to_color @ region_to_photo)
    box = (0, 0, COLOR_SIZE, COLOR_SIZE)
    under = warp(region, color_to_region, box, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    visible = np.ones(region.shape[:2], np.float32)
    weight = warp(visible, color_to_region, box, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT)
    weight *= cv2.resize(_mask(feather), box[2:], interpolation=cv2.INTER_AREA)
    if weight.sum() < 1:
        return None
    small = cv2.resize(crop, box[2:], interpolation=cv2.INTER_AREA)
    return color.compare(small, under, weight)


def _check_overlap(rgb: np.ndarray, quad: np.ndarray) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ImageError(
            f"a picture of {rgb.dtype} {list(rgb.shape)}; uint8 [H, W, 3] is accepted: "
            "read it with read_photo"
        )
    height, width = rgb.shape[:2]
    low, high = quad.min(0), quad.max(0)
    if high[0] < 0 or high[1] < 0 or low[0] > width - 1 or low[1] > height - 1:
        raise ImageError(
            f"the face at {np.rint(quad.mean(0)).astype(int).tolist()} lies outside of the picture "
            f"({width} x {height}); points inside are accepted: mark eyes and mouth again"
        )


def _cut(
    rgb: np.ndarray, quad: np.ndarray, grid: np.ndarray, side: float, exact: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Cut what lies around the square out of the photo reduced to `grid` (width, height).

    `side` is that of the square on this grid, `exact` is for the original arithmetic. Returns the
    uint8 piece and the corners within it.
    """
    scale = np.array(rgb.shape[1::-1]) / grid
    quad = (quad + 0.5) / scale - 0.5
    border = max(int(np.rint(side * 0.1)), 3)
    low, high = np.floor(quad.min(0)).astype(int), np.ceil(quad.max(0)).astype(int)
    low, high = np.maximum(low - border, 0), np.minimum(high + border, grid)
    image, quad = reduced_window(rgb, low, high, scale, exact=exact), quad - low
    pad_low = np.maximum(border - np.floor(quad.min(0)).astype(int), 0)
    pad_high = np.maximum(np.ceil(quad.max(0)).astype(int) + border - (high - low), 0)
    if max(pad_low.max(), pad_high.max()) <= border - 4:
        return image, quad
    least = max(int(np.rint(side * 0.3)), 1)
    return beyond(image, quad, np.maximum(pad_low, least), np.maximum(pad_high, least), side)


def _sample(
    image: np.ndarray, quad: np.ndarray, size: int, transform_size: int | None
) -> np.ndarray:
    """Draw the square with more bilinear samples than needed, then reduce to size with Lanczos.

    A square that has no more pixels than wanted is enlarged at once: nothing of it can alias.
    """
    if transform_size is not None:  # Pillow rounds down and its pixel centres lie at halves
        corners = (quad + 0.5).ravel().tolist()  # both are part of the recipe
        square = Image.fromarray(np.ascontiguousarray(image)).transform(
            (transform_size, transform_size),
            Image.Transform.QUAD,
            corners,
            Image.Resampling.BILINEAR,
        )
        return np.array(square.resize((size, size), Image.Resampling.LANCZOS))
    if np.hypot(*(quad[3] - quad[0])) <= size:
        return _drawn(image, quad, size, cv2.INTER_CUBIC)
    return resize(_drawn(image, quad, 2 * size, cv2.INTER_LINEAR), size, size)


def _drawn(image: np.ndarray, quad: np.ndarray, size: int, interpolation: int) -> np.ndarray:
    to_image = np.linalg.inv(quad_to_matrix(quad, size))
    return warp(image, to_image, (0, 0, size, size), interpolation, cv2.BORDER_REPLICATE)


@lru_cache(maxsize=8)
def _mask(feather: float) -> np.ndarray:
    """Weight of the crop, float32 [MASK_SIZE, MASK_SIZE]: a rounded square with a smooth border."""
    at = (np.arange(MASK_SIZE, dtype=np.float32) + 0.5) * 2 / MASK_SIZE - 1
    distance = np.add.outer(at**4, at**4) ** 0.25
    inside = np.clip((1 - distance) / feather, 0, 1)
    return inside * inside * (3 - 2 * inside)
