"""In the decoding process: sound tracks taken over as they are, or changed to another codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import av
import av.filter

from motion.media.formats import SOUND_CODECS
from motion.media.source import Source
from motion.media.stream import StreamSource

# MP4 can carry this much sound before the first picture without playing it: most sound codecs
# need the packet before to begin cleanly.
PREROLL = Fraction(1, 10)
RATES = {"aac": {8000, 16000, 22050, 32000, 44100, 48000}, "libopus": {48000}}
BITS_PER_CHANNEL = 96_000
LAYOUTS = ("mono", "stereo", "5.1")


@dataclass(frozen=True)
class Window:
    """What part of a source is taken: its time `shift` becomes 0; nothing begins after `end`.

    `early` is how far before 0 packets may lie; seconds all.
    """

    shift: Fraction
    end: Fraction | None
    early: Fraction

    def holds(self, time: Fraction) -> bool:
        """Whether the packet that begins then is wanted; in seconds, after the shift."""
        return time >= -self.early and (self.end is None or time < self.end)


def sound_tracks(source: Source) -> list[av.AudioStream]:
    """The sound tracks that can be taken along; the others are noted."""
    if not isinstance(source, StreamSource):
        return []
    tracks = []
    for number, stream in enumerate(source.container.streams.audio, 1):
        codec = stream.codec_context.name if stream.codec_context else "unknown"
        if codec in SOUND_CODECS:
            tracks.append(stream)
        else:
            source.note(f"its sound track {number} is {codec}, which is left out")
    return tracks


class Copy:
    """A track whose packets are taken over untouched."""

    def __init__(
        self, result: av.container.OutputContainer, stream: av.AudioStream, window: Window
    ) -> None:
        self._out, self._window = result.add_stream_from_template(stream), window
        self._last = -window.early - 1
        _keep_language(stream, self._out)

    def __call__(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield what becomes of a packet; the last one is empty and flushes."""
        base = packet.time_base
        if not packet.size or packet.pts is None:
            return
        time = packet.pts * base - self._window.shift
        if self._window.holds(time) and time > self._last:  # else a damaged one
            packet.pts -= round(self._window.shift / base)
            packet.dts, packet.stream = packet.pts, self._out  # sound is never out of order
            self._last = time
            yield packet


class Recode:
    """A track that is decoded and encoded again; gaps become silence, so it stays in step."""

    def __init__(
        self,
        result: av.container.OutputContainer,
        stream: av.AudioStream,
        window: Window,
        codec: str,
    ) -> None:
        context = stream.codec_context
        rate = context.sample_rate if context.sample_rate in RATES[codec] else 48000
        layout = context.layout.name if context.layout.name in LAYOUTS else "stereo"
        self._out = result.add_stream(codec, rate=rate, layout=layout)
        self._out.codec_context.bit_rate = BITS_PER_CHANNEL * self._out.codec_context.channels
        self._out.codec_context.open()
        _keep_language(stream, self._out)
        form = self._out.codec_context.format.name
        self._graph = _graph(stream, window, f"sample_rates={rate}", layout, form)
        if self._out.codec_context.frame_size:
            self._graph.set_audio_frame_size(self._out.codec_context.frame_size)

    def __call__(self, packet: av.Packet) -> Iterator[av.Packet]:
        """Yield what becomes of a packet; the last one is empty and flushes."""
        with suppress(av.error.EOFError):  # behind the end of the window
            for sound in _decode(packet):
                self._graph.push(sound)
            if not packet.size:
                self._graph.push(None)
        yield from self._pull()
        if not packet.size:
            yield from self._out.encode(None)

    def _pull(self) -> Iterator[av.Packet]:
        while True:
            try:
                sound = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            yield from self._out.encode(sound)


def _decode(packet: av.Packet) -> list[av.AudioFrame]:
    try:
        return packet.decode()
    except av.error.InvalidDataError:  # silence takes its place
        return []


def _graph(
    stream: av.AudioStream, window: Window, rate: str, layout: str, form: str
) -> av.filter.Graph:
    graph = av.filter.Graph()
    end = "" if window.end is None else f":end={float(window.end):.6f}"
    nodes = [
        graph.add_abuffer(template=stream),
        graph.add("asetpts", f"PTS-({window.shift.numerator}/{window.shift.denominator})/TB"),
        graph.add("atrim", f"start=0{end}"),
        graph.add("aresample", "async=1:first_pts=0"),
        graph.add("aformat", f"sample_fmts={form}:{rate}:channel_layouts={layout}"),
        graph.add("abuffersink"),
    ]
    graph.link_nodes(*nodes).configure()
    return graph


def _keep_language(stream: av.AudioStream, out: av.AudioStream) -> None:
    if language := stream.metadata.get("language"):
        out.metadata["language"] = language[:8]
