"""In the decoding process: a clip opened with everything forbidden that its task does not need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.codec.context import CodecContext
from av.stream import Discard, Disposition

from engine.errors import MediaError
from motion.media.formats import ACCEPTED, FORMATS, SOUND_CODECS, VIDEO_CODECS
from motion.media.limits import Limits

# ffmpeg's own VP8 and VP9 decoders skip the second stream in which WebM keeps transparency.
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
MAX_RATE = 240


@dataclass
class Source:
    """An opened clip: its container, the one stream of pictures, and what went wrong so far."""

    name: str
    seeks: bool
    limits: Limits
    container: av.container.InputContainer
    stream: av.VideoStream
    decoder: CodecContext
    notes: list[str] = field(default_factory=list)
    broken: int = 0

    def packets(self) -> Iterator[av.Packet]:
        """Demux the pictures up to the end, or to where the file breaks off; then a flush."""
        try:
            yield from self.container.demux(self.stream)
        except (av.error.FFmpegError, EOFError) as error:
            self.note(f"the file is damaged and ends early ({error.strerror})")
            yield av.Packet()

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Decode in the order of display; what cannot be decoded is counted and left out."""
        for packet in self.packets():
            try:
                # A flushing packet has no data; a decoder made by hand wants None for it.
                decoded = self.decoder.decode(packet if packet.size else None)
            except av.error.FFmpegError:
                self.broken += 1
                continue
            for picture in decoded:
                self.check_size(picture.width, picture.height)
                self.broken += picture.is_corrupt
                yield picture

    def note(self, text: str) -> None:
        """Add a warning for the user, once."""
        if text not in self.notes:
            self.notes.append(text)

    def all_notes(self) -> list[str]:
        """Every warning so far, the broken frames counted."""
        if not self.broken:
            return self.notes
        frames = "1 frame is" if self.broken == 1 else f"{self.broken} frames are"
        return [*self.notes, f"{frames} damaged: the picture before stays on screen"]

    def check_size(self, width: int, height: int) -> None:
        """Raise MediaError for frames above the limit."""
        if width * height > self.limits.pixels:
            megapixels = self.limits.pixels / 1e6
            raise MediaError(
                f"{self.name} has frames of {width}x{height}; at most {megapixels:.3g} megapixels "
                "are accepted: save a smaller version"
            )

    def check_length(self, time: Fraction, frames: int) -> None:
        """Raise MediaError above the limit; `frames` were read up to `time` seconds."""
        seconds = self.limits.seconds
        if time > seconds:
            raise MediaError(
                f"{self.name} is longer than {seconds:g} s; clips up to that are accepted: cut it"
            )
        if frames > (seconds + 1) * MAX_RATE:
            raise MediaError(
                f"{self.name} has over {frames - 1} frames in {float(time):.1f} s; at most "
                f"{MAX_RATE} a second in {seconds:g} s are accepted: save it at a lower rate"
            )


def open_source(file: BinaryIO, request: dict[str, Any]) -> Source:
    """Open the clip of a request from the standard input; raises MediaError."""
    name, limits = request["name"], Limits(**request["limits"])
    form = next(form for form in FORMATS if form.name == request["format"])
    container = open_container(file, form.demuxer, name)
    if len(container.streams) > limits.streams:
        raise MediaError(
            f"{name} has {len(container.streams)} streams; at most {limits.streams} are accepted: "
            "save it with one picture and its sound"
        )
    stream = _picture_stream(container, name)
    source = Source(name, form.seeks, limits, container, stream, stream.codec_context)
    source.check_size(stream.codec_context.width, stream.codec_context.height)
    if stream.metadata.get("alpha_mode") == "1" and stream.codec_context.name in ALPHA_DECODERS:
        source.decoder = _alpha_decoder(stream)
    source.decoder.options = {"max_pixels": str(limits.pixels)}
    source.decoder.thread_type = "AUTO"
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return source


def open_container(file: BinaryIO, demuxer: str, name: str) -> av.container.InputContainer:
    """Open bytes with one demuxer, which may open nothing else; raises MediaError."""
    full = av.format.ContainerFormat(demuxer, "r").name
    options = {
        "format_whitelist": full,
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


def _picture_stream(container: av.container.InputContainer, name: str) -> av.VideoStream:
    """The first stream that is no cover picture."""
    cover = Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & cover]
    if not streams:
        raise MediaError(
            f"{name} has no moving picture, only {len(container.streams)} other streams; clips "
            "with a picture are accepted: choose another file"
        )
    context = streams[0].codec_context
    codec = context.name if context is not None else "an unknown codec"
    if codec not in VIDEO_CODECS:
        raise MediaError(
            f"the picture of {name} is {codec}; H.264, HEVC, AV1, VP8, VP9, MPEG, ProRes and "
            "other common codecs are accepted: save it as H.264"
        )
    return streams[0]


def _alpha_decoder(stream: av.VideoStream) -> CodecContext:
    decoder = CodecContext.create(ALPHA_DECODERS[stream.codec_context.name], "r")
    decoder.extradata = stream.codec_context.extradata
    decoder.time_base = stream.time_base
    return decoder
