"""Live Link Face CSV: timecode, Apple's 52 weights and the angles of head and eyes in 63 columns, matched by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.types import ROOT, Resting

from .assemble import Rows, percent_to_weights, to_arrays
from .clock import clock_times
from .names import ARKIT, arkit_columns
from .pose_columns import ANGLES, angle_columns, set_angles
from .text import Table, read_table

Floats = NDArray[np.floating]

TIMECODE = "Timecode"
COUNT = "BlendShapeCount"
#: The last column, of zeros, in files of motions whose zero weights are the resting face. Other programs ignore it, or
#: see an expression that does not move.
RESTING = "RestingWeight"


def is_live_link(table: Table) -> bool:
    """Whether a CSV file is Live Link's: it has timecodes, and no plain numbers in their column."""
    lower = [name.lower() for name in table.header]
    if TIMECODE.lower() not in lower:
        return False
    place = lower.index(TIMECODE.lower())
    return not (place < len(table.first) and re.fullmatch(r"\s*\d+(\.\d*)?\s*", table.first[place]))


@dataclass(frozen=True)
class _Columns:
    time: int
    count: int | None
    weights: list[tuple[int, str]]
    angles: dict[int, tuple[int, ...]]  # joint -> yaw, pitch, roll
    resting: Resting

    @staticmethod
    def of(table: Table, notes: list[str]) -> _Columns:
        lower = [name.lower() for name in table.header]
        places = {name: place for place, name in reversed(list(enumerate(lower)))}
        taken = {TIMECODE.lower(), COUNT.lower(), RESTING.lower()}
        angles = angle_columns(table.header)
        taken |= {lower[place] for three in angles.values() for place in three}
        others = ["" if name in taken else table.header[i] for i, name in enumerate(lower)]
        if any(lower.count(name) > 1 for name in taken):
            raise HeadsplatError(f"{table.where(1)}: duplicate column; export the take again")
        if ROOT not in angles:
            notes.append("the file has no head rotation: the head does not move")
        weights = arkit_columns(others, table.where(1), notes)
        resting: Resting = "zero" if RESTING.lower() in places else "find"
        return _Columns(places[TIMECODE.lower()], places.get(COUNT.lower()), weights, angles, resting)


def read_live_link(path: Path, fps: float | None = None, table: Table | None = None) -> MotionArrays:
    """Read a take of Live Link Face; its first row is at time 0.

    Args:
        path: the CSV file.
        fps: frames per second of its rows, which wins over the timecodes; None: by the timecodes.
        table: its content; None: read from `path`.

    Returns:
        The motion.

    Raises:
        HeadsplatError: an incomplete row, a cell that is not a number or timecode; the message names file and line.
    """
    table = table or read_table(path)
    notes: list[str] = []
    columns = _Columns.of(table, notes)
    cells = [place for place, _ in columns.weights] + [place for three in columns.angles.values() for place in three]
    codes: list[str] = []
    places: list[str] = []
    has_face: list[bool] = []
    values: list[Floats] = []
    blank = np.zeros(len(cells), np.float32)
    for line, row in table.rows:
        face = _row_has_face(table, columns, line, row)
        codes.append(row[columns.time].strip() if columns.time < len(row) else "")
        places.append(table.where(line))
        has_face.append(face)
        values.append(table.numbers(line, row, cells) if face else blank)
    whole = np.array(values, np.float32).reshape(len(codes), len(cells))
    rows = Rows(
        time=clock_times(codes, places, TIMECODE, path, fps, notes),
        names=tuple(name for _, name in columns.weights),
        weights=whole[:, : len(columns.weights)],
        has_face=np.array(has_face, bool),
        resting=columns.resting,
    )
    rows.weights = percent_to_weights(rows.names, rows.weights, notes)
    set_angles(str(path), rows, columns.angles, whole[:, len(columns.weights) :].astype(np.float64), notes)
    start = int(np.argmin(rows.time)) if len(rows.time) else 0
    if rows.time[start : start + 1].any():
        notes.append(f"the take starts at timecode {codes[start]}; its times are relative to that")
    return to_arrays(path, rows, ARKIT, notes, rebase=True)


def _row_has_face(table: Table, columns: _Columns, line: int, row: list[str]) -> bool:
    """Whether the tracker found a face; a row without one may end after the count."""
    if columns.count is None or columns.count >= len(row):
        table.check_width(line, row)
        return True
    count = row[columns.count].strip()
    if not count.isdecimal():
        raise HeadsplatError(f"{table.where(line)}: {COUNT} is {count[:20]!r}, not a number; repair or delete the line")
    if int(count[:9]) > 0 or any(cell.strip() for cell in row[2:]):
        table.check_width(line, row)
    return int(count[:9]) > 0


#: The app's column order: Apple's, but with right before left for jaw and mouth.
_SWAPPED = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
COLUMNS = tuple(_SWAPPED.get(name, name) for name in ARKIT_52)
HEADER = (
    TIMECODE,
    COUNT,
    *(name[0].upper() + name[1:] for name in COLUMNS),
    *(name for names in ANGLES.values() for name in names),
)
