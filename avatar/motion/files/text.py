"""Text files of strangers: size, encoding, columns and numbers are checked, and an error names file and line."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError

#: An hour of Live Link at 60 rows a second is 180 MB.
MOST_BYTES = 256 << 20
#: No weight, angle (radians), place (meters) or time (seconds) of a take is larger.
LARGEST = 1e6


def read_text(path: Path) -> str:
    """The whole file as text; UTF-8, with or without a byte-order mark.

    Raises:
        HeadsplatError: too large, or another encoding.
    """
    with path.open("rb") as stream:
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise HeadsplatError(f"{path}: larger than {MOST_BYTES >> 20} MB, which no take is; cut it into pieces")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise HeadsplatError(f"{path}: line {line}: not text in UTF-8; save it again as UTF-8") from error


def number(text: Any, where: str) -> float:
    """A finite number of sensible size out of a cell or a JSON value."""
    try:
        value = float(text) if isinstance(text, (str, float, int)) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= LARGEST:
        raise HeadsplatError(f"{where}: {str(text)[:40]!r} is no number a motion can have; repair it or leave it out")
    return value


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    path: Path
    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]  # line number from 1 on, and the cells; of any count

    def where(self, line: int) -> str:
        """The beginning of a sentence about a line."""
        return f"{self.path}: line {line}"

    def check_width(self, line: int, cells: list[str]) -> None:
        """Raise HeadsplatError unless the row has as many cells as the header."""
        if len(cells) != len(self.header):
            raise HeadsplatError(
                f"{self.where(line)}: {len(cells)} columns, the header has {len(self.header)}; "
                "the line is cut short or damaged: repair it or delete it"
            )

    def numbers(self, line: int, cells: list[str], places: Sequence[int]) -> NDArray[np.float32]:
        """The cells at `places` as finite numbers; a sentence about the first that is none."""
        try:
            values = np.array([float(cells[place]) for place in places])
            if (np.abs(values) <= LARGEST).all():
                return values.astype(np.float32)
        except ValueError:
            pass
        named = [number(cells[place], f"{self.where(line)}: {self.header[place]}") for place in places]
        return np.array(named, np.float32)


def read_table(path: Path) -> Table:
    """The header of a CSV file, and its rows one by one; empty lines are passed over.

    Raises:
        HeadsplatError: no header, or not text.
    """
    rows = _rows(path, read_text(path))
    _, header = next(rows, (1, []))
    if len(header) < 2:
        raise HeadsplatError(f"{path}: line 1: expected names with commas between them; export the take again as CSV")
    return Table(path, tuple(cell.strip() for cell in header), rows)


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _rows(path: Path, text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(_lines(text))
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise HeadsplatError(f"{path}: line {reader.line_num}: {error}; export the take again as CSV") from error
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        HeadsplatError: it is none; the sentence names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise HeadsplatError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); the file is cut short or damaged: export it again"
        ) from error
    except (RecursionError, ValueError) as error:  # nested without end; an integer of thousands of digits
        raise HeadsplatError(f"{path}: not the JSON of a motion ({str(error)[:80]}); export it again") from error


def numbers(value: Any, count: int | None, where: str) -> list[float]:
    """A JSON list of finite numbers.

    Args:
        value: whatever JSON held.
        count: how many there must be; any number when None.
        where: file and key.
    """
    if not isinstance(value, list):
        raise HeadsplatError(
            f"{where}: expected a list of numbers, found {type(value).__name__}; export the file again"
        )
    if count is not None and len(value) != count:
        raise HeadsplatError(f"{where}: expected {count} numbers, found {len(value)}; export the file again")
    return [number(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
