"""In the decoding process: from a request to an opened clip."""

from __future__ import annotations

from typing import Any, BinaryIO

from motion.media.animation import AnimationSource
from motion.media.formats import FORMATS
from motion.media.limits import Limits
from motion.media.source import Source
from motion.media.stream import StreamSource


def open_source(file: BinaryIO, request: dict[str, Any]) -> Source:
    """Open the clip of a request from its first byte; raises MediaError."""
    form = next(form for form in FORMATS if form.name == request["format"])
    kind = StreamSource if form.demuxer else AnimationSource
    file.seek(0)
    return kind(file, form, request["name"], Limits(**request["limits"]))
