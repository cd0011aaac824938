"""What the values of a foreign pickle are made of while it is read, and Record, what is left.

A `Shell` stands for an object whose class is never looked up. It takes the state that the file
hands over, and in the end settles into a plain value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.errors import CheckpointError


@dataclass(frozen=True)
class Record:
    """An object of a class we do not run: where the class lives, its name, the object's state."""

    module: str
    name: str
    state: Any


@dataclass(frozen=True)
class Function:
    """A name that a pickle may call; `call` is ours and only builds plain values."""

    call: Callable[..., Any]


class Shell:
    """An object that a pickle is still building; `settle` turns it into a plain value."""

    def build(self, state: Any, spend: Callable[[int], None]) -> None:
        """Take the state that the BUILD instruction hands over; `spend` accounts for memory."""
        raise CheckpointError(f"it sets a state on a {type(self).__name__}; nothing was executed")

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> Any:
        """Return the plain value; `settle` does so for its parts."""
        raise NotImplementedError


class Attributes(dict, Shell):
    """Stands for an object that is nothing but its attributes, such as argparse.Namespace."""

    def build(self, state: Any, spend: Callable[[int], None]) -> None:
        """Take the attributes; (attributes, slots) is the form of classes with __slots__."""
        for part in state if isinstance(state, tuple) else (state,):
            attributes = part or {}
            spend(100 * len(attributes))
            self.update(dict_of(attributes))


class Unrun(Shell):
    """Stands for an object that becomes a Record."""

    def __init__(self, module: str, name: str, state: Any = None) -> None:
        self.module, self.name, self.state = module, name, state

    def build(self, state: Any, spend: Callable[[int], None]) -> None:
        """Keep the state as it is; the class's __setstate__ never runs."""
        self.state = state

    def settle(self, settle: Callable[[Any], Any], spend: Callable[[int], None]) -> Record:
        """Return the Record, with a plain state."""
        return Record(self.module, self.name, settle(self.state))


def dict_of(items: Any = ()) -> dict:
    """Return a dict from a dict or from pairs, with keys that are safe to hash."""
    pairs = items.items() if isinstance(items, dict) else items
    return {checked_key(key): value for key, value in pairs}


def checked_key(key: Any) -> Any:
    """Return a dict key, if it is a scalar: hashing a deeply nested tuple overflows the C stack."""
    if isinstance(key, (bytes, bytearray)):
        return key.decode("latin-1")
    if key is not None and type(key) not in (str, int, float, bool):
        raise CheckpointError(f"a dict key is a {type(key).__name__}; text and numbers are known")
    return key


def shortened(value: object) -> str:
    """Return a value of a file in a length fit for an error message.

    Containers are not spelled out: a few nested ones that share parts make gigabytes of text.
    """
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:80]}..."
    if type(value) in (int, float, bool):
        return str(value)
    return f"a {type(value).__name__}"
