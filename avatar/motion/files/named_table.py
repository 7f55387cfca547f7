"""CSV with ARKit's names: a column a name, or a row a name with its value."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from avatar.motion.arrays import MotionArrays

from .named_frames import read_named_frames
from .named_rows import NamedRows, has_weights, read_named_rows
from .names import NEUTRAL
from .text import Table


def is_named_table(table: Table) -> bool:
    """Whether the columns of a CSV file are ARKit's expressions, or its rows are."""
    return has_weights(table.header) or has_weights(table.first) or NEUTRAL in table.first


def read_named_table(path: Path, table: Table, fps: float | None = None) -> MotionArrays | None:
    """Read a CSV file; None: no name of ARKit is where a name is expected.

    Args:
        path: for error messages.
        table: its content.
        fps: frames per second if the file has no times; None: 30.

    Raises:
        HeadsplatError: an incomplete row or a cell that is not a number; the message names file and line.
    """
    if has_weights(table.header):
        return read_named_rows(NamedRows(path, table.header, _rows(table)), fps, [])
    entries = [dict(zip(table.header, row, strict=True)) for _, row in _rows(table)]
    return read_named_frames(path, entries, fps)


def _rows(table: Table) -> Iterator[tuple[str, list[str]]]:
    for line, row in table.rows:
        table.check_width(line, row)
        yield table.where(line), row
