"""What torch.save writes: zip archives since torch 1.6, and the older stream of pickles.

The pickles in them go through our own machine instead of torch.load(weights_only=True): that one
hashes and resizes what a file asks it to, so that a small file can crash it or claim any memory.
"""

from __future__ import annotations

import io
import mmap
import struct
import zipfile
from typing import Any

from engine.checkpoints.pickles import Machine
from engine.checkpoints.tensors import ElementType, Storage
from engine.checkpoints.values import shortened
from engine.checkpoints.zips import stored_bytes
from engine.errors import CheckpointError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001


class Storages:
    """The storages that a file's pickle has referred to, by their key."""

    def __init__(self) -> None:
        self.by_key: dict[str, Storage] = {}

    def __call__(self, reference: Any) -> Storage:
        """Answer ("storage", type, key, location, count[, view]); the location does not matter."""
        if type(reference) is not tuple or len(reference) not in (5, 6):
            raise CheckpointError("it refers to a storage in a way that is not torch's")
        tag, kind, key, _, count, *view = reference
        if tag != "storage" or not isinstance(kind, ElementType) or type(key) is not str:
            raise CheckpointError(f"it refers to {shortened(tag)}; storages are known")
        if view not in ([], [None]):
            raise CheckpointError("its tensors share storages as torch 0.3 did; save it again")
        storage = self.by_key.setdefault(key, Storage(kind.dtype, count))
        if (storage.dtype, storage.count) != (kind.dtype, count):
            raise CheckpointError(f"it describes storage {shortened(key)} in two ways")
        return storage


def read_zip(archive: zipfile.ZipFile, content: mmap.mmap, machine: Machine) -> Any:
    """Return the plain values of a torch zip file; tensors lie on top of `content`."""
    entries = {entry.filename: entry for entry in archive.infolist()}
    names = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(names) != 1:
        raise CheckpointError("it is a zip archive with several data.pkl; torch.save writes one")
    folder = names[0].removesuffix("data.pkl")
    if f"{folder}constants.pkl" in entries:
        raise CheckpointError("it is a TorchScript program, that is code; a state_dict is accepted")
    order = entries.get(f"{folder}byteorder")
    if order and bytes(stored_bytes(content, order)) != b"little":
        raise CheckpointError("it was saved on a big-endian machine; save it again on another")
    machine.persistent = storages = Storages()
    value = machine.load(io.BytesIO(stored_bytes(content, entries[names[0]])))
    for key, storage in storages.by_key.items():
        entry = entries.get(f"{folder}data/{key}")
        if entry is None:
            raise CheckpointError(f"its entry data/{shortened(key)} is missing; get it again")
        storage.take(stored_bytes(content, entry))
    return machine.settle(value)


def read_legacy(content: memoryview | mmap.mmap, machine: Machine) -> Any:
    """Return the values of a file of torch before 1.6: four pickles, keys, and raw storages.

    A bare storage is returned as such: that is what pickles of whole tensors hold inside.
    """
    stream = content if isinstance(content, mmap.mmap) else io.BytesIO(content)
    machine.persistent = storages = Storages()
    magic, protocol, system = (machine.load(stream) for _ in range(3))
    if magic != LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
        raise CheckpointError(f"it has version {shortened(protocol)} of torch's old format")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise CheckpointError("it was saved on a big-endian machine; save it again on another")
    value = machine.load(stream)
    keys = machine.load(stream)
    data, position = memoryview(content), stream.tell()
    for key in keys:
        if type(key) is not str or key not in storages.by_key:
            raise CheckpointError(f"it lists a storage {shortened(key)} that no tensor uses")
        (count,) = struct.unpack_from("<q", data, position)
        storage = storages.by_key[key]
        if count != storage.count:
            raise CheckpointError(
                f"storage {shortened(key)} has {count:,} elements, not {storage.count:,}"
            )
        storage.take(data[position + 8 :])
        position += 8 + storage.num_bytes
    return value if isinstance(value, Storage) else machine.settle(value)
