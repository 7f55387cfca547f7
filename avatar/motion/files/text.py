"""Untrusted text files: size, encoding, columns and numbers are checked; errors name file and line."""

from __future__ import annotations

import codecs
import csv
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from avatar.common.jsonable import shortened
from avatar.errors import HeadsplatError
from avatar.types import Resting

#: An hour of Live Link at 60 rows per second is 180 MB.
MAX_BYTES = 256 << 20
#: Apple's names are 52, FLAME's at most 400; more columns or names than these are no expressions.
MAX_NAMES = 2000
#: Rows or frames of a file: four and a half hours at 60 per second.
MAX_FRAMES = 1_000_000
#: Characters of a line of CSV.
_MAX_LINE = 1 << 16
#: Values of an array: 512 MB as float64.
MAX_VALUES = 1 << 26
#: Lists and objects, texts, and values of a JSON file: more take gigabytes of memory.
_MOST = (("[{", 4 * MAX_FRAMES), ('"', 16 * MAX_FRAMES), (",", 64 * MAX_FRAMES))
#: No weight, angle (radians), position (meters) or time (seconds) of a take is larger.
LARGEST = 1e6


def is_utf16(start: bytes) -> bool:
    """Whether the first bytes of a file are the byte-order mark of UTF-16, which spreadsheets write."""
    return start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def read_text(path: Path) -> str:
    """The file as text; UTF-8, with or without a byte-order mark, or UTF-16 with one.

    Raises:
        HeadsplatError: too large, or another encoding.
    """
    with path.open("rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise HeadsplatError(f"{path}: larger than {MAX_BYTES >> 20} MB, which no take is; split it")
    try:
        return data.decode("utf-16" if is_utf16(data) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise HeadsplatError(f"{path}: line {line}: not text in UTF-8; save it again as UTF-8") from error


def number(text: Any, where: str) -> float:
    """A finite number within limits from a cell or a JSON value."""
    if isinstance(text, str) and text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")  # the decimal point of many spreadsheets
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
    first: Sequence[str] = ()  # the cells of the first row

    def where(self, line: int) -> str:
        """The start of an error message about a line."""
        return f"{self.path}: line {line}"

    def check_width(self, line: int, cells: list[str]) -> None:
        """Raise HeadsplatError unless the row has as many cells as the header."""
        if len(cells) == len(self.header) + 1 and not cells[-1].strip():
            return  # a comma at the end of each line
        if len(cells) > 1.4 * len(self.header):
            raise HeadsplatError(
                f"{self.where(line)}: {len(cells)} columns, the header has {len(self.header)}: its numbers seem to "
                "have decimal commas; export it with points, or with semicolons between the columns"
            )
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
        picked = [cells[column] for column in columns]
        return row_numbers(picked, [self.header[column] for column in columns], self.where(line))


def row_numbers(cells: Sequence[Any], names: Sequence[str], where: str) -> NDArray[np.float32]:
    """Cells as finite numbers.

    Args:
        cells: values of a row.
        names: their columns, for error messages.
        where: file and row, for error messages.

    Raises:
        HeadsplatError: a cell that is not a number; the message names the first.
    """
    try:
        values = np.array([float(cell) for cell in cells])
        if (np.abs(values) <= LARGEST).all():
            return values.astype(np.float32)
    except (ValueError, TypeError, OverflowError):
        pass
    return np.array([number(cell, f"{where}: {name}") for cell, name in zip(cells, names, strict=True)], np.float32)


def read_table(path: Path) -> Table:
    """The header of a CSV file and an iterator over its rows without empty lines.

    Cells are separated by the one of comma, semicolon and tab that the header has most of.

    Raises:
        HeadsplatError: no header, or not text.
    """
    text = read_text(path)
    if "\n" not in text:
        text = text.replace("\r", "\n")
    start = text[: text.find("\n") + 1] or text
    skipped = bool(re.fullmatch(r"sep=.\s*", start))  # a line that only Excel reads
    if skipped:
        start = text[len(start) : text.find("\n", len(start)) + 1 or len(text)]
    separator = max(",;\t", key=start.count)
    rows = _rows(path, text, separator)
    if skipped:
        next(rows, None)
    number, header = next(rows, (1, []))
    check_names(len(header), f"{path}: line {number}")
    if len(header) < 2:
        raise HeadsplatError(f"{path}: line {number}: expected comma-separated names; export the take again as CSV")
    first = next(rows, None)
    whole = rows if first is None else itertools.chain([first], rows)
    return Table(path, tuple(cell.strip() for cell in header), iter(whole), () if first is None else first[1])


def read_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells of a comma-separated file without a header."""
    return _rows(path, read_text(path), ",")


def check_names(count: int, where: str) -> None:
    """Raise HeadsplatError for more columns or names than any take has."""
    if count > MAX_NAMES:
        raise HeadsplatError(f"{where}: {count} names, at most {MAX_NAMES} are read; export the take again")


def check_frames(count: int, path: Path) -> None:
    """Raise HeadsplatError for more frames than are read."""
    if count > MAX_FRAMES:
        raise HeadsplatError(f"{path}: more than {MAX_FRAMES} frames, which no take has; split it")


def _lines(path: Path, text: str) -> Iterator[str]:
    start = number = 0
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        number += 1
        if end - start > _MAX_LINE:
            raise HeadsplatError(
                f"{path}: line {number}: longer than {_MAX_LINE} characters; export the take again as CSV"
            )
        yield text[start:end]
        start = end


def _rows(path: Path, text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and cells; a quoted cell ends with its line, since no take has a line break in a cell."""
    count = 0
    for line, content in enumerate(_lines(path, text), 1):
        try:
            (cells,) = csv.reader([content], delimiter=separator)
        except csv.Error as error:
            raise HeadsplatError(f"{path}: line {line}: {error}; export the take again as CSV") from error
        if any(cell.strip() for cell in cells):
            check_frames(count, path)
            count += 1
            yield line, cells


def check_resting(value: Any, where: str) -> Resting:
    """The value of `Motion.resting` in a file; raises HeadsplatError for another one."""
    if value not in get_args(Resting):
        raise HeadsplatError(f'{where}: resting is {shortened(value)}, expected "find" or "zero"; write it again')
    return cast(Resting, value)


def read_json(path: Path) -> Any:
    """The content of a JSON file; a list of the values of one that has several, such as JSON lines.

    Raises:
        HeadsplatError: not valid JSON; the message names the line.
    """
    text = read_text(path)
    for marks, most in _MOST:
        if sum(text.count(mark) for mark in marks) > most:
            raise HeadsplatError(f"{path}: more than {most} of {' and '.join(marks)}, which no take has; split it")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            return _json_values(path, text)
        raise HeadsplatError(
            f"{path}: line {error.lineno}: not JSON ({error.msg}); the file is truncated or damaged: export it again"
        ) from error
    except (RecursionError, ValueError) as error:  # deep nesting; an integer of thousands of digits
        raise HeadsplatError(f"{path}: not JSON of a motion ({str(error)[:80]}); export it again") from error


def _json_values(path: Path, text: str) -> list[Any]:
    """The values of a text with one JSON value after the other."""
    decoder = json.JSONDecoder()
    blank = re.compile(r"[\s,]*")
    found: list[Any] = []
    place = 0
    while place < len(text):
        try:
            value, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, place) + 1
            raise HeadsplatError(
                f"{path}: line {line}: not JSON; the file is truncated or damaged: export it again"
            ) from error
        found.append(value)
        following = blank.match(text, end)
        place = following.end() if following else end
    return found


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
