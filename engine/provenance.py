"""Provenance: every result says, where machines read it, that a trained network made it.

The statement is IPTC's "digital source type" in an XMP packet: in PNG as the iTXt chunk
`XML:com.adobe.xmp`, in MP4 and MOV as a `uuid` box at the end of the file. Viewers, archives and
platforms read it there; no pixel changes. It is on by default, because readers of a picture cannot
know otherwise, and in many places the law asks for it (EU AI Act, Article 50); `$STYLIZE_MARK=off`
turns it off. It says nothing about whose picture it is, and anyone can remove it: its presence
tells something, its absence nothing.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from engine.errors import ImageError

VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
# A picture that is drawn as a whole; a photo or clip with drawn parts in it.
GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
TOOL = "stylize"
PNG_KEY = "XML:com.adobe.xmp"
SWITCH = "STYLIZE_MARK"

_XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_C2PA_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_MOVIES = (".mp4", ".mov", ".m4v")
_MAX_PACKET = 1 << 20
_SOURCE = re.compile(rb"digitalsourcetype/([A-Za-z]{1,64})")
_CREATOR = re.compile(rb'CreatorTool(?:>|=")([^<"]{1,100})')


@dataclass(frozen=True)
class Mark:
    """What a file says about how it was made.

    Attributes:
        source: IPTC's term, as `trainedAlgorithmicMedia`; None where it says nothing.
        tool: the program that is named as its maker, or None.
        has_c2pa: whether a C2PA manifest is in it; it is not checked here.
    """

    source: str | None = None
    tool: str | None = None
    has_c2pa: bool = False

    @property
    def is_generated(self) -> bool:
        """Whether the file says that a trained network drew it, or parts of it."""
        return self.source in (GENERATED, COMPOSITE)


def is_wanted() -> bool:
    """Whether results are marked: yes, unless `$STYLIZE_MARK` is off, 0, no or false."""
    return os.environ.get(SWITCH, "on").strip().lower() not in ("off", "0", "no", "false")


def xmp_packet(source: str = COMPOSITE) -> bytes:
    """Return the XMP packet of a result; `source` is GENERATED or COMPOSITE."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
        f"<xmp:CreatorTool>{TOOL}</xmp:CreatorTool>"
        f"<Iptc4xmpExt:DigitalSourceType>{VOCABULARY}{source}</Iptc4xmpExt:DigitalSourceType>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def mark_movie(path: str | os.PathLike, source: str = COMPOSITE) -> bool:
    """Append the statement to a finished MP4 or MOV; False for other containers, left as they are.

    Players skip boxes they do not know. A file that is marked already stays as it is. Raises
    ImageError where the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _MOVIES:
        return False
    if read_mark(path).source is None:
        packet = xmp_packet(source)
        try:
            with path.open("ab") as file:
                file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX + packet)
        except OSError as error:
            raise ImageError(f"cannot mark {path}: {error.strerror}; make room") from error
    return True


def read_mark(path: str | os.PathLike) -> Mark:
    """Read what a picture or a movie says about how it was made; raises ImageError.

    Nothing in the file is trusted: no pixel is decoded, no XML is parsed, sizes are bounded.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(12)[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
                return _of_movie(file)
            file.seek(0)
            return _of_picture(file)
    except OSError as error:
        reason = error.strerror or "unknown format"
        raise ImageError(
            f"{path.name} cannot be read as a picture or movie: {reason}; "
            "PNG, JPEG, WebP, MP4 and MOV are accepted"
        ) from error


def _of_picture(file: BinaryIO) -> Mark:
    """XMP as Pillow finds it, and the bytes that announce a C2PA manifest."""
    head = file.read(_MAX_PACKET)
    has_c2pa = b"caBX" in head or b"jumbc2pa" in head or b"c2pa.manifest" in head
    file.seek(0)
    try:
        with Image.open(io.BytesIO(file.read(64 * _MAX_PACKET))) as image:
            packet = image.info.get("xmp") or image.info.get(PNG_KEY) or b""
    except (SyntaxError, ValueError, KeyError, struct.error, Image.DecompressionBombError) as error:
        raise OSError("damaged or of an unknown format") from error
    packet = packet.encode() if isinstance(packet, str) else bytes(packet)
    return _mark_of(packet[:_MAX_PACKET], has_c2pa)


def _of_movie(file: BinaryIO) -> Mark:
    packet, has_c2pa = b"", False
    for owner, size in _uuid_boxes(file):
        if owner == _XMP_BOX:
            packet = file.read(min(size, _MAX_PACKET))
        has_c2pa |= owner == _C2PA_BOX
    return _mark_of(packet, has_c2pa)


def _uuid_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield (owner, bytes of content) of each top-level uuid box, the file at its content."""
    position, end = 0, file.seek(0, io.SEEK_END)
    while position + 8 <= end:
        file.seek(position)
        size, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if size == 1:  # a size of 64 bits follows
            size, header = struct.unpack(">Q", file.read(8).rjust(8, b"\0"))[0], 16
        size = end - position if size == 0 else size
        if size < header:
            return
        if kind == b"uuid" and size >= header + 16:
            yield file.read(16), size - header - 16
        position += size


def _mark_of(packet: bytes, has_c2pa: bool) -> Mark:
    source, tool = _SOURCE.search(packet), _CREATOR.search(packet)
    words = [found and found[1].decode("utf-8", "replace") for found in (source, tool)]
    return Mark(words[0], words[1], has_c2pa)
