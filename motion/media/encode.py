"""Clips out: frames with any spacing in time, as H.264 for everywhere, or without loss.

| file       | plain            | lossless                      | transparent                |
|------------|------------------|-------------------------------|----------------------------|
| .mp4, .mov | H.264, yuv420p   | H.264 of RGB, qp 0            | .mov: PNG                  |
| .mkv       | H.264, yuv420p   | FFV1                          | FFV1                       |
| .webm      | VP9, yuv420p     | -                             | VP9 with alpha             |

Only the first column plays in every browser, and only the last of .webm there with transparency.
Colours are halved in size for it (yuv420p), so odd pictures get one more row or column, a copy of
their last: nothing is cut off. The lossless ones keep odd sizes and give back the same bytes.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from engine.errors import MediaError
from motion.media.clip import Frame
from motion.media.color import ACCURATE, SMOOTH_INPUT

# 24, 25, 30, 50 and 60 frames a second, and those of NTSC, are whole numbers of ticks.
TICKS = 120_000
SHRINK_COLOR = Interpolation.BICUBIC | ACCURATE | SMOOTH_INPUT
USUAL_DURATION = Fraction(1, 30)
LONGEST_SIDE = 16_384


@dataclass(frozen=True)
class Recipe:
    """How one kind of file is written."""

    container: str
    codec: str
    pixels: str
    options: dict[str, str] = field(default_factory=dict)


# No B-frames: packets then follow each other as frames do, with any spacing, so that segments can
# be joined packet by packet. It costs a tenth of the size.
H264 = Recipe(
    "mp4", "libx264", "yuv420p", {"crf": "17", "preset": "veryfast", "bf": "0", "g": "60"}
)
RGB264 = Recipe(
    "mp4", "libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast", "bf": "0", "g": "60"}
)
FFV1 = Recipe("matroska", "ffv1", "bgr0", {"level": "3", "g": "1"})
VP9 = Recipe(
    *("webm", "libvpx-vp9", "yuv420p"),
    {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"},
)
RECIPES = {  # (suffix, lossless, alpha)
    (".mp4", False, False): H264,
    (".mp4", True, False): RGB264,
    (".mov", False, False): Recipe("mov", *(H264.codec, H264.pixels, H264.options)),
    (".mov", True, False): Recipe("mov", *(RGB264.codec, RGB264.pixels, RGB264.options)),
    (".mov", True, True): Recipe("mov", "png", "rgba"),
    (".mkv", False, False): Recipe("matroska", *(H264.codec, H264.pixels, H264.options)),
    (".mkv", True, False): FFV1,
    (".mkv", True, True): Recipe("matroska", "ffv1", "bgra", FFV1.options),
    (".webm", False, False): VP9,
    (".webm", False, True): Recipe("webm", VP9.codec, "yuva420p", VP9.options),
}


class Writer:
    """Writes frames to a file, whole or not at all; a context manager.

    The file begins with the first frame, however late that is in its clip, and each frame stays
    until the time of the next. Frames with transparency are laid on white if the file has none.

    Args:
        path: .mp4, .mov, .mkv or .webm; appears when it is complete.
        width, height: of every frame.
        lossless: the bytes that are written come back.
        alpha: keep transparency.

    Raises:
        MediaError: a kind of file that cannot hold this, or one that cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        width: int,
        height: int,
        *,
        lossless: bool = False,
        alpha: bool = False,
    ) -> None:
        self.path = Path(path)
        recipe = _recipe(self.path, lossless, alpha)
        _check_size(self.path, width, height)
        self._size, self._alpha = (height, width), alpha
        self._even = 2 if "420" in recipe.pixels else 1
        self._part = self.path.with_name(f".{secrets.token_hex(4)}.part{self.path.suffix}")
        self._held: Frame | None = None
        self._durations: dict[int, int] = {}  # of the frames the encoder holds, by their time
        self._first = 0
        self._last_duration = USUAL_DURATION
        try:
            self._part.touch()  # a folder that does not exist shows now, not at the first packet
            self._container = av.open(
                str(self._part.absolute()),
                *("w", recipe.container),
                container_options=container_options(recipe.container),
            )
        except OSError as error:
            raise self._unwritable(error) from error
        self._stream = self._add_stream(recipe)

    def write(self, frame: Frame) -> None:
        """Add a frame, later than the ones before; raises MediaError if the disk is full."""
        assert frame.rgb.shape == (*self._size, 3), f"{frame.rgb.shape}, expected {self._size}"
        if self._held is None:
            self._first = _ticks(frame.time)
        else:
            assert frame.time > self._held.time, f"{frame.time} after {self._held.time}"
            self._flush(frame.time)
        self._held = frame

    def close(self, end_time: Fraction | None = None) -> None:
        """Finish the file.

        Args:
            end_time: when the last frame leaves the screen; None: after its own duration, or that
                of the frame before it.

        Raises:
            MediaError: no frame was written, or the disk is full.
        """
        if self._container is None:
            return
        if self._held is None:
            self.abort()
            raise MediaError(f"{self.path.name} would be empty: at least one frame is needed")
        shortest = self._held.time + Fraction(1, 1000)
        usual = self._held.time + (self._held.duration or self._last_duration)
        try:
            self._flush(usual if end_time is None else max(Fraction(end_time), shortest))
            self._mux(None)
            self._container.close()
            self._container = None
            os.replace(self._part, self.path)
        except OSError as error:
            self.abort()
            raise self._unwritable(error) from error

    def abort(self) -> None:
        """Stop, and leave no file behind."""
        container, self._container = self._container, None
        if container is not None:
            with suppress(OSError):
                container.close()
        with suppress(OSError):
            self._part.unlink()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close() if error is None else self.abort()

    def _add_stream(self, recipe: Recipe) -> av.VideoStream:
        stream = self._container.add_stream(recipe.codec, rate=30, options=dict(recipe.options))
        height, width = (side + side % self._even for side in self._size)
        context = stream.codec_context
        stream.width, stream.height, stream.pix_fmt = width, height, recipe.pixels
        context.time_base = stream.time_base = Fraction(1, TICKS)
        context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        if "yuv" in recipe.pixels:
            context.colorspace, context.color_range = 1, ColorRange.MPEG
        return stream

    def _flush(self, until: Fraction) -> None:
        """Encode the frame held back, now that it is known how long it stays."""
        pixels = flatten(self._held) if not self._alpha else _with_alpha(self._held)
        pixels = _pad(pixels, self._even)
        picture = av.VideoFrame.from_ndarray(pixels, "rgba" if self._alpha else "rgb24")
        picture = self._convert(picture)
        picture.time_base = Fraction(1, TICKS)
        picture.pts = _ticks(self._held.time) - self._first
        picture.duration = _ticks(until) - _ticks(self._held.time)
        self._durations[picture.pts] = picture.duration
        self._last_duration = until - self._held.time
        self._mux(picture)

    def _convert(self, picture: av.VideoFrame) -> av.VideoFrame:
        if "yuv" not in self._stream.pix_fmt:
            return picture.reformat(format=self._stream.pix_fmt)
        return picture.reformat(
            format=self._stream.pix_fmt,
            **{"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.MPEG},
            **{"interpolation": SHRINK_COLOR, "threads": 1},
        )

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                # Encoders make up a duration from the frame rate, which there is none of.
                packet.duration = self._durations.pop(packet.pts, packet.duration)
                self._container.mux(packet)
        except OSError as error:
            self.abort()
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> MediaError:
        return MediaError(
            f"cannot write {self.path.name} into {self.path.parent}: {error.strerror}; an existing "
            "folder with free space is accepted: choose another place or make room"
        )


def keeps_alpha(path: str | os.PathLike, *, lossless: bool = False) -> bool:
    """Tell whether a file of that name can be written with transparency."""
    return (Path(path).suffix.lower(), lossless, True) in RECIPES


def container_options(container: str) -> dict[str, str]:
    """Options of the muxer: MP4 begins with its index, so that browsers start at once."""
    if container not in ("mp4", "mov"):
        return {}
    return {"movflags": "+faststart", "movie_timescale": str(TICKS)}


def flatten(frame: Frame) -> np.ndarray:
    """Return uint8 [H, W, 3] with what is transparent laid on white."""
    if frame.alpha is None:
        return frame.rgb
    weight = frame.alpha[..., None].astype(np.uint16)
    return ((frame.rgb * weight + 255 * (255 - weight) + 127) // 255).astype(np.uint8)


def _with_alpha(frame: Frame) -> np.ndarray:
    opaque = np.full(frame.rgb.shape[:2], 255, np.uint8)
    return np.dstack([frame.rgb, opaque if frame.alpha is None else frame.alpha])


def _pad(pixels: np.ndarray, multiple: int) -> np.ndarray:
    """Repeat the last row or column until both sides are multiples."""
    rows, columns = (-side % multiple for side in pixels.shape[:2])
    if not rows and not columns:
        return np.ascontiguousarray(pixels)
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")


def _ticks(time: Fraction) -> int:
    return round(time * TICKS)


def _recipe(path: Path, lossless: bool, alpha: bool) -> Recipe:
    recipe = RECIPES.get((path.suffix.lower(), lossless, alpha))
    if recipe is None:
        wanted = " ".join(["lossless"] * lossless + ["transparent"] * alpha) or "plain"
        kinds = [s for s, *kind in RECIPES if kind == [lossless, alpha]]
        hint = f"name it {' or '.join(kinds)}" if kinds else "leave one of the two out"
        raise MediaError(
            f"{path.name} cannot be a {wanted} clip; .mp4, .mov, .mkv and .webm are accepted, not "
            f"all for everything: {hint}"
        )
    return recipe


def _check_size(path: Path, width: int, height: int) -> None:
    if not (0 < width <= LONGEST_SIDE and 0 < height <= LONGEST_SIDE):
        raise MediaError(
            f"{path.name} would have frames of {width}x{height}; 1 to {LONGEST_SIDE} pixels a side "
            "are accepted: choose a smaller size"
        )
