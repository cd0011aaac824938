"""Live pictures: the face of whoever sits in front of a camera, drawn frame after frame.

Nothing is read ahead and nothing waits: a face is searched for now and then, located anew in
between, its landmarks are held steady by One-Euro, and it is drawn by the student of the style, one
small network, where the style has one, else by encoder and generator, at a lower rate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.align import AlignedFace, face_quad, paste, quad_to_matrix
from engine.color import match_color
from engine.detect import EmbeddedDetector, Face
from engine.detect.face import cut
from engine.eyes import with_eyes
from engine.image import resize
from engine.live import draw_crops, student_of
from engine.options import StylizeOptions
from engine.pipeline import Stylizer
from engine.portraits import is_usable
from motion.smoothing import OneEuro
from motion.track import MOST_MOVED, moved

SEARCH_EVERY = 15  # frames; between them only the known face is looked at
CUTOFF, BETA = 2.0, 30.0  # One-Euro of landmarks; Hz, and per face size and second
LONGEST_PAUSE = 1.0  # seconds; after it nothing of before is carried on


class QuickDetector(EmbeddedDetector):
    """Faces as a webcam shows them, upright and not tiny: one search of a small picture."""

    SIZES = (256, 128)
    FINER = ()
    SURE = 0.0


class LiveFace:
    """The largest face of a live picture: one visitor's, a few numbers, no picture is kept.

    Args:
        search_every: frames between two searches of the whole picture.
    """

    def __init__(self, search_every: int = SEARCH_EVERY) -> None:
        self.search_every = search_every
        self._face: Face | None = None
        self._points = OneEuro(CUTOFF, BETA)
        self._frames, self._time = 0, -np.inf

    def see(self, rgb: np.ndarray, time: float, detector: EmbeddedDetector) -> Face | None:
        """Take the next frame uint8 [H, W, 3], seen at a time in seconds; return its face, if any.

        The landmarks returned are smoothed.
        """
        is_new = time - self._time > LONGEST_PAUSE
        known = [] if is_new or self._face is None else detector.again(rgb, [self._face])
        if not known or self._frames % self.search_every == 0:
            known = self._chosen(detector(rgb), known)
        self._frames, self._time = self._frames + 1, time
        face = known[0] if known else None
        if face is None or not is_usable(face, rgb):
            self._face = None
            return None
        if is_new or self._face is None or moved(self._face.landmarks, face) > MOST_MOVED:
            self._points = OneEuro(CUTOFF, BETA, unit=max(face.area**0.5, 1.0))
        self._face = face
        self._points.add(time, face.landmarks)
        return replace(face, landmarks=self._points.at(time).astype(np.float32))

    def _chosen(self, found: list[Face], known: list[Face]) -> list[Face]:
        """The known face among the found ones, unless another is twice as large: [] or one."""
        if not found:
            return known
        same = [face for face in found if known and moved(known[0].landmarks, face) < MOST_MOVED]
        return same[:1] if same and same[0].area > found[0].area / 2 else found[:1]


@dataclass(frozen=True)
class LiveSettings:
    """How a live picture is drawn: into the whole frame, or the face alone."""

    whole_photo: bool = False


def draw_live(
    stylizer: Stylizer, rgb: np.ndarray, face: Face, settings: LiveSettings | None = None
) -> np.ndarray:
    """Draw one face of a frame uint8 [H, W, 3]: the frame with it, or the crop [R, R, 3].

    The student of the style draws as its card says: one picture, its own attribute and strength.
    Surroundings stay as they are: their tones would tremble.
    """
    settings, defaults = settings or LiveSettings(), stylizer.card.options()
    if student_of(stylizer.style) is None or not len(face.landmarks):
        options = replace(defaults, whole_photo=settings.whole_photo, samples=1, surroundings=0.0)
        return _by_the_full_path(stylizer, rgb, face, options)
    size = stylizer.card.resolution
    matrix = quad_to_matrix(face_quad(face.landmarks), size)
    seen = AlignedFace(cut(rgb, matrix[:2], size), matrix)
    drawn, keep = draw_crops(stylizer.style, seen.crop[None])[0], defaults.color == "keep"
    drawn = with_eyes(drawn, face.landmarks, matrix, defaults)
    if settings.whole_photo:
        return paste(rgb, drawn, seen.photo_to_crop, like=rgb if keep else None)
    return match_color(drawn, drawn, seen.crop, np.ones((size, size))) if keep else drawn


def _by_the_full_path(
    stylizer: Stylizer, rgb: np.ndarray, face: Face, options: StylizeOptions
) -> np.ndarray:
    [portrait] = stylizer.encode(rgb, [face])
    crop = stylizer.render(portrait, options)
    if options.whole_photo:
        return stylizer.paste(rgb, [portrait], [crop], options)
    return stylizer.crop(portrait, resize(crop, *crop.shape[:2]), options)
