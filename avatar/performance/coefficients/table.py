"""Frames of numbers of any meaning, as programs with their own face models write them: .npz, .npy or .csv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import os_error_sentence
from avatar.common.frame_rate import check_fps
from avatar.common.npz import DamagedNpz, Npz, read_npy
from avatar.errors import HeadsplatError
from avatar.motion.files.clock import clock_column, clock_times, times_of
from avatar.motion.files.flame_layouts import RATES, TIMES, stored_rate, stored_times
from avatar.motion.files.foreign import refuse_archive, refuse_start
from avatar.motion.files.names import listed
from avatar.motion.files.text import LARGEST, MAX_NAMES, MAX_VALUES, check_frames, number, read_table

Floats = NDArray[np.floating]

_REMEDY = "save the coefficients of all frames as one array [T,D] with numpy.savez"


@dataclass(frozen=True)
class Coefficients:
    """T frames of D numbers."""

    path: Path
    names: tuple[str, ...]  # [D]
    values: Floats  # [T,D]; rows without a face are not a number
    time: Floats | None  # [T] seconds, increasing; None: the file has no times
    fps: float | None  # of a file without times, where it says so or the user does
    notes: tuple[str, ...] = ()

    @property
    def has_face(self) -> NDArray[np.bool_]:
        """Which frames [T] have numbers."""
        return np.asarray(np.isfinite(self.values).all(1))


def read_coefficients(path: Path, keys: Sequence[str] = (), fps: float | None = None) -> Coefficients:
    """Read coefficients.

    Args:
        path: an .npz (arrays [T] or [T,D]), an .npy (one array) or a .csv (a column a coefficient).
        keys: arrays of the .npz, in this order, or columns of the .csv, with * for any text; none: the only array, or
            all columns but the times.
        fps: frames per second of a file without times.

    Raises:
        HeadsplatError: it cannot be read, or `keys` are needed or not in it; the message names file and array.
    """
    check_fps(fps)
    if not path.is_file():
        raise HeadsplatError(f"{path}: no such file; check its path")
    try:
        with path.open("rb") as stream:
            start = stream.read(4096)
        if start.startswith(b"PK"):
            return _of_archive(path, keys, fps)
        if start.startswith(b"\x93NUMPY"):
            return _of_array(path, keys, fps)
        refuse_start(path, start)
        if b"\0" in start[:64].replace(b"\xff\xfe", b"") and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise HeadsplatError(f"{path}: not a table of coefficients (.npz, .npy or .csv); {_REMEDY}")
        return _of_csv(path, keys, fps)
    except OSError as error:
        raise HeadsplatError(os_error_sentence(error, path)) from error


def _of_archive(path: Path, keys: Sequence[str], fps: float | None) -> Coefficients:
    try:
        archive = Npz(path)
        arrays = {key: archive.array(key) for key in keys or sorted(archive.names) if key in archive.names}
    except DamagedNpz as error:
        refuse_archive(path, _names(path))
        raise HeadsplatError(f"{path}: {str(error)[:120]}; {_REMEDY}") from error
    if missing := [key for key in keys if key not in arrays]:
        raise HeadsplatError(f"{path}: no array {missing[0]!r}; it has {listed(sorted(archive.names))}")
    if not keys:
        refuse_archive(path, archive.names)
        clocks = {*RATES, *TIMES}
        tables = {name: each for name, each in arrays.items() if name not in clocks and _is_table(each)}
        if len(tables) != 1:
            shapes = listed([f"{name} {list(each.shape)}" for name, each in sorted(tables.items())]) or "no array [T,D]"
            raise HeadsplatError(f"{path}: has {shapes}; name those of the face with --keys NAME,...")
        arrays = tables
    notes: list[str] = []
    parts = {name: _rows(each, f"{path}: {name}") for name, each in arrays.items()}
    counts = {name: len(part) for name, part in parts.items()}
    if len(set(counts.values())) > 1:
        raise HeadsplatError(f"{path}: arrays of different lengths ({counts}); choose arrays of the same frames")
    names = [f"{name}{i}" for name, part in parts.items() for i in range(part.shape[1])]
    values = np.concatenate(list(parts.values()), 1)
    time = None if fps is not None else _stamps(path, archive, len(values), notes)
    return _checked(path, names, values, time, stored_rate(path, archive) if fps is None else fps, notes)


def _names(path: Path) -> list[str]:
    try:
        return list(Npz(path).names)
    except DamagedNpz:
        return []


def _is_table(array: NDArray) -> bool:
    return array.ndim >= 2 and len(array) > 1


def _rows(array: NDArray, where: str) -> Floats:
    """An array of any shape as a row a frame."""
    if not array.size or not array.ndim or array.size > MAX_VALUES:
        raise HeadsplatError(f"{where}: expected [T,D], found {list(array.shape)[:6]}; {_REMEDY}")
    with np.errstate(invalid="ignore"):  # a signaling NaN
        return array.astype(np.float64).reshape(len(array), -1)


def _stamps(path: Path, archive: Npz, count: int, notes: list[str]) -> Floats | None:
    """The times [T] in an archive."""
    for name, values in (stored_times(archive, count) or {}).items():
        return np.asarray(times_of(values, name, str(path), None, notes))
    return None


def _of_array(path: Path, keys: Sequence[str], fps: float | None) -> Coefficients:
    if keys:
        raise HeadsplatError(f"{path}: --keys {','.join(keys)}: an .npy has one array without a name; leave it out")
    try:
        values = _rows(read_npy(path), str(path))
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: {str(error)[:120]}; {_REMEDY}") from error
    return _checked(path, [f"c{i}" for i in range(values.shape[1])], values, None, fps, [])


def _of_csv(path: Path, keys: Sequence[str], fps: float | None) -> Coefficients:
    table = read_table(path)
    clock = clock_column(table.header)
    names = [name for place, name in enumerate(table.header) if place != clock and name]
    for key in keys:
        if not any(fnmatchcase(name, key) for name in names):
            raise HeadsplatError(f"{path}: no column {key!r}; it has {listed(names)}")
    chosen = [name for name in names if not keys or any(fnmatchcase(name, key) for key in keys)]
    if len(set(chosen)) < len(chosen):
        twice = next(name for name in chosen if chosen.count(name) > 1)
        raise HeadsplatError(f"{path}: line 1: the column {twice[:40]} is there twice; remove one of the two")
    columns = [table.header.index(name) for name in chosen]
    rows, cells_of_time, places = [], [], []
    for line, cells in table.rows:
        table.check_width(line, cells)
        rows.append([_cell(cells[column], f"{table.where(line)}: {table.header[column]}") for column in columns])
        cells_of_time.append(cells[clock] if clock is not None else "")
        places.append(table.where(line))
    if not rows:
        raise HeadsplatError(f"{path}: has no frames; export it again")
    notes: list[str] = []
    time = None
    if clock is not None:
        time = np.asarray(clock_times(cells_of_time, places, table.header[clock], path, fps, notes))
    return _checked(path, chosen, np.array(rows), time, fps, notes)


def _cell(text: str, where: str) -> float:
    return np.nan if text.strip().lower() in ("", "nan", "none", "null") else number(text, where)


def _checked(
    path: Path, names: Sequence[str], values: Floats, time: Floats | None, fps: float | None, notes: list[str]
) -> Coefficients:
    """The coefficients in the order of time; raises HeadsplatError for numbers that no model has."""
    check_frames(len(values), path)
    if len(names) > MAX_NAMES:
        raise HeadsplatError(
            f"{path}: {len(names)} coefficients, at most {MAX_NAMES} are read; choose some with --keys"
        )
    if (np.abs(values) > LARGEST).any():
        row, column = np.argwhere(np.abs(values) > LARGEST)[0]
        raise HeadsplatError(f"{path}: frame {row + 1}: {names[column]} is {values[row, column]:.3g}; export it again")
    if not np.isfinite(values).all(1).any():
        raise HeadsplatError(f"{path}: no frame has all of its {len(names)} numbers; export it again")
    if time is not None:
        order = np.argsort(time, kind="stable")
        order = order[np.concatenate([[True], np.diff(time[order]) > 0])]
        if len(order) < len(time):
            notes.append(f"{len(time) - len(order)} rows have the time of the row before: dropped")
        time, values = time[order], values[order]
    return Coefficients(path, tuple(names), values, time, fps, tuple(notes))
