"""PNG, as fast as it is small: what a large drawing waits for is its file."""

import struct
import zlib

import cv2
import numpy as np

HEADER_END = 33  # bytes of the signature and of IHDR, the first chunk
XMP_KEY = b"XML:com.adobe.xmp"


def encode_png(rgb: np.ndarray, alpha: np.ndarray | None = None, xmp: bytes | None = None) -> bytes:
    """Pack uint8 rgb [H, W, 3], and alpha [H, W], without loss; `xmp` is a packet in UTF-8.

    Each row is kept as its difference from the row above, lightly packed: of drawings and of noisy
    photos as small as Pillow's level 3, which tries every filter, in less than half its time.
    """
    bgr = rgb[..., ::-1]
    pixels = np.ascontiguousarray(bgr) if alpha is None else np.dstack([bgr, alpha])
    settings = [cv2.IMWRITE_PNG_COMPRESSION, 2, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    data = cv2.imencode(".png", pixels, settings)[1].data
    middle = _chunk(b"iTXt", XMP_KEY + bytes(5) + xmp) if xmp else b""  # in plain text, no language
    return b"".join([data[:HEADER_END], middle, data[HEADER_END:]])


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
