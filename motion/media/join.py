"""Segments after each other, with the sound of the clip they were made from."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from engine.errors import MediaError
from motion.media.limits import Limits
from motion.media.process import Decoder
from motion.media.remux import CONTAINERS

DEFAULT = Limits()


def join(
    segments: Sequence[Path],
    source: Path,
    out: Path,
    start: float | Fraction = 0,
    end: float | Fraction | None = None,
    limits: Limits = DEFAULT,
) -> tuple[str, ...]:
    """Write segments after each other, and under them every sound track of the source.

    Pictures are copied packet by packet. So is the sound, cut to whole packets (about 20 ms) at
    both ends, unless `out` cannot hold it: then it becomes AAC, or Opus in .webm. Picture and
    sound keep their distance exactly.

    Args:
        segments: files by `Writer`, all with the same settings, in order.
        source: the clip whose sound is taken.
        out: .mp4, .mov, .mkv or .webm as the segments; appears when it is complete.
        start, end: what part of the source the segments show, in seconds since its first frame.
        limits: what the source may cost.

    Returns:
        Plain-words notes, for example about sound that was left out.

    Raises:
        MediaError: segments that do not fit each other or `out`, a source that is refused, a full
            disk; no file is left then.
    """
    source, out = Path(source), Path(out)
    if not segments or out.suffix.lower() not in CONTAINERS:
        raise MediaError(
            f"cannot join {len(segments)} segments as {out.name}; at least one segment and "
            f"{', '.join(CONTAINERS)} are accepted: choose such a name"
        )
    part = out.with_name(f".{secrets.token_hex(4)}.part{out.suffix.lower()}")
    request = {
        "segments": [str(Path(segment).absolute()) for segment in segments],
        "out": str(part.absolute()),
        "start": Fraction(start).as_integer_ratio(),
        "end": None if end is None else Fraction(end).as_integer_ratio(),
    }
    decoder = Decoder("join", source, limits, **request)
    try:
        message, _ = decoder.receive()
        os.replace(part, out)
    except OSError as error:
        raise MediaError(
            f"cannot write {out.name} into {out.parent}: {error.strerror}; an existing folder with "
            "free space is accepted: choose another place or make room"
        ) from error
    finally:
        decoder.close()
        with suppress(OSError):
            part.unlink()
    return tuple(message["notes"])
