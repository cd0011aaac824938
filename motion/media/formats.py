"""The only containers and codecs that are opened, told by a file's own first bytes.

A file name proves nothing: ffmpeg opens a playlist or a concat script that is called .mp4, and
both name other files and addresses. So the demuxer is chosen here and forced, before any of
ffmpeg sees the file, and what has no signature of a container is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import MediaError

HEAD_BYTES = 4096
PLAYLISTS = (b"ffconcat", b"#extm3u", b"[playlist]", b"<?xml", b"<mpd", b"<smil")
ACCEPTED = "MP4, MOV, MKV, WebM, AVI, MPEG, MPEG-TS, Ogg, GIF or animated WebP"


@dataclass(frozen=True)
class Format:
    """A container: `name` for messages, `demuxer` of ffmpeg ("" : Pillow reads it)."""

    name: str
    demuxer: str
    matches: Callable[[bytes], bool]
    seeks: bool = False


def _is_mov(head: bytes) -> bool:
    return head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def _is_transport_stream(head: bytes) -> bool:
    """Packets of 188 bytes begin with 0x47; those of Blu-ray have four bytes before it."""
    starts = (head[0::188], head[4::192])
    return any(len(s) >= 3 and set(s[: len(s) - 1]) == {0x47} for s in starts)


# WebP and GIF go to Pillow: it draws the frames of both, and ffmpeg reads no animated WebP.
FORMATS = (
    Format("MP4 or MOV", "mov", _is_mov, seeks=True),
    Format("MKV or WebM", "matroska", lambda head: head[:4] == b"\x1aE\xdf\xa3", seeks=True),
    Format("AVI", "avi", lambda head: head[:4] == b"RIFF" and head[8:12] == b"AVI "),
    Format("MPEG-TS", "mpegts", _is_transport_stream),
    Format("MPEG", "mpeg", lambda head: head[:4] == b"\0\0\x01\xba"),
    Format("Ogg", "ogg", lambda head: head[:4] == b"OggS"),
    Format("GIF", "", lambda head: head[:6] in (b"GIF87a", b"GIF89a")),
    Format("WebP", "", lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
)
VIDEO_CODECS = frozenset(
    "h264 hevc vp8 vp9 libvpx libvpx-vp9 av1 libdav1d mpeg1video mpeg2video mpeg4 msmpeg4v3 h263 "
    "mjpeg prores dnxhd theora ffv1 huffyuv ffvhuff utvideo qtrle png rawvideo v210 dvvideo".split()
)
SOUND_CODECS = frozenset(
    "aac mp3 mp3float mp2 mp2float mp1 mp1float opus libopus vorbis libvorbis flac alac ac3 eac3 "
    "pcm_s16le pcm_s16be pcm_s24le pcm_s24be pcm_s32le pcm_s32be pcm_f32le pcm_f32be pcm_u8 "
    "pcm_s8 pcm_alaw pcm_mulaw adpcm_ima_qt adpcm_ms adpcm_ima_wav amrnb amrwb libopencore_amrnb "
    "libopencore_amrwb".split()
)


def identify(head: bytes, name: str) -> Format:
    """Tell the container from the first HEAD_BYTES of a file; raises MediaError."""
    for form in FORMATS:
        if form.matches(head):
            return form
    if not head:
        value, remedy = "is empty", "copy it again"
    elif head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(PLAYLISTS):
        value, remedy = "is a playlist, not a clip", "name the clip itself"
    elif head.isascii() and b"\0" not in head:
        value, remedy = "is a text, not a clip", "name the clip itself"
    else:
        value = f"holds nothing I open (it begins with {head[:8].hex(' ')})"
        remedy = "save it as MP4"
    raise MediaError(f"{name} {value}; {ACCEPTED} are accepted, whatever it is called: {remedy}")
