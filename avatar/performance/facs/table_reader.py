"""Typed reading of a table in TOML; errors name the file and the key."""

from __future__ import annotations

import difflib
import itertools
import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from avatar.common.files import path_text
from avatar.common.jsonable import shortened
from avatar.common.printable import single_line
from avatar.errors import HeadsplatError

if typing.TYPE_CHECKING:
    import tomli as toml_reader
else:
    try:
        import tomllib as toml_reader
    except ModuleNotFoundError:  # Python 3.10
        import tomli as toml_reader

#: headsplat's own table has 13 KB.
MAX_BYTES = 1 << 18


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file of at most MAX_BYTES; raises HeadsplatError."""
    name = path_text(path)
    if path.exists() and not path.is_file():
        raise HeadsplatError(f"{name}: a folder or a device; give a TOML file")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise HeadsplatError(f"{name}: larger than {MAX_BYTES >> 10} KB, which no table is; check its path")
        return toml_reader.loads(data.decode("utf-8"))
    except FileNotFoundError as error:
        raise HeadsplatError(f"{name}: no such table; check the path given to --table") from error
    except (OSError, UnicodeDecodeError) as error:
        raise HeadsplatError(
            f"{name}: cannot read the table ({single_line(str(error))[:80]}); give a TOML file"
        ) from error
    except (RecursionError, ValueError) as error:  # malformed; deep nesting; an integer of thousands of digits
        reason = single_line(str(error))[:80]
        raise HeadsplatError(f"{name}: not valid TOML ({reason}); correct that line") from error


class TableReader:
    """One table of the file; `path` is its dotted key."""

    def __init__(self, where: str, values: Mapping[str, Any], path: str = "") -> None:
        self.where = where
        self.path = path
        self._values = values

    def names(self) -> list[str]:
        """The keys of the table, in the order of the file."""
        return list(self._values)

    def error(self, key: str, text: str) -> HeadsplatError:
        """An error that names the file and the key."""
        dotted = ".".join(part for part in (self.path, key) if part)
        return HeadsplatError(f"{self.where}: `{shortened(single_line(dotted), 80)}`: {text}")

    def unknown(self, key: str, known: Iterable[str]) -> HeadsplatError:
        """The error of an unknown name, with the nearest known one."""
        names = sorted(set(known))
        near = difflib.get_close_matches(key.rpartition(" ")[2], names, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"known names: {', '.join(names[:60])}"
        return self.error(key, f"unknown name; {hint}")

    def only(self, *known: str) -> None:
        """Raise for a key that is not one of `known`."""
        for key in self._values:
            if key not in known:
                raise self.unknown(key, known)

    def table(self, key: str, default: Mapping[str, Any] | None = None) -> TableReader:
        """A table inside this one."""
        value = self._get(key, default)
        if not isinstance(value, Mapping):
            raise self.error(key, "expected a table of settings")
        return TableReader(self.where, value, ".".join(part for part in (self.path, key) if part))

    def tables(self, key: str) -> list[TableReader]:
        """A list of tables; empty if the key is missing."""
        values = self._list(key)
        if not all(isinstance(value, Mapping) for value in values):
            raise self.error(key, "expected a list of tables, such as [{ AU12 = 1.0 }]")
        return [TableReader(self.where, value, f"{self.path}.{key}[{row}]") for row, value in enumerate(values)]

    def number(self, key: str, low: float, high: float, default: float | None = None) -> float:
        """A number between `low` and `high`."""
        value = self._get(key, default)
        valid = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not valid or not math.isfinite(value) or not low <= value <= high:
            raise self.error(key, f"expected a number from {low:g} to {high:g}, found {_found(value)}")
        return float(value)

    def text(self, key: str, default: str | None = None) -> str:
        """A text."""
        value = self._get(key, default)
        if not isinstance(value, str):
            raise self.error(key, f"expected a text, found {_found(value)}")
        return single_line(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; empty if the key is missing."""
        values = self._list(key)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.error(key, "expected a list of texts")
        return tuple(single_line(value) for value in values)

    def flag(self, key: str) -> bool:
        """True or false; false if the key is missing."""
        value = self._values.get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, f"expected true or false, found {_found(value)}")
        return value

    def choice(self, key: str, known: Sequence[str]) -> str:
        """One of `known`, by default the first."""
        value = self._values.get(key, known[0])
        if value not in known:
            raise self.error(key, f"expected {' or '.join(known)}, found {_found(value)}")
        return str(value)

    def pairs(self, key: str) -> tuple[tuple[float, float], ...]:
        """At least two pairs of increasing numbers, the second ones 0 to 1; empty if the key is missing."""
        values = self._list(key)
        wanted = "expected increasing pairs of numbers, such as [[0.2, 0.08], [0.7, 1.0]]"
        pairs = [value for value in values if isinstance(value, Sequence) and len(value) == 2]
        numbers = [part for pair in pairs for part in pair]
        if len(pairs) != len(values) or not all(type(part) in (int, float) and abs(part) <= 1e3 for part in numbers):
            raise self.error(key, wanted)
        found = tuple((float(first), float(second)) for first, second in pairs)
        steps = itertools.pairwise(found)
        rising = all(after[0] > before[0] and after[1] > before[1] for before, after in steps)
        if found and (len(found) < 2 or not rising or found[0][0] < 0 or found[0][1] < 0 or found[-1][1] > 1):
            raise self.error(key, wanted)
        return found

    def _list(self, key: str) -> list[Any]:
        value = self._values.get(key, [])
        if not isinstance(value, list):
            raise self.error(key, f"expected a list, found {_found(value)}")
        return value

    def _get(self, key: str, default: Any) -> Any:
        if key in self._values:
            return self._values[key]
        if default is None:
            raise self.error(key, "is missing; copy the entry from headsplat's own table")
        return default


def _found(value: Any) -> str:
    return shortened(value, 40) if isinstance(value, (int, float)) else f"{value!r:.40}"
