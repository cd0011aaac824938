"""numpy's arrays, types and scalars in pickles, and .npy and .npz files, as tensors."""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
import torch

from engine.checkpoints.values import Shell, shortened
from engine.errors import CheckpointError

NPY_MAGIC = b"\x93NUMPY"
_NUMBERS = re.compile(r"[<>|=]?([fiub])(1|2|4|8)")
_TEXT = re.compile(r"[<>|=]?U\d{1,4}")
_OBJECT = re.compile(r"[<>|=]?O8?")


class Type(Shell):
    """Stands for a numpy.dtype, by its short text such as "f4"."""

    def __init__(self, code: Any) -> None:
        self.code, self.order = code, "|"

    def build(self, state: Any, spend: Callable[[int], None]) -> None:
        """Take the byte order, the second of numpy's eight state values."""
        if state[1] not in ("<", ">", "|", "="):
            raise CheckpointError(f"an array has the byte order {shortened(state[1])}")
        self.order = state[1]

    @property
    def is_object(self) -> bool:
        """Whether the array is a list of Python objects."""
        return type(self.code) is str and bool(_OBJECT.fullmatch(self.code))

    @property
    def dtype(self) -> np.dtype:
        """The type itself, if it is one of numbers or text; raises CheckpointError."""
        if type(self.code) is str and (_NUMBERS.fullmatch(self.code) or _TEXT.fullmatch(self.code)):
            return np.dtype(self.code).newbyteorder(self.order)
        raise CheckpointError(
            f"an array holds elements of type {shortened(self.code)}; numbers are accepted"
        )

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> str:
        """Return the text of the type."""
        return self.code if self.is_object else self.dtype.str


class Array(Shell):
    """Stands for a numpy array until its state arrives."""

    def __init__(self) -> None:
        self.value: np.ndarray | list | None = None

    def build(self, state: Any, spend: Callable[[int], None]) -> None:
        """Take numpy's state: version, shape, type, whether in Fortran order, elements."""
        _, shape, kind, is_fortran, elements = state
        if isinstance(kind, Type) and kind.is_object and type(elements) is list:
            self.value = elements[0] if shape == () and len(elements) == 1 else elements
        else:
            is_text = isinstance(elements, str)
            spend(len(elements) if is_text else 0)
            data = elements.encode("latin-1") if is_text else elements
            self.value = array_over(data, dtype_of(kind), shape, bool(is_fortran))

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> Any:
        """Return a tensor; of text a list, of objects a list or the only object."""
        if isinstance(self.value, np.ndarray):
            spend(self.value.nbytes)
            return plain_array(self.value)
        return settle(self.value)


def dtype_of(kind: Any) -> np.dtype:
    """Return the numpy type of a shell; raises CheckpointError."""
    if not isinstance(kind, Type):
        raise CheckpointError(f"an array has a {type(kind).__name__} for its type")
    return kind.dtype


def array_over(data: Any, dtype: np.dtype, shape: Any, is_fortran: bool) -> np.ndarray:
    """Return an array on top of `data`, whose length has to fit the shape exactly."""
    if not all(type(n) is int and 0 <= n < 2**48 for n in shape) or len(shape) > 16:
        raise CheckpointError("an array's shape is not made of whole numbers; the file is damaged")
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(data):
        raise CheckpointError(
            f"an array of shape {list(shape)} takes {expected:,} bytes and has {len(data):,}; "
            "the file is incomplete or damaged"
        )
    order = "F" if is_fortran else "C"
    return np.frombuffer(data, dtype).reshape(shape, order=order)


def plain_array(array: np.ndarray) -> Any:
    """Return a copy as a tensor, or text as a (nested) list of str."""
    if array.dtype.kind == "U":
        return array.tolist()
    native = np.array(array, dtype=array.dtype.newbyteorder("="), order="C", copy=True)
    return torch.from_numpy(native)


def scalar(kind: Any, data: Any) -> float | int | bool:
    """Return a numpy scalar of a pickle as a Python number."""
    return array_over(data, dtype_of(kind), (), False).item()


def read_npy(stream: BinaryIO, read_objects: Callable[[BinaryIO], Any]) -> Any:
    """Return the tensor of a .npy stream; arrays of objects, a pickle, go to `read_objects`."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise CheckpointError(f"it has version {version} of numpy's format; 1.0 and 2.0 are known")
    read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
    shape, is_fortran, dtype = read_header(stream)
    if dtype.hasobject:
        return read_objects(stream)
    return plain_array(array_over(stream.read(), Type(dtype.str).dtype, shape, is_fortran))


def read_npz(archive: zipfile.ZipFile, read_objects: Callable[[BinaryIO], Any]) -> dict[str, Any]:
    """Return the arrays of an archive whose sizes were checked, by their names."""
    arrays = {}
    for entry in archive.infolist():
        if entry.filename.endswith(".npy"):
            with archive.open(entry) as file:
                # With a limit: read() alone unpacks a gigabyte, whatever size the entry declares.
                stream = io.BytesIO(file.read(entry.file_size))
            arrays[entry.filename.removesuffix(".npy")] = read_npy(stream, read_objects)
    return arrays
