"""Manifests: a table of people, one row each, as CSV, JSON lines or Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from avatar.common.files import error_words
from avatar.common.jsonable import shortened
from avatar.common.printable import printable
from avatar.errors import HeadsplatError
from avatar.fleet.store import file_system, is_url, local_path

#: Columns that name what a row is made of; all others are options, COMMAND.OPTION.
COLUMNS = ("name", "source", "avatar", "motion", "capture")
MAX_BYTES = 1 << 28
_NAME = re.compile(r"[^\W_][\w.+-]{0,99}")
_UNUSABLE = re.compile("[\0\ud800-\udfff]")
_MAX_NAME_BYTES = 200  # file systems allow 255, with what outputs and temporary files add


@dataclass(frozen=True)
class ManifestRow:
    """One row of a manifest."""

    name: str  # of its outputs
    where: str  # file and line, for messages
    values: Mapping[str, Any]  # column -> text, number, boolean or list; empty ones are left out

    def list_of(self, column: str) -> list[str]:
        """The entries of a column that may have several: a list, or text with `|` between them."""
        value = self.values.get(column, [])
        entries = value if isinstance(value, list) else str(value).split("|")
        return [str(entry).strip() for entry in entries if str(entry).strip()]

    def options(self, command: str) -> dict[str, Any]:
        """The options of the row for a command: name with underscores -> value."""
        start = f"{command}."
        return {
            key[len(start) :].replace("-", "_"): value for key, value in self.values.items() if key.startswith(start)
        }


def read_manifest(path: str) -> list[ManifestRow]:
    """The rows of the manifest at a path or URL.

    Raises:
        HeadsplatError: it cannot be read, it has no rows, a column that no command knows, or two rows of one name.
    """
    suffix = "." + path.rsplit(".", 1)[-1].lower()
    if suffix not in _READERS:
        raise HeadsplatError(f"{path}: not a manifest; give a .csv, .jsonl or .parquet file")
    rows = []
    for line, values in _READERS[suffix](path, _content(path)):
        where = f"{path}: line {line}" if suffix != ".parquet" else f"{path}: row {line}"
        kept = {str(key).strip(): _value(value) for key, value in values.items() if not _is_empty(_value(value))}
        if kept:
            _check_text(kept, where)
            rows.append(ManifestRow(_name(kept, where), where, kept))
    if not rows:
        raise HeadsplatError(f"{path}: has no rows; write one for each person, with columns such as name and source")
    _check(path, rows)
    return rows


def _content(path: str) -> bytes:
    try:
        if is_url(path):
            fs, place = file_system(path)
            size = fs.size(place)
            content = None
            if size is None or size <= MAX_BYTES:
                content = bytes(fs.cat_file(place))
        else:
            with Path(local_path(path)).open("rb") as stream:
                content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise HeadsplatError(f"{path}: no such manifest; check the path") from error
    except OSError as error:
        raise HeadsplatError(f"{path}: cannot read the manifest ({error_words(error)}); check its path") from error
    if content is None or len(content) > MAX_BYTES:
        raise HeadsplatError(f"{path}: larger than {MAX_BYTES >> 20} MB, which no manifest is; check its path")
    return content


def _csv(path: str, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    text = _text(path, content)
    header = text.split("\n", 1)[0]
    delimiter = ";" if ";" in header and "," not in header else ","  # as spreadsheets of some languages write it
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = next(reader, [])
        _check_columns(path, names)
        for cells in reader:
            if len(cells) > len(names):
                raise HeadsplatError(
                    f"{path}: line {reader.line_num} has {len(cells)} cells, the header has {len(names)}; write a cell "
                    "that contains a comma in quotes"
                )
            yield reader.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise HeadsplatError(f"{path}: line {reader.line_num} is not CSV ({error}); correct it") from error


def _check_columns(path: str, names: Iterable[str]) -> None:
    """Raise HeadsplatError for two columns of one name; that of an option may have - or _ between its words."""
    known: set[str] = set()
    for name in (each.strip() for each in names):
        same = name.replace("-", "_")
        if name and same in known:
            raise HeadsplatError(f"{path}: two columns are called {shortened(name, 60)}; remove one of them")
        known.add(same)


def _json_lines(path: str, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_text(path, content).split("\n"), 1):  # texts may contain other line separators
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=partial(_object, f"{path}: line {number}"))
        except (ValueError, RecursionError) as error:
            raise HeadsplatError(
                f"{path}: line {number} is not JSON ({shortened(str(error), 80)}); correct it"
            ) from error
        if not isinstance(values, dict):
            raise HeadsplatError(f"{path}: line {number} is not a JSON object; write one object of columns a line")
        yield number, values


def _object(where: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_columns(where, (key for key, _ in pairs))
    return dict(pairs)


def _parquet(path: str, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise HeadsplatError(f"{path}: Parquet needs pyarrow (pip install pyarrow), or give a .csv file") from error
    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content))
        _check_columns(path, file.schema_arrow.names)
        rows = file.read().to_pylist()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        words = shortened(" ".join(str(error).split()), 80)
        raise HeadsplatError(f"{path}: not a Parquet file ({words}); write it again") from error
    yield from enumerate(rows, 1)


_READERS = {".csv": _csv, ".jsonl": _json_lines, ".ndjson": _json_lines, ".parquet": _parquet}


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HeadsplatError(f"{path}: not a UTF-8 text file; save it as UTF-8") from error


def _value(value: Any) -> Any:
    """A value without the empty entries of a list."""
    return [entry for entry in value if not _is_empty(entry)] if isinstance(value, list) else value


def _check_text(values: Mapping[str, Any], where: str) -> None:
    """Raise HeadsplatError for characters that neither a file name nor an argument can have."""
    for key, value in values.items():
        texts = (key, *map(str, value if isinstance(value, list) else [value]))
        if any(_UNUSABLE.search(text) for text in texts):
            raise HeadsplatError(
                f"{where}: column {printable(key)} has a character that no file name or option can have (a zero or "
                "half of a surrogate pair); correct it"
            )


def _is_empty(value: Any) -> bool:
    if isinstance(value, float) and math.isnan(value):
        return True
    return value is None or (isinstance(value, str) and not value.strip()) or value == []


def _name(values: Mapping[str, Any], where: str) -> str:
    """The name of a row: its column `name`, or that of its first file without the suffix."""
    given = values.get("name")
    if given is None:
        column = next((each for each in ("source", "motion", "avatar", "capture") if each in values), None)
        if column is None:
            raise HeadsplatError(f"{where} names no file; give it a source, an avatar, a motion or a capture")
        first = next(iter(ManifestRow("", where, values).list_of(column)), "")
        given = re.split(r"[/\\]", first.rstrip("/\\"))[-1].rsplit(".", 1)[0]
    name = str(given).strip()
    if not _NAME.fullmatch(name) or name.endswith(".") or len(name.encode()) > _MAX_NAME_BYTES:
        raise HeadsplatError(
            f"{where}: {shortened(name, 60)!r} is not a name for files; give letters, digits and -_.+ (at most 100), "
            "starting with a letter or a digit, in the column name"
        )
    return name


def _check(path: str, rows: list[ManifestRow]) -> None:
    known: dict[str, ManifestRow] = {}
    for row in rows:
        other = known.setdefault(row.name.lower(), row)  # some file systems do not distinguish case
        if other is not row:
            raise HeadsplatError(
                f"{row.where}: its name {row.name} is also that of {other.where.rpartition(': ')[2]}; give each row "
                "another name in the column name"
            )
