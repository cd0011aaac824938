"""Tensors of a torch file as claims: what a storage and a view of it say they are.

Nothing is allocated while a file is read. A view becomes a tensor at the end, on top of the file's
own bytes, after its sizes were compared with them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from engine.checkpoints.values import Shell, shortened
from engine.errors import CheckpointError

MAX_DIMENSIONS = 16
_ALIGNMENT = 8
_CHUNK = 1 << 22


@dataclass(frozen=True)
class ElementType(Shell):
    """What torch.float16 or a class such as torch.cuda.HalfStorage says of the elements."""

    dtype: torch.dtype

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> str:
        """Return the name of the type, such as "torch.float16"."""
        return str(self.dtype)


class Storage(Shell):
    """A run of elements in a file; `data` is set once its bytes are found."""

    def __init__(self, dtype: torch.dtype, count: int) -> None:
        if not _is_size(count):
            raise CheckpointError(f"a storage claims {shortened(count)} elements")
        self.dtype, self.count = dtype, count
        self.data: memoryview | None = None
        self.paid = False

    @property
    def num_bytes(self) -> int:
        """Bytes that the storage claims."""
        return self.count * self.dtype.itemsize

    def take(self, data: memoryview) -> None:
        """Take the bytes of this storage; raises CheckpointError if it claims more."""
        if self.num_bytes > len(data):
            raise CheckpointError(
                f"a storage claims {self.num_bytes:,} bytes and the file has {len(data):,} for it: "
                "it is incomplete or damaged; get the file again"
            )
        self.data = data[: self.num_bytes]

    @cached_property
    def elements(self) -> Tensor:
        """All elements, [count], on top of the file's bytes where their alignment allows it."""
        if self.data is None:
            raise CheckpointError("a tensor's storage is not in the file; it is incomplete")
        if not self.count:
            return torch.empty(0, dtype=self.dtype)
        octets = torch.frombuffer(self.data, dtype=torch.uint8)
        is_aligned = octets.data_ptr() % _ALIGNMENT == 0
        return (octets if is_aligned else octets.clone()).view(self.dtype)

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> Tensor:
        """Return all elements as one tensor; `paid` so that shared storages count once."""
        if not self.paid:
            spend(self.num_bytes)
            self.paid = True
        return self.elements


class View(Shell):
    """A tensor as a pickle describes it: an offset, sizes and strides into a storage."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, dtype: Any) -> None:
        if not isinstance(storage, Storage):
            raise CheckpointError(f"a tensor lies in a {type(storage).__name__}, not in a storage")
        numbers = (offset, *size, *stride)
        if (
            len(size) != len(stride)
            or len(size) > MAX_DIMENSIONS
            or not all(map(_is_size, numbers))
        ):
            raise CheckpointError(
                "a tensor's size, stride or offset is not made of whole numbers, one for each of "
                f"at most {MAX_DIMENSIONS} dimensions; the file is damaged or hostile"
            )
        self.storage, self.dtype = storage, dtype or storage.dtype
        self.offset, self.size, self.stride = offset, tuple(size), tuple(stride)
        self._check_extent()

    def _check_extent(self) -> None:
        count = math.prod(self.size)
        capacity = self.storage.num_bytes // self.dtype.itemsize
        last = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        # A stride of 0 repeats elements (latent_avg.expand(18, 512)); `settle` pays for them.
        if count and self.offset + last >= capacity:
            raise CheckpointError(
                f"a tensor of size {list(self.size)}, stride {list(self.stride)} claims more than "
                f"the {capacity:,} elements of its storage; the file is damaged or hostile"
            )

    @cached_property
    def tensor(self) -> Tensor:
        """The tensor itself, made once: weights that a file shares stay shared."""
        elements = self.storage.elements.view(self.dtype)
        return torch.as_strided(elements, self.size, self.stride, self.offset)

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> Tensor:
        """Return the tensor, once its memory and that of its storage are accounted for."""
        if "tensor" not in self.__dict__:
            self.storage.settle(settle, spend)
            spend(math.prod(self.size) * self.dtype.itemsize)
        return self.tensor


def check_finite(tensors: Mapping[str, Tensor]) -> None:
    """Raise CheckpointError naming the first tensor that holds NaN or infinity, and how many.

    Args:
        tensors: any shapes and types; those that are not floating point are passed over. Looked at
            in pieces, without a copy of a large tensor.
    """
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            continue
        pieces = tensor.detach().reshape(-1).split(_CHUNK)
        if all(map(_is_finite, pieces)):
            continue
        num_nan = sum(int(piece.isnan().sum()) for piece in pieces)
        num_inf = sum(int(piece.isinf().sum()) for piece in pieces)
        if num_nan or num_inf:
            raise CheckpointError(
                f"{name} holds {num_nan:,} NaN and {num_inf:,} infinite of {tensor.numel():,} "
                "values: its training diverged or the file is damaged; take an earlier checkpoint, "
                "or get the file again"
            )


def _is_finite(piece: Tensor) -> bool:
    """Whether all are finite, from the extremes: 40 times faster than looking for NaN and inf."""
    if not piece.numel():
        return True
    wide = piece if piece.dtype in (torch.float32, torch.float64) else piece.float()
    return all(math.isfinite(extreme) for extreme in torch.aminmax(wide))


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**48
