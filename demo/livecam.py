"""The picture of a visitor's own camera, frame by frame: in as the browser sends it, out as HTML.

Frames exist in memory only, one at a time; what is kept of a visitor is where the face is.
"""

from __future__ import annotations

import base64
import binascii
import html
import io
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from demo.studio import Studio
from demo.visit import fit
from engine.detect import EmbeddedDetector, Face
from engine.errors import DetectorError, ImageError
from engine.image import read_photo, resize
from engine.live import has_student
from engine.portraits import central_square
from motion.live import LiveFace, LiveSettings, QuickDetector, draw_live
from motion.stream import workers

AT_ONCE = 2  # sittings
LONGEST_SIDE, QUALITY = 640, 80  # of frames, in and out
MOST_BYTES, MOST_MEGAPIXELS = 4_000_000, 4
COUNTED = 20  # frames the rate is measured over
NO_FACE = "I see no face: come closer to the camera, and face it."
PICTURE = """
<figure class="camera"><img src="data:image/jpeg;base64,{data}" alt="{alt}" width="{width}"
 height="{height}"></figure>
"""


@dataclass
class Viewer:
    """What is known of one visitor's camera: where the face is, and when frames were drawn."""

    face: LiveFace = field(default_factory=LiveFace)
    times: deque[float] = field(default_factory=lambda: deque(maxlen=COUNTED))

    @property
    def rate(self) -> float:
        """Frames drawn a second, lately; 0 before there are two."""
        if len(self.times) < 2:
            return 0.0
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-6)


def frame_of(value: dict[str, Any] | None) -> np.ndarray | None:
    """Decode what the browser sent, a data URI, as uint8 [H, W, 3]; None if there is nothing.

    Raises ImageError: it is something else, too large, or damaged.
    """
    address = (value or {}).get("url") or ""
    if not value or not address:
        return None
    head, _, data = address.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        raise ImageError("a live picture comes as a data URI; reload the page")
    if len(data) > MOST_BYTES:
        raise ImageError(
            f"a live picture of {len(data)} bytes; at most {MOST_BYTES} are accepted: choose a "
            "smaller size of the camera"
        )
    try:
        content = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ImageError(f"a live picture is damaged ({error}); reload the page") from error
    rgb = read_photo(content, max_megapixels=MOST_MEGAPIXELS).rgb
    height, width = fit(*rgb.shape[:2], LONGEST_SIDE)
    return rgb if (height, width) == rgb.shape[:2] else resize(rgb, height, width)


class LiveCamera:
    """Draws the frames of all visitors' cameras; what belongs to one of them is a `Viewer`."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._detectors: dict[str, EmbeddedDetector] = {}
        # A small network on two processors is a hundred short pieces of work that wait for each
        # other: with a browser beside it, a live picture took 0.8 s instead of 0.05 s.
        self._workers = workers(AT_ONCE)

    def draw(
        self, rgb: np.ndarray, style: str, viewer: Viewer, settings: LiveSettings
    ) -> tuple[str, str]:
        """Draw the face of a frame; return the picture as HTML, and the line below it.

        A frame without a face is shown as it is. Raises StylizeError.
        """
        return self._workers.submit(self._draw, rgb, style, viewer, settings).result()

    def _draw(
        self, rgb: np.ndarray, style: str, viewer: Viewer, settings: LiveSettings
    ) -> tuple[str, str]:
        stylizer, now = self.studio.stylizer(style), time.monotonic()
        face = self._face(stylizer.style.base, rgb, viewer, now)
        picture = rgb if face is None else draw_live(stylizer, rgb, face, settings)
        viewer.times.append(time.monotonic())
        title = self.studio.card(style).title or style
        line = NO_FACE if face is None else f"{viewer.rate:.0f} pictures a second"
        return picture_html(picture, f"You, as {title}"), line

    def explain(self, style: str) -> str:
        """Say how quickly a style is drawn live, and why."""
        card = self.studio.card(style)
        title = card.title or style
        if has_student(card):
            return f"{title} has a small network for live pictures: it follows you smoothly."
        return (
            f"{title} has no small network for live pictures yet (python -m train.distill makes "
            "one): it is drawn the long way, a few pictures a second."
        )

    def _face(self, base: Any, rgb: np.ndarray, viewer: Viewer, now: float) -> Face | None:
        if base.pack.card.framing != "ffhq":
            return central_square(rgb)
        if base.sha256 not in self._detectors:
            if base.detector is None:
                raise DetectorError("this style finds no faces by itself: choose another one")
            self._detectors[base.sha256] = QuickDetector(base.detector)
        return viewer.face.see(rgb, now, self._detectors[base.sha256])


def picture_html(rgb: np.ndarray, alt: str) -> str:
    """Return a picture uint8 [H, W, 3] inside of the page: nothing is left on the disk."""
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=QUALITY)
    data = base64.b64encode(file.getvalue()).decode()
    height, width = rgb.shape[:2]
    return PICTURE.format(data=data, alt=html.escape(alt), width=width, height=height)
