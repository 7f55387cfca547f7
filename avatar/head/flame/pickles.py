"""A pickle parser that only builds data: a stack machine that never calls or imports what the file names.

Python's unpickler executes a file's calls while it reads. This parser records them as nodes instead; `unpickle`
interprets the few kinds of nodes that FLAME files contain after the whole file has been read.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

#: A FLAME file has some hundreds of opcodes and memo entries; the limit bounds the time for a malicious file.
MAX_OPCODES = 200_000
#: Longer keys are dropped: comparing a long key that a file sets many times takes long.
_MAX_KEY_LENGTH = 256
#: Bytes of a text that decodes to up to four bytes per character; longer texts must be Latin-1 (arrays of old files).
_MAX_WIDE_BYTES = 1 << 16
_WIDE = {"utf-8": re.compile(rb"[\xc4-\xff]"), "raw-unicode-escape": re.compile(rb"\\u(?!00)|\\U")}
_ESCAPES = re.compile(rb"\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2})")  # all escapes that Python 2 writes

_MARK = object()


class RefusedPickle(Exception):
    """A pickle with content that is not read; the caller prepends the file's name."""


@dataclass(frozen=True)
class Name:
    """A class or function named by the pickle; never imported."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Construction:
    """A recorded call `callee(*arguments)` and the state to set on its result; never executed."""

    callee: Name
    arguments: tuple[Any, ...]
    state: Any = None


def read(data: bytes, accepted: Callable[[Name], bool]) -> Any:
    """Parse a pickle.

    Args:
        data: the whole file, any protocol.
        accepted: returns whether the file may contain a name.

    Returns:
        The root object: None, bool, int, float, str (byte strings of Python 2 as latin-1), bytes, tuple, list, dict
        (without keys that are not short texts), Name or Construction.

    Raises:
        RefusedPickle: a name that is not accepted, an opcode that FLAME files do not use, or a damaged file.
    """
    machine = _Machine(data, accepted)
    try:
        return machine.run()
    except (struct.error, IndexError, ValueError, KeyError, TypeError, UnicodeError) as error:
        raise RefusedPickle(f"is damaged or not a pickle (at byte {machine.at})") from error


class _Machine:
    """The state of a parse: position, stack, memo."""

    def __init__(self, data: bytes, accepted: Callable[[Name], bool]) -> None:
        self._data = data
        self._accepted = accepted
        self.at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MAX_OPCODES):
            code = self._take(1)
            if code == b".":
                (root,) = self._stack
                return root
            execute = _OPCODES.get(code)
            if execute is None:
                raise RefusedPickle(f"uses the pickle opcode {code!r} at byte {self.at - 1}, which no FLAME file needs")
            execute(self)
        raise RefusedPickle(f"has more than {MAX_OPCODES} opcodes, which no FLAME file has")

    # reading

    def _take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self._data):
            raise RefusedPickle(
                f"is truncated: {count} more bytes expected at byte {self.at}, {len(self._data) - self.at} found"
            )
        self.at += count
        return self._data[self.at - count : self.at]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.at)
        if end < 0:
            raise RefusedPickle(f"is truncated in the line at byte {self.at}")
        line = self._data[self.at : end]
        self.at = end + 1
        return line

    def _number(self, form: str) -> int:
        (value,) = struct.unpack(form, self._take(struct.calcsize(form)))
        return int(value)

    # the stack

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value belongs")
        return value

    def _since_mark(self) -> list[Any]:
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("no mark")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise ValueError(f"expected a {kind.__name__} on the stack")
        return self._stack[-1]

    # numbers and texts

    def load_int(self) -> None:
        line = self._line()
        self.push(line == b"01" if line in (b"00", b"01") else int(line))

    def load_long(self) -> None:
        self.push(int(self._line().rstrip(b"L")))

    def load_long_bytes(self, form: str) -> None:
        self.push(int.from_bytes(self._take(self._number(form)), "little", signed=True))

    def load_string(self) -> None:
        line = self._line().strip()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise ValueError("an unquoted string")
        if b"\\" in _ESCAPES.sub(b"", line[1:-1]):
            raise ValueError("an unknown escape sequence")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]

    def load_text(self, form: str, encoding: str) -> None:
        self._push_text(self._take(self._number(form)), encoding)

    def load_unicode(self) -> None:
        self._push_text(self._line(), "raw-unicode-escape")

    def _push_text(self, raw: bytes, encoding: str) -> None:
        if len(raw) > _MAX_WIDE_BYTES and encoding in _WIDE and _WIDE[encoding].search(raw):
            raise ValueError("a long text that is not an array")
        self.push(raw.decode(encoding))

    # containers

    def append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def set_items(self, flat: list[Any]) -> None:
        """Only short texts as keys: hashing nested tuples may take very long, and numbers can be made to collide."""
        target = self._top(dict)
        if len(flat) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if isinstance(key, str) and len(key) <= _MAX_KEY_LENGTH:
                target[key] = value

    def load_dict(self) -> None:
        flat = self._since_mark()
        self.push({})
        self.set_items(flat)

    def make_tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    # names and objects

    def _checked_name(self, module: str, name: str) -> Name:
        name_node = Name(module, name)
        if not self._accepted(name_node):
            raise RefusedPickle(f"would call {str(name_node)[:80]!r}, which no FLAME file needs")
        return name_node

    def load_global(self) -> None:
        module = self._line().decode()
        name = self._line().decode()
        self.push(self._checked_name(module, name))

    def load_stack_global(self) -> None:
        name = self.pop()
        module = self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is not a text")
        self.push(self._checked_name(module, name))

    def record_call(self, callee: Any, arguments: Any) -> None:
        if not isinstance(callee, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is not a name")
        self.push(Construction(callee, arguments))

    def load_reduce(self) -> None:
        arguments = self.pop()
        callee = self.pop()
        self.record_call(callee, arguments)

    def load_newobj_ex(self) -> None:
        _ = self.pop()
        arguments = self.pop()
        callee = self.pop()
        self.record_call(callee, arguments)

    def load_inst(self) -> None:
        module = self._line().decode()
        name = self._line().decode()
        self.record_call(self._checked_name(module, name), tuple(self._since_mark()))

    def load_obj(self) -> None:
        callee, *arguments = self._since_mark()
        self.record_call(callee, tuple(arguments))

    def build(self) -> None:
        state = self.pop()
        self._top(Construction).state = state

    # the memo

    def put(self, index: int) -> None:
        if self._stack[-1] is _MARK:
            raise ValueError("a mark where a value belongs")
        if not 0 <= index < MAX_OPCODES:  # picklers count from 0; large numbers can be made to collide
            raise ValueError("a memo index above the opcode limit")
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def add_items(self) -> None:
        """Items of a set; no FLAME array is one, so they are dropped."""
        self._since_mark()
        self._top(Construction)


_SET = Name("builtins", "set")


def _empty_set(machine: _Machine) -> None:
    machine._since_mark()
    machine.push(Construction(_SET, ()))


def _refuse_persistent(machine: _Machine) -> NoReturn:
    raise RefusedPickle("refers to objects outside the file (a persistent id), which no FLAME file does")


def _refuse_extension(machine: _Machine) -> NoReturn:
    raise RefusedPickle("uses the extension registry, which no FLAME file does")


_OPCODES: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m._take(1),  # protocol
    b"\x95": lambda m: m._take(8),  # frame: its length is redundant
    b"(": lambda m: m.push(_MARK),
    b"0": lambda m: m._stack.pop(),
    b"1": lambda m: m._since_mark(),
    b"2": lambda m: m.push(m._stack[-1]),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"I": _Machine.load_int,
    b"L": _Machine.load_long,
    b"J": lambda m: m.push(m._number("<i")),
    b"K": lambda m: m.push(m._number("<B")),
    b"M": lambda m: m.push(m._number("<H")),
    b"\x8a": lambda m: m.load_long_bytes("<B"),
    b"\x8b": lambda m: m.load_long_bytes("<i"),
    b"F": lambda m: m.push(float(m._line())),
    b"G": lambda m: m.push(struct.unpack(">d", m._take(8))[0]),
    b"S": _Machine.load_string,
    b"T": lambda m: m.load_text("<i", "latin-1"),
    b"U": lambda m: m.load_text("<B", "latin-1"),
    b"V": _Machine.load_unicode,
    b"X": lambda m: m.load_text("<I", "utf-8"),
    b"\x8c": lambda m: m.load_text("<B", "utf-8"),
    b"\x8d": lambda m: m.load_text("<Q", "utf-8"),
    b"B": lambda m: m.push(m._take(m._number("<I"))),
    b"C": lambda m: m.push(m._take(m._number("<B"))),
    b"\x8e": lambda m: m.push(m._take(m._number("<Q"))),
    b"\x96": lambda m: m.push(m._take(m._number("<Q"))),
    b")": lambda m: m.push(()),
    b"]": lambda m: m.push([]),
    b"}": lambda m: m.push({}),
    b"\x8f": lambda m: m.push(Construction(_SET, ())),
    b"\x90": _Machine.add_items,
    b"\x91": _empty_set,
    b"t": lambda m: m.push(tuple(m._since_mark())),
    b"l": lambda m: m.push(m._since_mark()),
    b"d": _Machine.load_dict,
    b"\x85": lambda m: m.make_tuple(1),
    b"\x86": lambda m: m.make_tuple(2),
    b"\x87": lambda m: m.make_tuple(3),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m._since_mark()),
    b"s": lambda m: m.set_items([m.pop(), m.pop()][::-1]),
    b"u": lambda m: m.set_items(m._since_mark()),
    b"c": _Machine.load_global,
    b"\x93": _Machine.load_stack_global,
    b"R": _Machine.load_reduce,
    b"\x81": _Machine.load_reduce,  # NEWOBJ: cls.__new__(cls, *arguments)
    b"\x92": _Machine.load_newobj_ex,
    b"i": _Machine.load_inst,
    b"o": _Machine.load_obj,
    b"b": _Machine.build,
    b"p": lambda m: m.put(int(m._line())),
    b"q": lambda m: m.put(m._number("<B")),
    b"r": lambda m: m.put(m._number("<I")),
    b"\x94": lambda m: m.put(len(m._memo)),
    b"g": lambda m: m.get(int(m._line())),
    b"h": lambda m: m.get(m._number("<B")),
    b"j": lambda m: m.get(m._number("<I")),
    b"P": _refuse_persistent,
    b"Q": _refuse_persistent,
    b"\x82": _refuse_extension,
    b"\x83": _refuse_extension,
    b"\x84": _refuse_extension,
}
