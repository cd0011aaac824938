import pytest

from engine.errors import MediaError
from motion.media.formats import identify


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x20ftypisom", "MP4 or MOV"),
        (b"\0\0\0\x08wide\0\0", "MP4 or MOV"),
        (b"\x1aE\xdf\xa3\x01", "MKV or WebM"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"RIFF\0\0\0\0WEBPVP8X", "WebP"),
        (b"GIF89a\0\0", "GIF"),
        (b"OggS\0\x02", "Ogg"),
        (b"\0\0\x01\xba\x44", "MPEG"),
        ((b"\x47" + bytes(187)) * 4, "MPEG-TS"),
        ((bytes(4) + b"\x47" + bytes(187)) * 4, "MPEG-TS"),
    ],
)
def test_a_container_is_told_by_its_first_bytes(head: bytes, name: str) -> None:
    assert identify(head, "clip.xyz").name == name


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "is empty"),
        (b"ffconcat version 1.0\nfile x.mp4\n", "is a playlist"),
        (b"\xef\xbb\xbf#EXTM3U\n#EXTINF:1,\nx.ts\n", "is a playlist"),
        (b"<?xml version='1.0'?><MPD/>", "is a playlist"),
        (b"file x.mp4\n", "is a text"),
        (b"\x89PNG\r\n\x1a\n\0\0", "89 50 4e 47"),
        (b"RIFF\0\0\0\0WAVEfmt ", "52 49 46 46"),
        (b"\x47" + bytes(400), "47 00"),
    ],
)
def test_anything_else_is_refused_whatever_it_is_called(head: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=f"clip.mp4.*{reason}.*accepted"):
        identify(head, "clip.mp4")
