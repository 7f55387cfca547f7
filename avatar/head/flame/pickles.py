"""Pickles read as data: a stack machine that builds a tree of inert nodes and never calls or imports anything.

Python's own unpickler runs what a file asks for while it reads; this one only notes it. What a note means is decided
by `arrays`, after the whole file has been read, and only for the few kinds that a FLAME file holds.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

#: Opcodes and memo entries of a FLAME file are some hundreds; a file of nothing but opcodes must end early.
MOST_OPCODES = 200_000
#: Longer keys are left out: a file may set the same long one again and again, and each time it is compared.
_LONGEST_KEY = 256
#: Bytes of a text that may take four times as much once read; longer ones must be Latin, as arrays of old files are.
_LONGEST_WIDE = 1 << 16
_WIDE = {"utf-8": re.compile(rb"[\xc4-\xff]"), "raw-unicode-escape": re.compile(rb"\\u(?!00)|\\U")}
_ESCAPES = re.compile(rb"\\(?:[\\'\"nrt]|x[0-9a-fA-F]{2})")  # all that Python 2 writes

_MARK = object()


class RefusedPickle(Exception):
    """What a pickle holds that is not read; the caller adds the file's name."""


@dataclass(frozen=True)
class Name:
    """A class or function that the pickle names; never looked up."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(eq=False)
class Made:
    """An object that the pickle wants made by `maker(*arguments)`, and the state it wants given to it."""

    maker: Name
    arguments: tuple[Any, ...]
    state: Any = None


def read(data: bytes, accepted: Callable[[Name], bool]) -> Any:
    """The root of a pickle as plain values and nodes.

    Args:
        data: the whole file, any protocol.
        accepted: which names the file may mention.

    Returns:
        None, bool, int, float, str (byte strings of Python 2 as latin-1), bytes, tuple, list, dict (keys that are not
        short texts are left out), Name or Made.

    Raises:
        RefusedPickle: a name that is not accepted, an opcode that FLAME files do not use, a damaged file.
    """
    machine = _Machine(data, accepted)
    try:
        return machine.run()
    except (struct.error, IndexError, ValueError, KeyError, TypeError, UnicodeError) as error:
        raise RefusedPickle(f"is damaged or no pickle (at byte {machine.at})") from error


class _Machine:
    """The state of one reading: position, stack, memo."""

    def __init__(self, data: bytes, accepted: Callable[[Name], bool]) -> None:
        self._data, self._accepted = data, accepted
        self.at = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_OPCODES):
            code = self._take(1)
            if code == b".":
                (root,) = self._stack
                return root
            step = _STEPS.get(code)
            if step is None:
                raise RefusedPickle(f"uses the pickle opcode {code!r} at byte {self.at - 1}, which no FLAME file needs")
            step(self)
        raise RefusedPickle(f"has more than {MOST_OPCODES} opcodes, which no FLAME file has")

    # reading

    def _take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self._data):
            raise RefusedPickle(
                f"is cut short: byte {self.at} promises {count} more, {len(self._data) - self.at} follow"
            )
        self.at += count
        return self._data[self.at - count : self.at]

    def _line(self) -> bytes:
        end = self._data.find(b"\n", self.at)
        if end < 0:
            raise RefusedPickle(f"is cut short in the line at byte {self.at}")
        line, self.at = self._data[self.at : end], end + 1
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
            raise ValueError("an unknown escape, of which Python would warn")
        self.push(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore[attr-defined]

    def load_text(self, form: str, encoding: str) -> None:
        self._push_text(self._take(self._number(form)), encoding)

    def load_unicode(self) -> None:
        self._push_text(self._line(), "raw-unicode-escape")

    def _push_text(self, raw: bytes, encoding: str) -> None:
        if len(raw) > _LONGEST_WIDE and encoding in _WIDE and _WIDE[encoding].search(raw):
            raise ValueError("a long text that is no array")
        self.push(raw.decode(encoding))

    # containers

    def append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def set_items(self, flat: list[Any]) -> None:
        """Short texts as keys only: hashing a nested tuple may take for ever, and numbers can be made to collide."""
        target = self._top(dict)
        if len(flat) % 2:
            raise ValueError("a key without a value")
        for key, value in zip(flat[::2], flat[1::2], strict=True):
            if isinstance(key, str) and len(key) <= _LONGEST_KEY:
                target[key] = value

    def load_dict(self) -> None:
        flat = self._since_mark()
        self.push({})
        self.set_items(flat)

    def make_tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    # names and objects

    def _named(self, module: str, name: str) -> Name:
        found = Name(module, name)
        if not self._accepted(found):
            raise RefusedPickle(f"wants {str(found)[:80]!r} run, which no FLAME file needs")
        return found

    def load_global(self) -> None:
        module, name = self._line().decode(), self._line().decode()
        self.push(self._named(module, name))

    def load_stack_global(self) -> None:
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise ValueError("a name that is no text")
        self.push(self._named(module, name))

    def make(self, maker: Any, arguments: Any) -> None:
        if not isinstance(maker, Name) or not isinstance(arguments, tuple):
            raise ValueError("a call of something that is no name")
        self.push(Made(maker, arguments))

    def load_reduce(self) -> None:
        arguments, maker = self.pop(), self.pop()
        self.make(maker, arguments)

    def load_newobj_ex(self) -> None:
        _, arguments, maker = self.pop(), self.pop(), self.pop()
        self.make(maker, arguments)

    def load_inst(self) -> None:
        module, name = self._line().decode(), self._line().decode()
        self.make(self._named(module, name), tuple(self._since_mark()))

    def load_obj(self) -> None:
        maker, *arguments = self._since_mark()
        self.make(maker, tuple(arguments))

    def build(self) -> None:
        state = self.pop()
        self._top(Made).state = state

    # the memo

    def put(self, index: int) -> None:
        if self._stack[-1] is _MARK:
            raise ValueError("a mark where a value belongs")
        if not 0 <= index < MOST_OPCODES:  # picklers count from 0; numbers far apart can be made to collide
            raise ValueError("a memo entry beyond all opcodes")
        self._memo[index] = self._stack[-1]

    def get(self, index: int) -> None:
        self.push(self._memo[index])

    def add_items(self) -> None:
        """Of a set; no FLAME array is one, so only that they exist is kept."""
        self._since_mark()
        self._top(Made)


_SET = Name("builtins", "set")


def _unordered(machine: _Machine) -> None:
    machine._since_mark()
    machine.push(Made(_SET, ()))


def _refuse_persistent(machine: _Machine) -> NoReturn:
    raise RefusedPickle("refers to objects outside the file (a persistent id), which no FLAME file does")


def _refuse_extension(machine: _Machine) -> NoReturn:
    raise RefusedPickle("uses the extension registry, which no FLAME file does")


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m._take(1),  # protocol
    b"\x95": lambda m: m._take(8),  # frame: its length tells nothing that the opcodes do not
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
    b"\x8f": lambda m: m.push(Made(_SET, ())),
    b"\x90": _Machine.add_items,
    b"\x91": _unordered,
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
