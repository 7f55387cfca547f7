"""Damage of JSON files, key by key, and what a reader makes of it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from avatar.errors import HeadsplatError

MISSING = object()
#: In the place of any value of a JSON file; the values of RAW are inserted as they are.
RAW = {"<1e400>": "1e400", "<deep>": "[" * 200 + "]" * 200, "<surrogate>": '"\\ud800"'}
DAMAGE: dict[str, Any] = {
    "missing": MISSING, "null": None, "text": "x", "empty": "", "nul": "a\0b", "parent": "../../../etc/passwd",
    "list": [1, 2], "object": {"a": 1}, "true": True, "zero": 0, "negative": -1, "fraction": 0.37, "huge": 2**70,
    "large": 1e9, "NaN": float("nan"), "infinite": float("inf"), "1e400": "<1e400>", "deep": "<deep>",
    "surrogate": "<surrogate>",
}  # fmt: skip


def outcome(read: Callable[[Path], list[np.ndarray]], root: Path, expected: list[np.ndarray]) -> str | None:
    """What is wrong with reading the damaged folder `root`; None if it is refused or has the `expected` meaning."""
    try:
        found = read(root)
    except HeadsplatError as error:
        text = str(error)
        return None if str(root) in text and "\n" not in text and ";" in text else f"unclear: {text}"
    except Exception as error:
        return f"internal error: {type(error).__name__}: {error}"
    same = len(found) == len(expected) and all(map(np.array_equal, found, expected))
    return None if same else "nonsense was accepted"


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below `value`; of a list the first and the last."""
    keys = list(value) if isinstance(value, dict) else sorted({0, len(value) - 1}) if isinstance(value, list) else []
    for key in keys if value else ():
        yield (*path, key)
        yield from paths(value[key], (*path, key))


def with_value(content: Any, path: tuple[Any, ...], value: Any = MISSING) -> Any:
    """A copy of a JSON value with another value at `path`, or without that entry."""
    changed = copy.deepcopy(content)
    parent = changed
    for key in path[:-1]:
        parent = parent[key]
    if value is MISSING:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return changed


def damaged(content: Any, path: tuple[Any, ...], value: Any) -> str:
    """The JSON text of `content` with the value at `path` replaced."""
    text = json.dumps(with_value(content, path, value))
    for mark, raw in RAW.items():
        text = text.replace(json.dumps(mark), raw)
    return text
