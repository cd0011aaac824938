"""The names that pickles of weights may ask for, and what each stands for here.

A name is a key of a table, never something to import. Most stand for a constructor of plain values;
classes that are only passed along stand for a word.
"""

from __future__ import annotations

from typing import Any

import torch

from engine.checkpoints.arrays import Array, Type, array_over, dtype_of, scalar
from engine.checkpoints.pickles import Machine
from engine.checkpoints.tensors import ElementType, Storage, View
from engine.checkpoints.torch_files import read_legacy
from engine.checkpoints.values import Attributes, Function, Unrun, dict_of, shortened
from engine.errors import CheckpointError

_STORAGES = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
    "Untyped": torch.uint8,
}
STORAGE_NAMES: dict[tuple[str, str], Any] = {
    (module, f"{name}Storage"): ElementType(dtype)
    for module in ("torch", "torch.cuda", "torch.storage")
    for name, dtype in _STORAGES.items()
}
_NUMPY_CORES = ("numpy.core", "numpy._core")
_PATHS = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")


def _dict(machine: Machine, items: Any = ()) -> dict:
    return dict_of(items)


def _default_dict(machine: Machine, factory: Any = None, items: Any = ()) -> dict:
    return dict_of(items)


def _namespace(machine: Machine) -> Attributes:
    return Attributes()


def _list(machine: Machine, items: Any = ()) -> list:
    return list(items)


def _size(machine: Machine, sizes: Any) -> tuple:
    return tuple(sizes)


def _encode(machine: Machine, text: str, encoding: str = "latin1") -> bytearray:
    """Old protocols write bytes as text to be encoded by Latin-1."""
    if encoding not in ("latin1", "latin-1"):
        raise CheckpointError(f"it encodes text by {shortened(encoding)}; latin1 is known")
    return bytearray(text.encode("latin-1"))


def _bytes(machine: Machine, data: Any = b"", encoding: str = "latin1") -> bytearray:
    if not isinstance(data, (str, bytes, bytearray)):
        raise CheckpointError(f"it makes bytes of {shortened(data)}; text and bytes are known")
    return _encode(machine, data, encoding) if isinstance(data, str) else bytearray(data)


def _path(machine: Machine, *parts: str) -> str:
    if not all(type(part) is str and len(part) < 4096 for part in parts) or len(parts) > 64:
        raise CheckpointError("it holds a path that is none")
    return "/".join(parts).replace("//", "/")


def _device(machine: Machine, kind: str, index: int | None = None) -> str:
    if type(kind) is not str or type(index) not in (int, type(None)):
        raise CheckpointError("it holds a torch.device that is none")
    return shortened(kind) if index is None else f"{shortened(kind)}:{shortened(index)}"


def _tensor(machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> View:
    """torch._utils._rebuild_tensor and _v2; what follows (gradient, hooks) means nothing to us."""
    return View(storage, offset, size, stride, None)


def _typed_tensor(
    machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any
) -> View:
    """torch._utils._rebuild_tensor_v3: requires_grad, backward_hooks, dtype, metadata follow."""
    kind = rest[2]
    if not isinstance(kind, ElementType):
        raise CheckpointError(f"a tensor has a {type(kind).__name__} for its type")
    return View(storage, offset, size, stride, kind.dtype)


def _parameter(machine: Machine, tensor: Any, *_: Any) -> View:
    if not isinstance(tensor, View):
        raise CheckpointError(f"a parameter is a {type(tensor).__name__}, not a tensor")
    return tensor


def _from_type(machine: Machine, function: Any, kind: Any, arguments: Any, *_: Any) -> Any:
    """torch._tensor._rebuild_from_type_v2: a tensor with attributes of its own, left out here."""
    return machine.call(function, arguments)


def _stored(machine: Machine, data: Any) -> Storage:
    """torch.storage._load_from_bytes: a torch file in a pickle, that holds one storage."""
    if not isinstance(data, bytearray):
        raise CheckpointError(f"a storage is read from a {type(data).__name__}, not from bytes")
    inner = Machine(STORAGE_NAMES, len(data))
    inner.instructions = machine.instructions
    storage = read_legacy(memoryview(data), inner)
    machine.instructions = inner.instructions
    if not isinstance(storage, Storage):
        raise CheckpointError(f"a storage was expected, a {type(storage).__name__} found")
    return storage


def _persistent(machine: Machine, meta: Any) -> Unrun:
    """NVIDIA's modules: {class_name, state, module_src, ...}; the source text is dropped unread."""
    name = meta["class_name"]
    if type(name) is not str:
        raise CheckpointError(f"a module's class name is a {type(name).__name__}")
    return Unrun("nvidia", name, meta["state"])


def _network(machine: Machine) -> Unrun:
    return Unrun("dnnlib.tflib.network", "Network")


def _array(machine: Machine, *_: Any) -> Array:
    """numpy's _reconstruct; type, shape and elements come with the state."""
    return Array()


def _array_from_buffer(machine: Machine, data: Any, kind: Any, shape: Any, order: Any) -> Array:
    array = Array()
    array.value = array_over(data, dtype_of(kind), shape, order == "F")
    return array


def _type(machine: Machine, code: Any, *_: Any) -> Type:
    return Type(code)


def _number(machine: Machine, kind: Any, data: Any) -> float | int | bool:
    return scalar(kind, data)


_FUNCTIONS = {
    _dict: (
        *("collections.OrderedDict", "collections.Counter", "dnnlib.util.EasyDict"),
        *("dnnlib.EasyDict", "easydict.EasyDict", "builtins.dict"),
    ),
    _default_dict: ("collections.defaultdict",),
    _namespace: ("argparse.Namespace", "types.SimpleNamespace"),
    _list: ("builtins.set", "builtins.frozenset", "builtins.list"),
    _size: ("torch.Size", "builtins.tuple"),
    _encode: ("_codecs.encode",),
    _bytes: ("builtins.bytearray", "builtins.bytes"),
    _path: tuple(f"{m}.{name}" for m in ("pathlib", "pathlib._local") for name in _PATHS),
    _device: ("torch.device",),
    _tensor: ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"),
    _typed_tensor: ("torch._utils._rebuild_tensor_v3",),
    _parameter: (
        *("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
        *("torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"),
    ),
    _from_type: ("torch._tensor._rebuild_from_type_v2",),
    _stored: ("torch.storage._load_from_bytes",),
    _persistent: ("torch_utils.persistence._reconstruct_persistent_obj",),
    _network: ("dnnlib.tflib.network.Network",),
    _array: tuple(f"{core}.multiarray._reconstruct" for core in _NUMPY_CORES),
    _array_from_buffer: tuple(f"{core}.numeric._frombuffer" for core in _NUMPY_CORES),
    _type: ("numpy.dtype",),
    _number: tuple(f"{core}.multiarray.scalar" for core in _NUMPY_CORES),
}
NAMES: dict[tuple[str, str], Any] = {
    **STORAGE_NAMES,
    **{("torch", n): ElementType(d) for n, d in vars(torch).items() if isinstance(d, torch.dtype)},
    ("numpy", "ndarray"): "numpy.ndarray",
    ("torch", "Tensor"): "torch.Tensor",
    **{
        tuple(name.rsplit(".", 1)): Function(function)
        for function, names in _FUNCTIONS.items()
        for name in names
    },
}
