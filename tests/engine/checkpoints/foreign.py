"""Foreign files as their programs write them, made of tiny networks; and raw pickle snippets."""

import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch

LEGACY_HEADER = b"".join(
    pickle.dumps(x, 2) for x in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
)
SOURCE = "open({marker!r}, 'w')  # NVIDIA's loader runs this text"


def snippet(value: object) -> bytes:
    """Instructions that push `value`, to be put anywhere into a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def call(name: str, *arguments: object) -> bytes:
    """Instructions that call module.name with plain arguments."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + snippet(arguments) + b"R"


def whole(instructions: bytes, protocol: int = 2) -> bytes:
    """A complete pickle."""
    return bytes([0x80, protocol]) + instructions + b"."


def zip_file(path: Path, entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip archive with these entries."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def torch_zip(path: Path, data_pickle: bytes, storages: dict[str, bytes] | None = None) -> Path:
    """A torch zip file around any pickle."""
    records = {f"archive/data/{key}": data for key, data in (storages or {}).items()}
    return zip_file(path, {"archive/data.pkl": data_pickle, "archive/version": b"3\n", **records})


def npy_of_objects(data_pickle: bytes) -> bytes:
    """A .npy file of objects around any pickle."""
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": ()}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + data_pickle


def tensor_snippet(
    count: int, size: tuple, stride: tuple, offset: int = 0, location: str = "cpu"
) -> bytes:
    """Instructions for a float tensor in storage "0" of `count` elements."""
    reference = b"(" + snippet("storage") + b"ctorch\nFloatStorage\n" + snippet("0")
    reference += snippet(location) + snippet(count) + b"tQ"
    rest = snippet(offset) + snippet(size) + snippet(stride) + b"\x89N"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + rest + b"tR"


def legacy_file(instructions: bytes, storages: dict[str, tuple[int, bytes]]) -> bytes:
    """A file of torch's old format around any instructions; storages: key -> (count, bytes)."""
    keys = pickle.dumps(list(storages), 2)
    blocks = b"".join(struct.pack("<q", count) + data for count, data in storages.values())
    return LEGACY_HEADER + whole(instructions) + keys + blocks


def live_in(monkeypatch, module: str, member: type | types.FunctionType) -> None:
    """Let a class or function pickle as a member of a module that is not installed."""
    parts = module.split(".")
    for i in range(len(parts)):
        name = ".".join(parts[: i + 1])
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    member.__module__, member.__qualname__ = module, member.__name__
    setattr(sys.modules[module], member.__name__, member)


def nvidia_pickle(
    monkeypatch, marker: Path, hostile: object = None
) -> tuple[bytes, torch.nn.Module]:
    """A pickle as stylegan2-ada-pytorch writes it, and the network whose weights it holds.

    Every object reduces to `_reconstruct_persistent_obj` with its source text and its state.
    """

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("only its name is used")

    class EasyDict(dict):
        pass

    def persistent(base):
        class Persistent(base):
            def __reduce__(self):
                meta = {
                    "type": "class",
                    "version": 6,
                    "module_src": SOURCE.format(marker=str(marker)),
                    "class_name": base.__name__,
                    "state": self.__dict__,
                }
                return _reconstruct_persistent_obj, (EasyDict(meta),)

        return Persistent

    live_in(monkeypatch, "torch_utils.persistence", _reconstruct_persistent_obj)
    live_in(monkeypatch, "dnnlib.util", EasyDict)

    class MappingNetwork(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc0 = torch.nn.Linear(4, 4)
            self.fc0.__class__ = persistent(torch.nn.Linear)
            self.register_buffer("w_avg", torch.arange(4.0))
            self.hostile = hostile

    class Generator(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.mapping = persistent(MappingNetwork)()
            self._init_kwargs = EasyDict(z_dim=4, synthesis_kwargs=EasyDict(conv_clamp=256))

    network = persistent(Generator)()
    data = {"G": network, "G_ema": network, "training_set_kwargs": EasyDict(path="ffhq.zip")}
    return pickle.dumps({**data, "augment_pipe": None}, 4), network


def tensorflow_pickle(monkeypatch, protocol: int = 3) -> bytes:
    """A pickle of three networks (G, D, Gs) as the TensorFlow code writes it."""

    class Network:
        def __getstate__(self):
            weight = np.arange(6, dtype=np.float32).reshape(2, 3)
            return {
                "version": 4,
                "variables": [("Dense0/weight", weight), ("lod", np.float32(0.5))],
                "components": OrderedDict(),
                "build_module_src": "raise SystemExit",
            }

    live_in(monkeypatch, "dnnlib.tflib.network", Network)
    return pickle.dumps((Network(), Network(), Network()), protocol)
