"""In the decoding process: a clip opened by ffmpeg, all forbidden that its task does not need."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import av
from av.codec.context import CodecContext
from av.stream import Discard, Disposition

from engine.errors import MediaError
from motion.media.formats import ACCEPTED, SOUND_CODECS, VIDEO_CODECS, Format
from motion.media.limits import Limits
from motion.media.source import Source

# ffmpeg's own VP8 and VP9 decoders skip the second stream in which WebM keeps transparency.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
USUAL_RATE = 30
MOST_THREADS = 8  # each holds frames of its own


class StreamSource(Source):
    """The one stream of pictures of a container."""

    def __init__(self, file: BinaryIO, form: Format, name: str, limits: Limits) -> None:
        super().__init__(name, limits)
        self.seeks = form.seeks
        self.container = open_container(file, form.demuxer, name)
        _check_streams(self.container, name, limits)
        self.stream = _picture_stream(self.container, name)
        self.time_base = self.stream.time_base
        self.rate = Fraction(self.stream.average_rate or 0)
        self.pixel_shape = self.stream.sample_aspect_ratio
        self.check_size(self.stream.codec_context.width, self.stream.codec_context.height)
        self._decoder = _decoder(self.stream)
        self._decoder.options = {"max_pixels": str(limits.pixels)}
        self._decoder.thread_type = "AUTO"
        self._decoder.thread_count = min(os.cpu_count() or 1, MOST_THREADS)
        self.read_only([self.stream])

    def read_only(self, streams: list[av.stream.Stream]) -> None:
        """Let the demuxer skip all other streams."""
        for stream in self.container.streams:
            stream.discard = Discard.default if stream in streams else Discard.all

    def packets(self) -> Iterator[av.Packet]:
        """Demux the pictures up to the end, or to where the file breaks off; then a flush."""
        try:
            yield from self.container.demux(self.stream)
        except (av.error.FFmpegError, IndexError) as error:  # IndexError: streams out of nowhere
            self.note(f"the file is damaged and ends early ({error})")
            yield av.Packet()

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Decode from here on, in the order of display; what cannot be decoded is left out."""
        for packet in self.packets():
            try:
                # A flushing packet has no data; a decoder made by hand wants None for it.
                decoded = self._decoder.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                self.broken += 1
                continue
            for picture in decoded:
                self.check_size(picture.width, picture.height)
                self.broken += picture.is_corrupt
                picture.time_base = self.time_base
                yield picture

    def seek(self, seconds: Fraction) -> None:
        """Go on at the key frame before a timestamp."""
        self.container.seek(int(seconds / self.time_base), stream=self.stream)
        self._decoder.flush_buffers()

    def stated_length(self) -> tuple[Fraction, int]:
        """Seconds and frames as the header says, 0 where it does not."""
        if self.stream.duration:
            return self.stream.duration * self.time_base, self.stream.frames
        return Fraction(self.container.duration or 0, av.time_base), self.stream.frames

    def measured_length(self) -> tuple[Fraction, int]:
        """Seconds and frames as the packets say; nothing is decoded."""
        frames, first, end, last, gap = 0, None, 0, 0, 0
        for packet in self.packets():
            if packet.is_discard or not packet.size:
                continue
            frames += 1
            if packet.pts is not None:
                # MKV and WebM may not say how long a frame stays: as long as the others, then.
                gap = min(abs(packet.pts - last), gap or math.inf) if first is not None else 0
                first = packet.pts if first is None else min(first, packet.pts)
                last, end = packet.pts, max(end, packet.pts + (packet.duration or gap))
                self.check_length((end - first) * self.time_base, frames)
        regular = frames / (self.rate or Fraction(USUAL_RATE))
        length = regular if first is None else (end - first) * self.time_base
        # MKV rounds times to milliseconds; frames of a regular rate end where they say.
        return regular if abs(length - regular) < 2 * self.time_base else length, frames


def open_container(file: BinaryIO, demuxer: str, name: str) -> av.container.InputContainer:
    """Open bytes with one demuxer, which may open nothing else; raises MediaError."""
    options = {
        "format_whitelist": demuxer,
        "protocol_whitelist": "none",
        "codec_whitelist": ",".join(sorted(VIDEO_CODECS | SOUND_CODECS)),
    }
    try:
        return av.open(file, format=demuxer, options=options, io_open=_refuse, buffer_size=2**18)
    except (av.error.FFmpegError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{name} cannot be read ({reason}): it is damaged, or the recording was cut off before "
            f"its index was written; whole {ACCEPTED} files are accepted: copy it again"
        ) from error


def _refuse(url: str, flags: int, options: dict[str, str]) -> BinaryIO:
    raise PermissionError(f"a clip may not open {url}")


def _check_streams(container: av.container.InputContainer, name: str, limits: Limits) -> None:
    if len(container.streams) > limits.streams:
        raise MediaError(
            f"{name} has {len(container.streams)} streams; at most {limits.streams} are accepted: "
            "save it with one picture and its sound"
        )


def _picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first stream that is no cover picture."""
    cover = Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise MediaError(
            f"{name} has no moving picture in its {len(container.streams)} streams; clips with one "
            "are accepted: choose another file"
        )
    context = streams[0].codec_context
    codec = context.name if context is not None else "an unknown codec"
    if codec not in VIDEO_CODECS:
        raise MediaError(
            f"the picture of {name} is {codec}; H.264, HEVC, AV1, VP8, VP9, MPEG, ProRes and "
            "other common codecs are accepted: save it as H.264"
        )
    return streams[0]


def _decoder(stream: av.VideoStream) -> CodecContext:
    context = stream.codec_context
    if stream.metadata.get("alpha_mode") != "1" or context.name not in ALPHA_DECODERS:
        return context
    decoder = CodecContext.create(ALPHA_DECODERS[context.name], "r")
    decoder.extradata = context.extradata
    return decoder
