"""The course's pickled arrays, read without running anything that came with them.

A pickle is a program for a small stack machine whose instructions may call anything that can be imported. Here the machine is
ours: it knows the instructions that write down a dictionary of NumPy arrays, and five names, none of which it imports; each stands
for a line below. Every other instruction and every other name is refused before it has an effect.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

#: What a pickle of arrays may name, and what it stands for here: NumPy moved its own names in 2.0.
NAMES = {
    "numpy.core.multiarray _reconstruct": "array",
    "numpy._core.multiarray _reconstruct": "array",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "_codecs encode": "encode",
}
_NUMBERS = re.compile(r"[|<>=]?[biuf][1248]")
_PUSH = {"INT", "BININT", "BININT1", "BININT2", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE"}
_PUSH |= {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _Mark:
    """The stack's marker."""


@dataclass(frozen=True)
class _Name:
    """One of NAMES, which is never imported."""

    stands_for: str


@dataclass
class _DType:
    """A number's type, its byte order still open."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[arg-type]


@dataclass
class _Array:
    """An array that a later instruction fills."""

    value: NDArray[Any] | None = None


class _Refused(Exception):
    """Why the program is no pickle of arrays."""


def read_pickled_arrays(path: Path, keys: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The arrays of these names from a pickled dictionary of NumPy arrays of numbers (protocols 0 to 5), read-only.

    Raises:
        DataError: the file is missing or truncated, has not all the keys, or holds any instruction or name besides those that write
            down arrays; names the instruction and its place in the file.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}; check the file and its permissions") from error
    try:
        found = _Machine(len(data)).run(data)
    except _Refused as error:
        raise DataError(
            f"{path}: {error}; only a dictionary of NumPy arrays of numbers is read from a pickle: save others with numpy.savez"
        ) from error
    missing = [key for key in keys if key not in found]
    if missing:
        raise DataError(f"{path}: expected the arrays {', '.join(keys)}, got {', '.join(found) or 'none'}")
    return {key: found[key] for key in keys}


class _Machine:
    """The stack machine: ``room`` is how many bytes its results may hold, those of the file.

    Without that bound a few bytes that name one long text again and again would fill the memory.
    """

    def __init__(self, room: int) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.room = room

    def run(self, data: bytes) -> dict[str, NDArray[Any]]:
        place = 0
        try:
            # A name with a strange escape is only warned of, from inside the standard library: here it is damage like any other.
            with warnings.catch_warnings(action="error", category=DeprecationWarning):
                for opcode, argument, position in pickletools.genops(data):
                    place = position or 0
                    if opcode.name == "STOP":
                        break
                    self.step(opcode.name, argument, place)
            if len(self.stack) != 1:
                raise _Refused(f"expected one object, got {len(self.stack)}")
            return _arrays(self.stack[0])
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, Warning) as error:
            # Cut short: some of these quote the whole line, which in a file of bytes may be all of it.
            raise _Refused(f"truncated, damaged or no pickle at all, near byte {place} ({error!s:.200})") from error

    def step(self, name: str, argument: Any, place: int) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            return
        if name in _PUSH:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name == "MARK":
            stack.append(_Mark)
        elif name in _TUPLES:
            count = _TUPLES[name]
            if len(stack) < count or _Mark in stack[-count:]:
                raise _Refused(f"a tuple without its items at byte {place}")
            stack[-count:] = [tuple(stack[-count:])]
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name == "TUPLE":
            stack.append(tuple(self.since_mark()))
        elif name == "EMPTY_DICT":
            stack.append({})
        elif name in ("DICT", "SETITEM", "SETITEMS"):
            self.fill(name, place)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "GLOBAL":
            stack.append(_name(argument, place))
        elif name == "STACK_GLOBAL":
            last, module = stack.pop(), stack.pop()
            stack.append(_name(f"{module} {last}", place))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(self.call(called, arguments, place))
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state, place)
        else:
            raise _Refused(f"the instruction {name} at byte {place} is none that writes down an array")

    def since_mark(self) -> list[Any]:
        """What lies above the last marker, which is taken away with it."""
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _Mark:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise _Refused("a list of items without its beginning")

    def fill(self, name: str, place: int) -> None:
        items = [self.stack.pop(-2), self.stack.pop()] if name == "SETITEM" else self.since_mark()
        if name == "DICT":
            self.stack.append({})
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2 or not all(isinstance(key, str) for key in items[::2]):
            raise _Refused(f"{name} at byte {place}: expected names and arrays for a dictionary")
        target.update(zip(items[::2], items[1::2], strict=True))

    def call(self, called: Any, arguments: Any, place: int) -> Any:
        match called, arguments:
            case _Name("array"), (_Name("ndarray"), (0,), b"b" | "b"):
                return _Array()
            case _Name("dtype"), (str() as code, _, _) if _NUMBERS.fullmatch(code):
                return _DType(code)
            case _Name("encode"), (str() as text, "latin1" | "latin-1"):
                return self.encoded(text, place)
            case _Name("frombuffer"), (
                bytes() | bytearray() as data,
                _DType() as kind,
                tuple() as shape,
                "C" | "F" as order,
            ):
                return _Array(_array(data, kind, shape, order))
        raise _Refused(f"a call at byte {place} that makes neither an array of numbers nor its type")

    def build(self, target: Any, state: Any, place: int) -> None:
        match target, state:
            case _DType(), (int(), "|" | "<" | ">" | "=" as order, None, None, None, -1, -1, 0):
                target.order = "=" if order == "|" else order
            case _Array(None), (
                int(),
                tuple() as shape,
                _DType() as kind,
                bool() | 0 | 1 as fortran,
                bytes() | str() as data,
            ):
                # Python 2 wrote the bytes as a string, which arrives one character a byte.
                raw = self.encoded(data, place) if isinstance(data, str) else data
                target.value = _array(raw, kind, shape, "F" if fortran else "C")
            case _:
                raise _Refused(f"BUILD at byte {place} fills neither an array of numbers nor its type")

    def encoded(self, text: str, place: int) -> bytes:
        self.room -= len(text)
        if self.room < 0:
            raise _Refused(f"a pickle that grows in memory, at byte {place}")
        return text.encode("latin1")


def _name(text: str, place: int) -> _Name:
    if text not in NAMES:
        raise _Refused(f"it asks for {text.replace(' ', '.')!r:.200} at byte {place}, which is never imported")
    return _Name(NAMES[text])


def _array(data: bytes | bytearray, kind: _DType, shape: tuple[Any, ...], order: str) -> NDArray[Any]:
    dtype = kind.numpy()
    if not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 8:
        raise _Refused(f"an array of shape {shape!r:.80}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _Refused(f"an array of shape {shape!r:.80} and type {dtype} with {len(data)} bytes")
    value = np.frombuffer(data, dtype).reshape(shape, order="F" if order == "F" else "C")
    value.flags.writeable = False
    return value


def _arrays(found: Any) -> dict[str, NDArray[Any]]:
    if type(found) is not dict:
        raise _Refused("expected a dictionary of arrays")
    for key, value in found.items():
        if not isinstance(value, _Array) or value.value is None:
            raise _Refused(f"{key!r:.80}: expected an array of numbers")
    return {key: value.value for key, value in found.items()}
