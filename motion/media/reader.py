"""Clips in: what a file holds, and its frames one by one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

from motion.media.clip import Clip, Frame
from motion.media.limits import Limits
from motion.media.process import Decoder

DEFAULT = Limits()


def probe(path: str | os.PathLike, limits: Limits = DEFAULT) -> Clip:
    """Open a clip, decode its first frame, and tell what is in it; raises MediaError."""
    path = Path(path)
    decoder = Decoder("probe", path, limits)
    try:
        message, _ = decoder.receive()
    finally:
        decoder.close()
    clip = message["clip"]
    clip |= {"path": path, "rate": Fraction(*clip["rate"]), "notes": tuple(clip["notes"])}
    return Clip(**clip)


def read_frames(
    path: str | os.PathLike,
    limits: Limits = DEFAULT,
    start: float | Fraction = 0,
    end: float | Fraction | None = None,
    longest: int = 0,
) -> FrameReader:
    """Decode a clip frame by frame, in memory for about two frames.

    Args:
        path: the clip.
        limits: what it may cost.
        start, end: seconds since the first frame. The first frame given is the one on screen at
            `start`, with `start` as its time; the last one begins before `end`.
        longest: scale the longer side down to this many pixels; 0 or larger than it: as it is.

    Returns:
        An iterator over frames; `close()` stops the decoder. After the last frame its `notes`
        tell what was wrong with the clip.

    Raises:
        MediaError: at once for files that are refused, on the way for those that break.
    """
    return FrameReader(path, limits, Fraction(start), end, longest)


class FrameReader(Iterator[Frame]):
    """The frames of a clip; made by `read_frames`, may be used as a context manager."""

    def __init__(
        self,
        path: str | os.PathLike,
        limits: Limits,
        start: Fraction,
        end: float | Fraction | None,
        longest: int,
    ) -> None:
        self.notes: tuple[str, ...] = ()
        self._index = 0
        span = {
            "start": Fraction(start).as_integer_ratio(),
            "end": None if end is None else Fraction(end).as_integer_ratio(),
        }
        self._decoder: Decoder | None = Decoder(
            "frames", Path(path), limits, **span, longest=longest
        )

    def __next__(self) -> Frame:
        if self._decoder is None:
            raise StopIteration
        try:
            message, payload = self._decoder.receive()
        except BaseException:
            self.close()
            raise
        if message["kind"] == "end":
            self.notes = tuple(message["notes"])
            self.close()
            raise StopIteration
        height, width = message["size"]
        pixels = height * width
        rgb = payload[: 3 * pixels].reshape(height, width, 3)
        alpha = payload[3 * pixels :].reshape(height, width) if message["alpha"] else None
        self._index += 1
        time, duration = Fraction(*message["time"]), Fraction(*message["duration"])
        return Frame(self._index - 1, time, rgb, alpha, duration)

    def close(self) -> None:
        """Stop decoding; no frame comes after it."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            decoder.close()

    def __enter__(self) -> FrameReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_decoder", None) is not None:
            self.close()
