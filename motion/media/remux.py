"""In the decoding process: copy packets of pictures and sound into one file, in step."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from engine.errors import MediaError
from motion.media.decode import Timeline
from motion.media.encode import container_options
from motion.media.opening import open_source
from motion.media.sound import PREROLL, Copy, Recode, Window, sound_tracks
from motion.media.source import Source
from motion.media.stream import open_container

PCM = frozenset(f"pcm_{kind}" for kind in "s16le s16be s24le s24be s32le s32be f32le f32be".split())
AAC_LIKE = frozenset("aac mp3 ac3 eac3".split())
# Suffix -> (muxer, sounds that players know in it, what the others become).
CONTAINERS = {
    ".mp4": ("mp4", AAC_LIKE | {"opus", "flac", "alac"}, "aac"),
    ".mov": ("mov", AAC_LIKE | PCM | {"alac"}, "aac"),
    ".mkv": ("matroska", AAC_LIKE | PCM | {"mp2", "opus", "vorbis", "flac"}, "aac"),
    ".webm": ("webm", frozenset({"opus", "vorbis"}), "libopus"),
}
Dated = tuple[Fraction, int, av.Packet]


def remux(clip: BinaryIO, request: dict[str, Any], alive: Callable[[], None]) -> list[str]:
    """Do the task "join"; `alive` is called for each packet. Returns notes."""
    out = Path(request["out"])
    muxer = CONTAINERS[out.suffix][0]
    source, origin = _open_sound(clip, request)
    try:
        with av.open(str(out), "w", muxer, container_options=container_options(muxer)) as result:
            segments = [Path(segment) for segment in request["segments"]]
            packets = [
                _pictures(result, segments, muxer),
                _sounds(result, source, out.suffix, _window(request, origin)),
            ]
            for _, _, packet in heapq.merge(*packets, key=lambda dated: dated[:2]):
                try:
                    result.mux(packet)
                except av.error.InvalidDataError:
                    source.note("some of its sound is damaged and left out")
                alive()
    except OSError as error:
        raise MediaError(
            f"cannot write the joined clip of {request['name']}: {error.strerror}; a folder with "
            "free space is accepted: choose another place or make room"
        ) from error
    return source.notes()


def _open_sound(clip: BinaryIO, request: dict[str, Any]) -> tuple[Source, Fraction]:
    """The source, ready to give its sound; and the timestamp of its first frame, in seconds."""
    source = open_source(clip, request)
    timeline = Timeline(source)
    next(timeline(source.pictures()), None)
    source = open_source(clip, request)
    if tracks := sound_tracks(source):
        source.read_only(tracks)
    return source, timeline.origin or Fraction(0)


def _window(request: dict[str, Any], origin: Fraction) -> Window:
    start = Fraction(*request["start"])
    end = Fraction(*request["end"]) - start if request["end"] else None
    return Window(origin + start, end, PREROLL)


def _pictures(
    result: av.container.OutputContainer, segments: list[Path], muxer: str
) -> Iterator[Dated]:
    """Add the stream of pictures now, yield its packets when asked."""
    demuxer = "mov" if muxer in ("mp4", "mov") else "matroska"
    with segments[0].open("rb") as file:
        template = open_container(file, demuxer, segments[0].name).streams.video[0]
        out = result.add_stream_from_template(template)
        look = _look(template)
    return _picture_packets(out, segments, demuxer, look)


def _picture_packets(
    out: av.VideoStream, segments: list[Path], demuxer: str, look: tuple
) -> Iterator[Dated]:
    passed = Fraction(0)
    for segment in segments:
        with (
            segment.open("rb") as file,
            open_container(file, demuxer, segment.name) as container,
        ):
            stream = container.streams.video[0]
            _check_alike(segment.name, look, _look(stream))
            shift = round(passed / stream.time_base)
            for packet in container.demux(stream):
                if packet.size:
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    time = packet.dts * packet.time_base
                    packet.stream = out
                    yield time, 0, packet
            passed += _length(container, stream)


def _length(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    """Seconds; MP4 knows them in ticks, MKV in milliseconds."""
    if stream.duration:
        return stream.duration * stream.time_base
    return Fraction(container.duration or 0, 1_000_000)


def _look(stream: av.VideoStream) -> tuple:
    context = stream.codec_context
    return context.name, context.width, context.height, context.pix_fmt, context.extradata


def _check_alike(name: str, first: tuple, other: tuple) -> None:
    if first != other:
        raise MediaError(
            f"segment {name} is {other[0]} {other[1]}x{other[2]} {other[3]}, the first one is "
            f"{first[0]} {first[1]}x{first[2]} {first[3]}; segments of one job with one setting "
            "are accepted: remove the segments and run the job again"
        )


def _sounds(
    result: av.container.OutputContainer, source: Source, suffix: str, window: Window
) -> Iterator[Dated]:
    """Add every sound track now, yield their packets when asked."""
    muxer, copied, fallback = CONTAINERS[suffix]
    tracks = {}
    for stream in sound_tracks(source):
        codec = stream.codec_context.codec.canonical_name
        if codec in copied:
            early = PREROLL if muxer in ("mp4", "mov") else _codec_delay(stream)
            tracks[stream.index] = Copy(result, stream, Window(window.shift, window.end, early))
        else:
            source.note(f"its sound is {codec}, which {suffix} cannot hold: it is encoded again")
            tracks[stream.index] = Recode(result, stream, window, fallback)
    return _sound_packets(source, tracks)


def _sound_packets(source: Source, tracks: dict[int, Copy | Recode]) -> Iterator[Dated]:
    if not tracks:
        return
    streams = [source.container.streams[index] for index in tracks]
    try:
        for packet in source.container.demux(streams):
            for ready in tracks[packet.stream.index](packet):
                yield (ready.dts or 0) * ready.time_base, 1, ready
    except (av.error.FFmpegError, IndexError):  # IndexError: streams out of nowhere
        source.note("its sound is damaged and ends early")


def _codec_delay(stream: av.AudioStream) -> Fraction:
    """Sound before 0 that MKV and WebM can express: the pre-skip of an Opus header (RFC 7845)."""
    header = stream.codec_context.extradata or b""
    if not header.startswith(b"OpusHead") or len(header) < 12:
        return Fraction(0)
    return Fraction(int.from_bytes(header[10:12], "little"), 48000)
