"""Untrusted JSON files: size, depth and text are checked on reading, each value where it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avatar.errors import HeadsplatError

if TYPE_CHECKING:
    import numpy as np

#: Limits of a file: bytes, and lists or objects within each other.
MAX_BYTES = 64 << 20
MAX_DEPTH = 32
#: Tolerance of R^T R against the identity: exporters round, but scale and shear are not allowed.
_ORTHOGONALITY = 1e-3
_MAX_DISTANCE = 1e6


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """The JSON object of a file.

    Args:
        path: the file.
        remedy: the end of error messages: what to do about a damaged file.

    Raises:
        HeadsplatError: missing, larger than MAX_BYTES, not UTF-8 JSON, nested deeper than MAX_DEPTH, with text that is
            not Unicode, or not an object.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise HeadsplatError(f"{path}: larger than {MAX_BYTES >> 20} MB; {remedy}")
        content = json.loads(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: no such file; {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: damaged, not readable as JSON ({str(error)[:200]}); {remedy}") from error
    if not isinstance(content, dict):
        raise HeadsplatError(f"{path}: damaged, expected a JSON object, got {type(content).__name__}; {remedy}")
    _check_tree(content, path, remedy)
    return content


def _check_tree(content: dict[str, Any], path: Path, remedy: str) -> None:
    for depth, level in enumerate(levels(content)):
        if depth == MAX_DEPTH and any(isinstance(node, (dict, list, str)) for node in level):
            raise HeadsplatError(f"{path}: damaged, nested more than {MAX_DEPTH} deep; {remedy}")
        if not all(is_unicode(text) for node in level for text in _texts(node)):
            raise HeadsplatError(f"{path}: damaged, a text in it is not Unicode; {remedy}")


def levels(value: Any) -> Iterator[list[Any]]:
    """A JSON value, the values in it, the values in those, and so on; without recursion."""
    level = [value]
    while level:
        yield level
        level = [child for node in level for child in _children(node)]


def _children(node: Any) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []


def _texts(node: Any) -> list[str]:
    return list(node) if isinstance(node, dict) else [node] if isinstance(node, str) else []


def is_unicode(text: str) -> bool:
    """Whether `text` can be written: JSON's escapes allow halves of surrogate pairs, which no encoding has."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@dataclass(frozen=True)
class JsonValue:
    """A value of a JSON file with its place; each reader raises HeadsplatError unless it is of the expected kind."""

    value: Any
    where: str  # file and key
    remedy: str  # what to do about a wrong value

    def error(self, expected: str) -> HeadsplatError:
        """The error about a value that is not as `expected`."""
        return HeadsplatError(f"{self.where}: expected {expected}, got {short(self.value)}; {self.remedy}")

    def get(self, key: str, *, nullable: bool = False) -> JsonValue | None:
        """The entry `key` of an object; None where it is missing, or null and `nullable`."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        if key not in self.value or (nullable and self.value[key] is None):
            return None
        return JsonValue(self.value[key], f"{self.where}: {key}", self.remedy)

    def __getitem__(self, key: str) -> JsonValue:
        """The entry `key` of an object, which must be there and not null."""
        entry = self.get(key, nullable=True)
        if entry is None:
            raise HeadsplatError(f"{self.where}: damaged (no `{key}` in it); {self.remedy}")
        return entry

    def keys(self) -> list[str]:
        """The keys of an object."""
        if not isinstance(self.value, dict):
            raise self.error("an object")
        return list(self.value)

    def entries(self) -> Iterator[JsonValue]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise self.error("a list")
        return (JsonValue(entry, f"{self.where}[{index}]", self.remedy) for index, entry in enumerate(self.value))

    def text(self, *, empty: bool = False) -> str:
        """A text without NUL characters, not empty unless `empty` is set."""
        if not isinstance(self.value, str) or "\0" in self.value or not (self.value or empty):
            raise self.error("a text")
        return self.value

    def flag(self) -> bool:
        """true or false."""
        if not isinstance(self.value, bool):
            raise self.error("true or false")
        return self.value

    def number(self, low: float, high: float) -> float:
        """A finite number in low..high."""
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            raise self.error("a number")
        try:
            result = float(self.value)
        except OverflowError:
            result = math.inf
        if not math.isfinite(result) or not low <= result <= high:
            raise HeadsplatError(f"{self.where}: expected {low:g} to {high:g}, got {result:g}; {self.remedy}")
        return result

    def integer(self, low: int, high: int) -> int:
        """A whole number in low..high; some exporters write 512.0 for 512."""
        result = self.number(low, high)
        if result != round(result):
            raise self.error("a whole number")
        return round(result)

    def matrix(self, rows: int, columns: int) -> np.ndarray:
        """Finite numbers [rows,columns] float64 of nested lists."""
        import numpy as np

        lists = self.value if isinstance(self.value, list) else []
        fits = len(lists) == rows and all(isinstance(row, list) and len(row) == columns for row in lists)
        if not fits or not all(type(cell) in (int, float) for row in lists for cell in row):
            raise self.error(f"a matrix of {rows}x{columns} numbers")
        try:
            result = np.array(lists, dtype=np.float64)
        except OverflowError:
            result = np.full(1, np.inf)
        if not np.isfinite(result).all():
            raise HeadsplatError(f"{self.where}: the matrix has entries that are not finite; {self.remedy}")
        return result

    def rigid_transform(self) -> np.ndarray:
        """A rigid transform [4,4] float64 of nested lists [4][4] or [3][4]; the nearest rotation is taken."""
        import numpy as np

        last = [[0.0, 0.0, 0.0, 1.0]]
        padded = self.value + last if isinstance(self.value, list) and len(self.value) == 3 else self.value
        matrix = JsonValue(padded, self.where, self.remedy).matrix(4, 4)
        if (farthest := float(np.abs(matrix).max())) > _MAX_DISTANCE:
            raise HeadsplatError(
                f"{self.where}: a camera {farthest:.3g} units away; expected {_MAX_DISTANCE:g} at most; {self.remedy}"
            )
        rotation = matrix[:3, :3]
        off = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
        if off > _ORTHOGONALITY or np.linalg.det(rotation) < 0 or np.abs(matrix[3] - last[0]).max() > 1e-6:
            raise HeadsplatError(
                f"{self.where}: not a rigid transform (rotation and translation; R^T R is off by {off:.2g}, "
                f"determinant {np.linalg.det(rotation):.3g}); {self.remedy}"
            )
        u, _, vt = np.linalg.svd(rotation)
        result = np.eye(4)
        result[:3, :3] = u @ vt
        result[:3, 3] = matrix[:3, 3]
        return result


def short(value: Any) -> str:
    """A value as text of at most 40 characters, for messages."""
    text = repr(value)
    return text if len(text) < 40 else f"{text[:37]}..."
