"""Damage of bytes, of JSON values and of arrays: enumerated, or drawn from a seeded generator; made when needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar

import numpy as np

from tests.support.damage import MISSING, with_value

T = TypeVar("T")
#: Texts that break lines, terminals, tables, markup and paths.
HOSTILE_TEXTS = (
    "a\nb", "\x1b[31mred\x1b[0m", "</script><script>alert(1)</script>", "a|b", "../../etc/passwd", "\u202egnp.exe",
    "\x00", "'\"`$(id)", "\ud800", "x" * 5000,
)  # fmt: skip
#: Values in the place of any value of a JSON or TOML file.
JSON_VALUES: dict[str, Any] = {
    "nan": float("nan"), "escape": "\x1b[31m\n</script>", "list": [], "null": None, "minus": -1, "zero": 0,
    "huge": 10**12, "beyond": 10**400, "true": True, "text": "abc", "empty text": "", "object": {},
    "nested": [[[[[1]]]]], "long": "x" * 20000,
}  # fmt: skip
#: Variants of an input: a name, and a function that makes it.
Variants = Iterator[tuple[str, Callable[[], T]]]
_MARK = "@attack@"
_DEEP, _FEW = 2, 2
_TABLE = 6  # entries; an object with more of one type is a table


def deep_json(depth: int = 100_000) -> str:
    """JSON text that is nested beyond any recursion limit."""
    return "[" * depth + "]" * depth


def damaged_bytes(data: bytes, seed: str, count: int) -> Variants[bytes]:
    """Truncations, garbage, and `count` random changes of `data`."""
    size = len(data)

    def garbage(length: int) -> bytes:
        return Random(seed).randbytes(length)

    for name, end in (("empty", 0), ("one byte", 1), ("half", size // 2), ("all but one byte", size - 1)):
        yield name, lambda end=end: data[:end]
    yield "zeros", lambda: bytes(min(size, 4096))
    yield "ones", lambda: b"\xff" * min(size, 4096)
    yield "garbage", lambda: garbage(min(size, 4096))
    yield "garbage behind the start", lambda: data[:64] + garbage(min(size, 4096))
    yield "twice", lambda: data + data
    yield "behind garbage", lambda: garbage(100) + data
    for number in range(count):
        yield f"bytes {number}", lambda number=number: mutated(data, Random(f"{seed}:{number}"))


def mutated(data: bytes, random: Random, tokens: Sequence[bytes] = ()) -> bytes:
    """`data` with one to four random changes."""
    content = bytearray(data)
    for _ in range(random.randint(1, 4)):
        _mutate(content, random, tokens)
    return bytes(content)


def _mutate(content: bytearray, random: Random, tokens: Sequence[bytes]) -> None:
    place = random.randrange(len(content) + 1)
    span = min(random.choice((1, 1, 2, 4, 8, 64)), max(len(content) - place, 0))
    kind = random.randrange(8)
    if kind == 0 and span:
        content[place] ^= 1 << random.randrange(8)
    elif kind == 1 and span:
        content[place : place + span] = random.randbytes(span)
    elif kind == 2:
        del content[place : place + span]
    elif kind == 3:
        content[place:place] = content[place : place + 64]
    elif kind == 4:
        values = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 62)
        width = random.choice((1, 2, 4, 8))
        number = random.choice(values) & ((1 << 8 * width) - 1)
        content[place : place + width] = number.to_bytes(width, random.choice(("little", "big")))
    elif kind == 5 and tokens:
        content[place : place + random.choice((0, span))] = random.choice(tokens)
    elif kind == 6:
        content[place : place + random.randrange(1, 300)] = b""
    elif kind == 7 and random.random() < 0.2:
        del content[place:]


def json_paths(content: Any, most: int = 2) -> Iterator[tuple[str | int, ...]]:
    """Paths of all values of a JSON value; of a list, and of a table of equal values, only the first `most` entries."""
    entries: Any = ()
    if isinstance(content, dict):
        alike = len(content) > _TABLE and len({type(value) for value in content.values()}) == 1
        entries = list(content.items())[: most if alike else None]
    elif isinstance(content, list):
        entries = enumerate(content[:most])
    for key, value in entries:
        yield (key,)
        for path in json_paths(value, most):
            yield (key, *path)


def damaged_json(content: Any, values: Mapping[str, Any] = JSON_VALUES, most: int = 2) -> Variants[str]:
    """JSON text of `content` with each of its entries removed and replaced by each of `values`; deep ones by few."""

    def text(path: tuple[str | int, ...], value: Any = MISSING) -> str:
        return json.dumps(with_value(content, path, value))

    for path in json_paths(content, most):
        where = ".".join(map(str, path))
        yield f"{where} removed", partial(text, path)
        for name, value in list(values.items())[: None if len(path) <= _DEEP else _FEW]:
            yield f"{where} {name}", partial(text, path, value)
        if len(path) == 1:
            yield f"{where} deep", lambda path=path: text(path, _MARK).replace(f'"{_MARK}"', deep_json())


def damaged_arrays(array: np.ndarray) -> Variants[np.ndarray]:
    """Other values, shapes and types in the place of `array`."""
    if array.dtype.kind == "f" and array.size:
        for name, value in (("nan", np.nan), ("inf", np.inf), ("huge", 6e4), ("zero", 0.0), ("minus", -1e4)):
            yield f"all {name}", partial(np.full_like, array, value)
        for name, value in (("nan", np.nan), ("inf", -np.inf), ("huge", 6e4)):
            yield f"one {name}", partial(_with_first, array, value)
        yield "reversed", lambda: np.ascontiguousarray(array[::-1]) if array.ndim else -array
    elif array.dtype.kind in "iu" and array.size:
        limits = np.iinfo(array.dtype)
        for name, number in (("zero", 0), ("smallest", limits.min), ("largest", limits.max), ("large", 10**5)):
            yield f"all {name}", partial(np.full_like, array, np.clip(number, limits.min, limits.max))
            yield f"one {name}", partial(_with_first, array, np.clip(number, limits.min, limits.max))
    yield "empty", lambda: array.ravel()[:0]
    yield "scalar", lambda: np.zeros((), array.dtype)
    yield "shorter", lambda: array[:-1] if array.ndim and len(array) else np.zeros((0,), array.dtype)
    yield "longer", lambda: np.concatenate([array, array[:1]]) if array.ndim else np.zeros((2,), array.dtype)
    yield "one axis more", lambda: array[None]
    yield "flat", lambda: array.reshape(-1)
    yield "bytes", lambda: np.zeros(array.shape, np.uint8)
    yield "doubles", lambda: array.astype(np.float64) if array.dtype.kind in "fiub" else np.zeros(array.shape)
    yield "negative", lambda: np.full(array.shape, -7, np.int64)


def chosen(variants: Variants[T], name: str) -> T:
    """The variant with this name."""
    return next(make for label, make in variants if label == name)()


def listed(contents: Mapping[str, T]) -> Variants[T]:
    """Variants that are there already."""
    return ((name, lambda content=content: content) for name, content in contents.items())


def _with_first(array: np.ndarray, value: Any) -> np.ndarray:
    changed = array.copy()
    changed.reshape(-1)[0] = value
    return changed
