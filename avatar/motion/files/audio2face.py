"""NVIDIA Audio2Face: CSV (`timeCode`, `blendShapes.<Name>`) and JSON (`exportFps`, `facsNames`, `weightMat`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from avatar.common.frame_rate import MAX_FPS
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .assemble import Rows, frame_times, note_unused_fps, to_arrays
from .clock import clock_column, clock_times, is_clock
from .foreign import refuse_names
from .named_json import names_of
from .names import ARKIT, arkit_columns, listed
from .text import Table, check_frames, number, numbers

_PREFIX = "blendshapes."
_NO_HEAD_POSE = "Audio2Face has no head pose: the head does not move"
#: Keys of its JSON and columns of its CSV that are no motion: the rest is dropped with a note.
_NO_MOTION = {"exportfps", "trackpath", "numposes", "numframes", "facsnames", "weightmat", "timecode", "index", "frame"}


def is_audio2face(header: tuple[str, ...]) -> bool:
    """Whether the header of a CSV file is Audio2Face's."""
    return any(name.lower().startswith(_PREFIX) for name in header)


def read_audio2face_csv(path: Path, table: Table, fps: float | None = None) -> MotionArrays:
    """Read a CSV file.

    Args:
        path: for error messages.
        table: its content.
        fps: frames per second if the file has no timeCode; None: 30.

    Returns:
        The motion.

    Raises:
        HeadsplatError: an incomplete row or a cell that is not a number; the message names file and line.
    """
    notes = [_NO_HEAD_POSE]
    clock = clock_column(table.header)
    names = [name[len(_PREFIX) :] if name.lower().startswith(_PREFIX) else "" for name in table.header]
    refuse_names(path, names)
    columns = arkit_columns(names, table.where(1), notes)
    dropped = [name for name in table.header if not name.lower().startswith(_PREFIX) and not is_clock(name)]
    _note_dropped(dropped, notes)
    cells = []
    places = []
    values = []
    for line, row in table.rows:
        table.check_width(line, row)
        if clock is not None:
            cells.append(row[clock])
            places.append(f"{table.where(line)}: {table.header[clock]}")
        values.append(table.numbers(line, row, [column for column, _ in columns]))
    if clock is None:
        times = frame_times(range(len(values)), fps, notes)
    else:
        times = clock_times(cells, places, table.header[clock], path, fps, notes)
    weights = np.array(values, np.float32).reshape(len(values), len(columns))
    return to_arrays(path, Rows(times, tuple(name for _, name in columns), weights), ARKIT, notes)


def _note_dropped(names: list[str], notes: list[str]) -> None:
    """Append a note on what a file has beside the weights: `joints` with the rotations of jaw, eyes and head."""
    dropped = [name for name in names if name and name.lower() not in _NO_MOTION and not name.startswith("Unnamed:")]
    if dropped:
        notes.append(f"dropped, only the weights are read: {listed(dropped)}")


def is_audio2face_json(content: Any) -> bool:
    """Whether a JSON file has Audio2Face's layout."""
    return isinstance(content, dict) and "facsNames" in content and "weightMat" in content


def read_audio2face_json(path: Path, content: Any, fps: float | None = None) -> MotionArrays:
    """Read a JSON file.

    Args:
        path: for error messages.
        content: its content.
        fps: frames per second if the file has no rate; None: 30.

    Returns:
        The motion.

    Raises:
        HeadsplatError: a row that does not match the names; the message names file and key.
    """
    notes = [_NO_HEAD_POSE]
    names = names_of(content["facsNames"], f"{path}: facsNames")
    refuse_names(path, names)
    columns = arkit_columns(names, f"{path}: facsNames", notes)
    _note_dropped([str(key) for key, value in content.items() if value], notes)
    table = content["weightMat"]
    if not isinstance(table, list) or not table:
        raise HeadsplatError(f"{path}: weightMat: expected a row of weights for each frame; export the file again")
    check_frames(len(table), path)
    stated = content.get("numFrames", len(table))
    if stated != len(table):
        raise HeadsplatError(f"{path}: weightMat: {len(table)} rows, numFrames is {str(stated)[:20]}; export it again")
    picked = [column for column, _ in columns]
    weights = np.zeros((len(table), len(columns)), np.float32)
    for k, row in enumerate(table):
        weights[k] = np.array(numbers(row, len(names), f"{path}: weightMat[{k}]"), np.float32)[picked]
    rows = Rows(_times(path, content.get("exportFps"), len(table), fps, notes), tuple(n for _, n in columns), weights)
    return to_arrays(path, rows, ARKIT, notes)


def _times(path: Path, rate: Any, count: int, fps: float | None, notes: list[str]) -> np.ndarray:
    if rate is None:
        return frame_times(range(count), fps, notes)
    stored = number(rate, f"{path}: exportFps")
    if not 0 < stored <= MAX_FPS:
        raise HeadsplatError(f"{path}: exportFps: {stored:g} fps is not a valid rate; export the file again")
    note_unused_fps(fps, notes)
    return np.arange(count) / stored
