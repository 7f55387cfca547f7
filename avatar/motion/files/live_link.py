"""Live Link Face CSV: timecode, Apple's 52 weights and the angles of head and eyes in 63 columns, matched by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT, Resting

from .angles import EYE_SIGNS, HEAD_SIGNS, angles_to_rotvec
from .assemble import Rows, to_arrays
from .gaze import LOOKS, total_rotations
from .names import ARKIT, arkit_columns
from .text import Table, read_table
from .timecode import Timecode, row_times

Floats = NDArray[np.floating]

TIMECODE = "Timecode"
COUNT = "BlendShapeCount"
#: The last column, of zeros, in files of motions whose zero weights are the resting face. Other programs ignore it, or
#: see an expression that does not move.
RESTING = "RestingWeight"
ANGLES = {
    ROOT: ("HeadYaw", "HeadPitch", "HeadRoll"),
    LEFT_EYE: ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    RIGHT_EYE: ("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
}

#: Radians farther than a head or an eye turns from the camera, and more than any radians, with or without sign.
_FARTHEST = 2.0
_TURN = 6.3


def is_live_link(header: tuple[str, ...]) -> bool:
    """Whether the header of a CSV file is Live Link's."""
    return TIMECODE.lower() in (name.lower() for name in header)


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
        angles = {}
        for joint, names in ANGLES.items():
            if all(name.lower() in places for name in names):
                angles[joint] = tuple(places[name.lower()] for name in names)
                taken |= {name.lower() for name in names}
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
    codes: list[Timecode] = []
    has_face: list[bool] = []
    values: list[Floats] = []
    blank = np.zeros(len(cells), np.float32)
    for line, row in table.rows:
        face = _row_has_face(table, columns, line, row)
        codes.append(Timecode.of(row[columns.time].strip() if columns.time < len(row) else "", table.where(line)))
        has_face.append(face)
        values.append(table.numbers(line, row, cells) if face else blank)
    whole = np.array(values, np.float32).reshape(len(codes), len(cells))
    rows = Rows(
        time=row_times(codes, fps, notes),
        names=tuple(name for _, name in columns.weights),
        weights=whole[:, : len(columns.weights)],
        has_face=np.array(has_face, bool),
        resting=columns.resting,
    )
    angles = _in_radians(columns, whole[:, len(columns.weights) :].astype(np.float64), notes)
    _set_rotations(rows, columns, angles, notes)
    start = int(np.argmin(rows.time)) if len(rows.time) else 0
    if rows.time[start : start + 1].any():
        notes.append(f"the take starts at timecode {codes[start].text}; its times are relative to that")
    return to_arrays(path, rows, ARKIT, notes, rebase=True)


def _in_radians(columns: _Columns, angles: Floats, notes: list[str]) -> Floats:
    """The angles [T,3J], converted where they can only be degrees; notes those that are farther than a head turns."""
    names = [name for joint in columns.angles for name in ANGLES[joint]]
    if not angles.size:
        return angles
    reached = np.abs(angles).max(0)
    largest = float(reached.max())
    if largest <= _FARTHEST:
        return angles
    name = names[int(reached.argmax())]
    if largest > _TURN:
        notes.append(
            f"{name} reaches {largest:.3g}, which is no angle in radians: the angles of head and eyes "
            "are read as degrees"
        )
        return np.radians(angles)
    notes.append(
        f"{name} reaches {largest:.3g} radians, {np.degrees(largest):.0f} degrees, farther than a face turns: if the "
        "file has degrees, divide its angles by 57.29578"
    )
    return angles


def _set_rotations(rows: Rows, columns: _Columns, angles: Floats, notes: list[str]) -> None:
    """Set the rotations of the head from its angles; those of the eyes only if all eyeLook weights are 0."""
    weighted = [i for i, name in enumerate(rows.names) if name in LOOKS]
    by_weights = bool(rows.weights[:, weighted].any())
    for index, joint in enumerate(columns.angles):
        of_joint = angles[:, 3 * index : 3 * index + 3]
        if joint == ROOT:
            rows.joint_rot[joint] = angles_to_rotvec(of_joint, HEAD_SIGNS)
            if not of_joint.any():
                notes.append("the head's angles are all 0: the head does not move")
        elif not by_weights and of_joint.any():
            rows.joint_rot[joint] = angles_to_rotvec(of_joint, EYE_SIGNS)
    if by_weights and {LEFT_EYE, RIGHT_EYE} & set(columns.angles):
        difference = np.degrees(_gaze_difference(rows, columns, angles))
        notes.append(
            "gaze is read from the eyeLook weights; the file's eye angles differ from it by up to "
            f"{difference:.1f} degrees and are ignored"
        )
    elif len(rows.joint_rot) > 1:
        notes.append("gaze is read from the eye angles, since all eyeLook weights are 0")


def _gaze_difference(rows: Rows, columns: _Columns, angles: Floats) -> float:
    """Largest difference in radians between eye angles and the rotations by weights, over frames with a face."""
    rest = np.zeros((len(rows.time), len(JOINT_NAMES), 3))
    gaze = total_rotations(rows.names, rows.weights, rest)
    largest = 0.0
    for index, joint in enumerate(columns.angles):
        if joint != ROOT:
            yaw_pitch = angles[:, 3 * index : 3 * index + 2] * EYE_SIGNS[[1, 0]]
            difference = np.abs(yaw_pitch - gaze[:, joint, 1::-1])[rows.has_face]
            largest = max(largest, float(difference.max(initial=0.0)))
    return largest


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
