"""In the decoding process: half frames, taken one after the other, joined to whole ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import av
import av.filter

from motion.media.source import Source
from motion.media.stream import StreamSource


def whole_frames(source: Source) -> Iterator[av.VideoFrame]:
    """The pictures of a source, deinterlaced if its first one says that it is interlaced."""
    pictures = source.pictures()
    first = next(pictures, None)
    if first is None:
        return iter(())
    pictures = chain([first], pictures)
    if not first.interlaced_frame or not isinstance(source, StreamSource):
        return pictures
    source.note("it is interlaced: its half frames are joined to whole ones")
    return _deinterlaced(pictures, source.stream)


def _deinterlaced(
    pictures: Iterator[av.VideoFrame], stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    graph = av.filter.Graph()
    # One frame out for each one in; those that are not marked as interlaced stay as they are.
    bwdif = graph.add("bwdif", "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(graph.add_buffer(template=stream), bwdif, graph.add("buffersink")).configure()
    for picture in chain(pictures, [None]):
        graph.vpush(picture)
        try:
            while True:
                yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            continue
