"""Pickles read as data: an interpreter that can only build plain values.

A pickle is a program for a stack machine. Python's own machine imports and calls what the program
names; this one knows a short list of names (`names.py`), each standing for a constructor of ours,
and refuses the whole file at the first other name. It never imports, never looks up an attribute,
never sets one. Every instruction is parsed by the standard library's `pickletools`, which compares
declared lengths with the bytes that are there.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from engine.checkpoints.values import Function, Shell, checked_key, shortened
from engine.errors import CheckpointError

# A file of weights has some ten thousand; each costs up to 100 bytes of memory.
MAX_INSTRUCTIONS = 1_000_000
MAX_DEPTH = 100
# Room for small files, whose few values weigh more in memory than on disk.
SLACK_BYTES = 16 << 20

_PYTHON_2_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}


class Machine:
    """Runs one pickle after the other from a stream, with one allowance of memory for all.

    Args:
        names: (module, name) -> Function, or the value the name stands for.
        size: bytes of the file; what is read may take four times that, plus some slack.

    `persistent` answers persistent ids, by which torch refers to its storages.
    """

    def __init__(self, names: Mapping[tuple[str, str], Any], size: int) -> None:
        self.names = names
        self.persistent: Callable[[Any], Any] | None = None
        self.allowance = 4 * size + SLACK_BYTES
        self.instructions = 0
        self.values = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def load(self, stream: bytes | BinaryIO) -> Any:
        """Read the next pickle; the value may still hold shells. Raises CheckpointError."""
        self.stack, self.marks, self.memo = [], [], {}
        for opcode, argument, _ in pickletools.genops(stream):
            self.instructions += 1
            if self.instructions > MAX_INSTRUCTIONS:
                raise CheckpointError(
                    f"it has more than {MAX_INSTRUCTIONS:,} pickle instructions; a file of weights "
                    "has far fewer: save its tensors as safetensors"
                )
            if opcode.name not in _STEPS:
                raise CheckpointError(f"its pickle uses {opcode.name}, which weights never do")
            _STEPS[opcode.name](self, argument)
        return self.stack.pop()

    def settle(self, value: Any, depth: int = 0) -> Any:
        """Return `value` with every shell replaced by what it stands for."""
        self.values += 1
        if depth > MAX_DEPTH or self.values > MAX_INSTRUCTIONS:
            raise CheckpointError(
                f"its values are nested more than {MAX_DEPTH} deep, or more than "
                f"{MAX_INSTRUCTIONS:,}; files of weights are not"
            )
        if value is None or type(value) in (bool, int, float, str):
            return value
        if isinstance(value, dict):
            return {checked_key(k): self.settle(v, depth + 1) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return type(value)(self.settle(v, depth + 1) for v in value)
        if isinstance(value, (bytes, bytearray)):
            self.spend(len(value))
            return value.decode("latin-1")
        if isinstance(value, Shell):
            return value.settle(lambda part: self.settle(part, depth + 1), self.spend)
        raise CheckpointError(f"it holds a bare {type(value).__name__}; nothing was executed")

    def spend(self, num_bytes: int) -> None:
        """Account for memory that the file's values take; raises CheckpointError beyond it."""
        self.allowance -= num_bytes
        if self.allowance < 0:
            raise CheckpointError(
                "its values claim far more memory than the file has bytes; it is damaged or hostile"
            )

    def _pop_to_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def _pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def _memoize(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else index] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._pop_to_mark())

    def _extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise CheckpointError(f"it appends to a {type(self.stack[-1]).__name__}, not a list")
        self.stack[-1].extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set_pairs([key, value])

    def _set_items(self, _: Any) -> None:
        self._set_pairs(self._pop_to_mark())

    def _set_pairs(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict):
            raise CheckpointError(f"it sets items of a {type(self.stack[-1]).__name__}")
        pairs = zip(items[::2], items[1::2], strict=True)
        self.stack[-1].update((checked_key(key), value) for key, value in pairs)

    def _dict(self, _: Any) -> None:
        items = self._pop_to_mark()
        self.stack.append({})
        self._set_pairs(items)

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_to_mark()))

    def _tuple_of(self, count: int) -> None:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError("pop from an empty stack")
        self.stack[-count:] = [items]

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise CheckpointError("it names a class by something else than text")
        module = _PYTHON_2_MODULES.get(module, module)
        if (module, name) not in self.names:
            raise CheckpointError(
                f"it asks for {shortened(f'{module}.{name}')}, which is none of the names that "
                "weights need; nothing was executed. If you trust its author, ask for a file of "
                "tensors only (a state_dict, or safetensors)"
            )
        self.stack.append(self.names[module, name])

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self.call(function, arguments))

    def call(self, function: Any, arguments: Any) -> Any:
        """Call one of our constructors for the file; anything else is refused."""
        if not isinstance(function, Function) or type(arguments) is not tuple:
            raise CheckpointError(
                f"it calls a {type(function).__name__} with a {type(arguments).__name__}; "
                "nothing was executed"
            )
        result = function.call(self, *arguments)
        if isinstance(result, (dict, list, tuple)):
            self.spend(100 * len(result))
        elif isinstance(result, (str, bytes, bytearray)):
            self.spend(len(result))
        return result

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Shell):
            target.build(state, self.spend)
        elif type(target) is not dict:
            raise CheckpointError(f"it sets a state on a {type(target).__name__}")
        # A plain dict stands for OrderedDict and the like: its attributes mean nothing to us.

    def _persistent(self, _: Any) -> None:
        if self.persistent is None:
            raise CheckpointError("it refers to data outside of the pickle, which is not there")
        self.stack.append(self.persistent(self.stack.pop()))


def _nothing(machine: Machine, argument: Any) -> None:
    """PROTO, FRAME and STOP change no value."""


def _push(machine: Machine, argument: Any) -> None:
    machine.stack.append(argument)


def _push_bytes(machine: Machine, argument: bytes) -> None:
    # Mutable, because tensors are made on top of it without another copy.
    machine.stack.append(bytearray(argument))


# A set becomes a list: its elements need no hash, and nothing we read depends on it being one.
_STEPS: dict[str, Callable[[Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), _nothing),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"), _push),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"), _push),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _push_bytes),
    "NONE": lambda machine, _: machine.stack.append(None),
    "NEWTRUE": lambda machine, _: machine.stack.append(True),
    "NEWFALSE": lambda machine, _: machine.stack.append(False),
    "EMPTY_TUPLE": lambda machine, _: machine.stack.append(()),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    **dict.fromkeys(("EMPTY_LIST", "EMPTY_SET"), lambda machine, _: machine.stack.append([])),
    **dict.fromkeys(
        ("LIST", "FROZENSET"), lambda machine, _: machine.stack.append(machine._pop_to_mark())
    ),
    "MARK": Machine._mark,
    "POP": Machine._pop,
    "POP_MARK": lambda machine, _: machine._pop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Machine._memoize),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Machine._get),
    "APPEND": Machine._append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), Machine._appends),
    "SETITEM": Machine._set_item,
    "SETITEMS": Machine._set_items,
    "DICT": Machine._dict,
    "TUPLE": Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "GLOBAL": Machine._global,
    "STACK_GLOBAL": Machine._stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Machine._reduce),
    "BUILD": Machine._build,
    "BINPERSID": Machine._persistent,
}
