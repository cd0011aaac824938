"""What results say about how they were made: written, read back, and not trusted when foreign."""

import io
import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError
from engine.image import read_photo, write_png
from engine.provenance import (
    COMPOSITE,
    GENERATED,
    Mark,
    is_wanted,
    mark_movie,
    read_mark,
    xmp_packet,
)

PICTURE = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def movie(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 32
        for shade in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), shade, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("source", [GENERATED, COMPOSITE])
def test_a_png_says_how_it_was_made_and_keeps_its_pixels(tmp_path: Path, source: str):
    write_png(tmp_path / "a.png", PICTURE, xmp=xmp_packet(source))
    assert read_mark(tmp_path / "a.png") == Mark(source, "stylize", False)
    assert read_mark(tmp_path / "a.png").is_generated
    assert np.array_equal(read_photo(tmp_path / "a.png").rgb, PICTURE)


def test_a_plain_png_says_nothing(tmp_path: Path):
    write_png(tmp_path / "a.png", PICTURE)
    assert read_mark(tmp_path / "a.png") == Mark() and not Mark().is_generated


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_statements_of_other_programs_are_read(tmp_path: Path, kind: str):
    packet = (
        b'<x:xmpmeta><rdf:Description xmp:CreatorTool="Other 1.0" Iptc4xmpExt:DigitalSourceType='
        b'"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"/></x:xmpmeta>'
    )
    Image.fromarray(PICTURE).save(tmp_path / "a", kind, xmp=packet)
    mark = read_mark(tmp_path / "a")
    assert mark == Mark("digitalCapture", "Other 1.0", False) and not mark.is_generated


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_movie_says_how_it_was_made_and_still_plays(tmp_path: Path, suffix: str):
    path = movie(tmp_path / f"a{suffix}")
    before = path.stat().st_size
    assert read_mark(path) == Mark()
    assert mark_movie(path) and read_mark(path) == Mark(COMPOSITE, "stylize", False)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 5
    once = path.stat().st_size
    assert mark_movie(path) and path.stat().st_size == once > before


def test_other_containers_are_left_as_they_are(tmp_path: Path):
    path = movie(tmp_path / "a.mkv")
    before = path.read_bytes()
    assert not mark_movie(path) and path.read_bytes() == before


def test_c2pa_manifests_are_noticed(tmp_path: Path):
    buffer = io.BytesIO()
    Image.fromarray(PICTURE).save(buffer, "PNG")
    data = buffer.getvalue()
    checksum = struct.pack(">I", zlib.crc32(b"caBXjumb"))
    chunk = struct.pack(">I", 4) + b"caBXjumb" + checksum
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    assert read_mark(tmp_path / "a.png").has_c2pa
    box = struct.pack(">I4s", 28, b"uuid") + bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    path = movie(tmp_path / "a.mp4")
    path.write_bytes(path.read_bytes() + box + bytes(4))
    assert read_mark(path) == Mark(None, None, True)


@pytest.mark.parametrize(
    "boxes",
    [
        struct.pack(">I4s", 0, b"uuid"),  # to the end, with nothing there
        struct.pack(">I4sQ", 1, b"uuid", 2**63),  # eight exabytes
        struct.pack(">I4s", 4, b"free"),  # smaller than its own header
        struct.pack(">I4s", 1, b"uuid"),  # a size that is not there
        struct.pack(">I4s", 2**32 - 1, b"uuid") + bytes(40),
    ],
)
def test_movies_that_lie_about_sizes_say_nothing(tmp_path: Path, boxes: bytes):
    path = tmp_path / "a.mp4"
    path.write_bytes(struct.pack(">I4s", 16, b"ftyp") + b"isom" + bytes(4) + boxes)
    assert read_mark(path) == Mark()


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ImageError, match="PNG, JPEG, WebP, MP4 and MOV are accepted"):
        read_mark(tmp_path / "a.png")


def test_the_switch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("STYLIZE_MARK", raising=False)
    assert is_wanted()
    monkeypatch.setenv("STYLIZE_MARK", "Off")
    assert not is_wanted()
