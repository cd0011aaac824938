"""Messages between the decoding process and ours: a line of JSON and raw bytes, nothing executable.

4 bytes length of the JSON | 8 bytes length of the payload | JSON | payload
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

import numpy as np

_LENGTHS = struct.Struct("<IQ")
_MAX_JSON = 2**20


def send(stream: BinaryIO, message: dict[str, Any], *arrays: np.ndarray) -> None:
    """Write one message; `arrays` are uint8 and follow each other in the payload."""
    text = json.dumps(message).encode()
    stream.write(_LENGTHS.pack(len(text), sum(array.nbytes for array in arrays)) + text)
    for array in arrays:
        stream.write(np.ascontiguousarray(array).reshape(-1).data)
    stream.flush()


def receive(stream: BinaryIO, max_payload: int) -> tuple[dict[str, Any], np.ndarray]:
    """Read one message and its payload, uint8 [n].

    Raises:
        EOFError: the other side is gone, or says more than `max_payload` bytes will come.
    """
    text_bytes, payload_bytes = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    if text_bytes > _MAX_JSON or payload_bytes > max_payload:
        raise EOFError(f"a message of {text_bytes} + {payload_bytes} bytes")
    message = json.loads(bytes(_read(stream, text_bytes)))
    return message, np.frombuffer(_read(stream, payload_bytes), np.uint8)


def _read(stream: BinaryIO, size: int) -> bytearray:
    data = bytearray(size)
    view, done = memoryview(data), 0
    while done < size:
        count = stream.readinto(view[done:])
        if not count:
            raise EOFError(f"the stream ends {size - done} bytes early")
        done += count
    return data
