"""Rows with a name for each value, of any program: ARKit's names are the weights, whatever stands beside them is found
by its name or reported.

Names are matched in any case, with any separators and with the mesh before them (`names.common_name`), so that
MediaPipe's, Unity's, Blender's and Reallusion's spellings are read alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.motion.arrays import MotionArrays
from avatar.types import ROOT

from .assemble import Rows, frame_times, percent_to_weights, to_arrays
from .clock import clock_column, clock_times, is_clock
from .foreign import refuse_names
from .names import ARKIT, NEUTRAL, arkit_columns, is_arkit, listed
from .pose_columns import angle_columns, quaternion_columns, set_angles, set_matrices, set_quaternions
from .text import check_frames, check_names, row_numbers

Floats = NDArray[np.floating]

_FLAG = re.compile(r"(has|is)?(face)?(found|detected|tracked|tracking|success|visible|valid)|hasface|bsvalid")
_FALSE = ("", "0", "0.0", "false", "no", "none", "null")
_POSE = re.compile(r"yaw|pitch|roll|rot|euler|pose|angle|matri|transform|position|translation", re.IGNORECASE)


@dataclass
class NamedRows:
    """Rows of N named values."""

    path: Path
    names: Sequence[str]
    rows: Iterable[tuple[str, Sequence[Any]]]  # start of an error message; N values, "" or None where missing
    rate: float | None = None  # frames per second that the file states
    matrix: int | None = None  # the value that is the head's matrix, a list of 16 numbers


def has_weights(names: Iterable[str]) -> bool:
    """Whether any of the names is an expression of ARKit."""
    return any(is_arkit(name) for name in names)


def read_named_rows(source: NamedRows, fps: float | None, notes: list[str]) -> MotionArrays:
    """Read rows of named values.

    Args:
        source: the rows.
        fps: frames per second of rows without times; None: what the file states, else 30.
        notes: notes on the file; further ones are appended.

    Returns:
        The motion.

    Raises:
        HeadsplatError: names of another program's expressions, or a value that is no number.
    """
    path, names = source.path, source.names
    check_names(len(names), str(path))
    refuse_names(path, names)
    columns = arkit_columns([name if _is_weight(name) else "" for name in names], str(path), notes)
    weights = [place for place, _ in columns]
    clock = clock_column(names)
    flag = next((i for i, name in enumerate(names) if _is_flag(name)), None)
    joints = angle_columns(names)
    quaternion = (quaternion_columns(names) or ()) if not joints and source.matrix is None else ()
    pose = [*(place for three in joints.values() for place in three), *quaternion]
    places: list[str] = []
    cells: list[Any] = []
    has_face: list[bool] = []
    values: list[Floats] = []
    poses: list[Floats] = []
    matrices: list[Sequence[float]] = []
    for place, row in source.rows:
        check_frames(len(values), path)
        seen = any(row[i] not in ("", None) for i in weights)
        seen = seen and (flag is None or str(row[flag]).strip().lower() not in _FALSE)
        has_face.append(seen)
        places.append(place if clock is None else f"{place}: {names[clock]}")
        cells.append(None if clock is None else row[clock])
        values.append(_numbers(names, row, weights, place, seen))
        poses.append(_numbers(names, row, pose, place, seen))
        if source.matrix is not None:
            cell = row[source.matrix]
            matrices.append(cell if seen and isinstance(cell, list) else [0.0] * 16)
    if clock is None:
        time = frame_times(range(len(cells)), fps, notes, stated=source.rate)
    else:
        time = clock_times(cells, places, names[clock], path, fps, notes, source.rate)
    found = Rows(
        time,
        tuple(name for _, name in columns),
        np.array(values, np.float32).reshape(len(cells), len(columns)),
        has_face=np.array(has_face, bool),
    )
    found.weights = percent_to_weights(found.names, found.weights, notes)  # gaze is compared with them
    used = {*weights, clock, flag}
    used |= _set_pose(str(path), found, joints, np.array(poses, np.float64).reshape(len(cells), len(pose)), pose, notes)
    if source.matrix is not None and set_matrices(found, np.array(matrices, np.float64).reshape(-1, 4, 4), notes):
        used.add(source.matrix)
    _note_unread(
        [name for i, name in enumerate(names) if i not in used and not is_clock(name) and name.strip() != NEUTRAL],
        found,
        notes,
    )
    return to_arrays(path, found, ARKIT, notes, rebase=True)


def _is_flag(name: str) -> bool:
    """Whether a value says if a face was found."""
    return bool(_FLAG.fullmatch(re.sub("[^a-z]", "", name.split(".")[-1].lower())))


def _is_weight(name: str) -> bool:
    return is_arkit(name) or name.strip() == NEUTRAL


def _numbers(names: Sequence[str], row: Sequence[Any], places: Sequence[int], where: str, seen: bool) -> Floats:
    """The values at `places`; 0 where one is missing, or no face was found."""
    if not seen:
        return np.zeros(len(places), np.float32)
    return row_numbers([0.0 if row[i] is None else row[i] for i in places], [names[i] for i in places], where)


def _set_pose(
    where: str, found: Rows, joints: dict[int, tuple[int, ...]], values: Floats, places: Sequence[int], notes: list[str]
) -> set[int]:
    """Set the rotations from Live Link's angles or a quaternion; returns the places that are read."""
    if joints and len(values):
        set_angles(where, found, joints, values, notes)
        return set(places)
    if places and len(values) and set_quaternions(found, values, notes):
        return set(places)
    return set()


def _note_unread(names: Sequence[str], found: Rows, notes: list[str]) -> None:
    """Append notes on the values that are not read."""
    named = [name for name in names if name.strip() and not name.startswith("Unnamed:")]
    pose = [name for name in named if _POSE.search(name)]
    if ROOT not in found.joint_rot:
        if pose:
            notes.append(
                f"not read, since their axes are not known: {listed(pose)}; the head does not move: write HeadYaw, "
                "HeadPitch and HeadRoll as Live Link Face does, or a quaternion"
            )
            named = [name for name in named if name not in pose]
        else:
            notes.append("the file has no head rotation: the head does not move")
    if named:
        notes.append(f"not read: {listed(named)}")
