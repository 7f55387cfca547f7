"""Untrusted text files: size, encoding, columns and numbers are checked; errors name file and line."""

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

#: An hour of Live Link at 60 rows per second is 180 MB.
MAX_BYTES = 256 << 20
#: No weight, angle (radians), position (meters) or time (seconds) of a take is larger.
LARGEST = 1e6


def read_text(path: Path) -> str:
    """The file as text; UTF-8, with or without a byte-order mark.

    Raises:
        HeadsplatError: too large, or another encoding.
    """
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise HeadsplatError(f"{path}: larger than {MAX_BYTES >> 20} MB, which no take is; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise HeadsplatError(f"{path}: line {line}: not text in UTF-8; save it again as UTF-8") from error


def number(text: Any, where: str) -> float:
    """A finite number within limits from a cell or a JSON value."""
    try:
        value = float(text) if isinstance(text, (str, float, int)) and not isinstance(text, bool) else math.nan
    except (ValueError, OverflowError):
        value = math.nan
    if not abs(value) <= LARGEST:
        raise HeadsplatError(f"{where}: {str(text)[:40]!r} is not a valid number; repair or remove it")
    return value


@dataclass(frozen=True)
class Table:
    """A CSV file with a header."""

    path: Path
    header: tuple[str, ...]
    rows: Iterator[tuple[int, list[str]]]  # line number from 1, and the cells, any number of them

    def where(self, line: int) -> str:
        """The start of an error message about a line."""
        return f"{self.path}: line {line}"

    def check_width(self, line: int, cells: list[str]) -> None:
        """Raise HeadsplatError unless the row has as many cells as the header."""
        if len(cells) != len(self.header):
            raise HeadsplatError(
                f"{self.where(line)}: {len(cells)} columns, the header has {len(self.header)}; "
                "the line is truncated or damaged: repair or delete it"
            )

    def numbers(self, line: int, cells: list[str], columns: Sequence[int]) -> NDArray[np.float32]:
        """The cells at `columns` as finite numbers.

        Raises:
            HeadsplatError: a cell that is not a number; the message names the first.
        """
        try:
            values = np.array([float(cells[column]) for column in columns])
            if (np.abs(values) <= LARGEST).all():
                return values.astype(np.float32)
        except ValueError:
            pass
        checked = [number(cells[column], f"{self.where(line)}: {self.header[column]}") for column in columns]
        return np.array(checked, np.float32)


def read_table(path: Path) -> Table:
    """The header of a CSV file and an iterator over its rows without empty lines.

    Raises:
        HeadsplatError: no header, or not text.
    """
    rows = _rows(path, read_text(path))
    _, header = next(rows, (1, []))
    if len(header) < 2:
        raise HeadsplatError(f"{path}: line 1: expected comma-separated names; export the take again as CSV")
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
        HeadsplatError: not valid JSON; the message names the line.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise HeadsplatError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); the file is truncated or damaged: export it again"
        ) from error
    except (RecursionError, ValueError) as error:  # deep nesting; an integer of thousands of digits
        raise HeadsplatError(f"{path}: not JSON of a motion ({str(error)[:80]}); export it again") from error


def numbers(value: Any, count: int | None, where: str) -> list[float]:
    """A JSON list of finite numbers.

    Args:
        value: a JSON value.
        count: the expected number of entries; None: any.
        where: file and key, for error messages.
    """
    if not isinstance(value, list):
        raise HeadsplatError(
            f"{where}: expected a list of numbers, found {type(value).__name__}; export the file again"
        )
    if count is not None and len(value) != count:
        raise HeadsplatError(f"{where}: expected {count} numbers, found {len(value)}; export the file again")
    return [number(entry, f"{where}[{i}]") for i, entry in enumerate(value)]
