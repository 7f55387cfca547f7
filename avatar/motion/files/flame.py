"""Shared parts of the readers of FLAME parameters: names, joints and notes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT

from .angles import TURN, in_degrees
from .assemble import Rows, to_arrays
from .names import FLAME, listed
from .text import LARGEST, MAX_VALUES

Floats = NDArray[np.floating]

#: FLAME has 100 expressions; no release has more than this.
MAX_MODES = 400
#: How many expressions trackers use.
_USUAL_MODES = (50, 100)
_CAP4D_MODES = 64
#: FLAME's root joint in the mean head, meters: some trackers rotate the head about the origin, a motion about this.
ROOT_JOINT = np.array([-0.0016, -0.1460, -0.0824])
#: Meters that no head travels before a camera.
_FAR = 2.0
#: Axis-angle that no tracker writes: half a turn is the largest, jaw and eyes turn less. Above a turn it is degrees.
_MOST = {"rotation": np.pi + 0.01, "neck_pose": np.pi + 0.01, "jaw_pose": 1.5, "eyes_pose": 1.5}
_REMEDY = "export the parameters again"


def mode_names(count: int) -> tuple[str, ...]:
    """Names of FLAME's expressions as in our FLAME loader."""
    return tuple(f"expr{number}" for number in range(count))


def rows_of(value: NDArray, width: int | None, where: str) -> Floats:
    """Values [T,width] of an array that may have axes of length 1 before or between these; any width when None.

    Raises:
        HeadsplatError: another shape, or invalid numbers.
    """
    if value.size > MAX_VALUES:
        raise HeadsplatError(f"{where}: {value.size} values, which no take has; {_REMEDY}")
    with np.errstate(invalid="ignore"):  # a signaling NaN in a damaged file
        array = np.array(value, np.float64)  # a copy: SciPy's rotations refuse read-only arrays
    while array.ndim > 2 and array.shape[0] == 1:
        array = array[0]  # of a batch
    found = array.shape[-1] if array.ndim else 1
    is_table = array.size > 0 and all(size == 1 for size in array.shape[1:-1])
    if not is_table or found > MAX_MODES or width not in (None, found):
        expected = f"at most {MAX_MODES}" if width is None else str(width)
        raise HeadsplatError(f"{where}: expected [T,{expected}], found {list(array.shape)[:6]}; {_REMEDY}")
    flat = array.reshape(-1, found)
    if not (np.abs(flat) <= LARGEST).all():
        row = int(np.argmin((np.abs(flat) <= LARGEST).all(1)))
        raise HeadsplatError(f"{where}: row {row + 1}: an entry that is not a number or is too large; {_REMEDY}")
    return flat


def in_radians(
    where: str, parts: Mapping[str, Floats], part_of: Mapping[str, str], notes: list[str]
) -> dict[str, Floats]:
    """Axis-angle rotations in radians, from degrees where they exceed a turn; a note is appended where they are large.

    Args:
        where: start of error messages.
        parts: [T,3K] rotations among other arrays.
        part_of: name of a rotation in `parts` -> which of `rotation`, `neck_pose`, `jaw_pose`, `eyes_pose`.
        notes: notes are appended.

    Raises:
        HeadsplatError: some rotations have degrees, and others may have either unit.
    """
    sizes = {
        name: np.linalg.norm(parts[name].reshape(len(parts[name]), -1, 3), axis=2).max(1)
        for name in part_of
        if name in parts
    }
    turns = {name: size.max() for name, size in sizes.items()}
    if degrees := in_degrees(where, sizes, notes):
        notes.append(f"rotations reach {max(turns.values()):.3g}, more than a turn in radians: read as degrees")
        return {name: np.radians(part) if name in degrees else part for name, part in parts.items()}
    if far := [name for name, turn in turns.items() if _MOST[part_of[name]] < turn <= TURN]:
        notes.append(
            f"{far[0]} reaches {turns[far[0]]:.3g} radians, farther than it turns: if it has degrees, write radians"
        )
    return dict(parts)


def flame_motion(path: Path, time: Floats, parts: Mapping[str, Floats], version: str, notes: list[str]) -> MotionArrays:
    """Build a motion from FLAME parameters.

    Args:
        path: for error messages.
        time: [T] seconds.
        parts: `expr` [T,E], `rotation`, `neck_pose`, `jaw_pose`, `translation` [T,3] and `eyes_pose` [T,6], axis-angle
            and meters, left eye first; `eyelids` [T,2], left first. Missing parts are zero.
        version: the FLAME version to which the expressions are assumed to belong, for a note.
        notes: notes are appended.

    Returns:
        The motion in the space "flame".
    """
    expression = parts.get("expr", np.zeros((len(time), 0)))
    count, modes = expression.shape
    alone = all(name == "expr" or not np.ptp(part, axis=0).any() for name, part in parts.items())
    if alone and count in _USUAL_MODES and modes and modes not in (*_USUAL_MODES, _CAP4D_MODES):
        notes.append(f"{count} frames of {modes} expressions: if they are {modes} frames of {count}, transpose them")
    names = mode_names(modes)
    lids = parts.get("eyelids")
    if lids is not None:
        names = (*names, "eyelidLeft", "eyelidRight")
        expression = np.concatenate([expression, lids], 1)
    eyes = parts.get("eyes_pose", np.zeros((len(time), 6)))
    joints = {LEFT_EYE: eyes[:, :3], RIGHT_EYE: eyes[:, 3:]}
    joints |= {
        joint: parts[name]
        for joint, name in ((ROOT, "rotation"), (NECK, "neck_pose"), (JAW, "jaw_pose"))
        if name in parts
    }
    notes.append(
        f"the expressions are assumed to be of {version}: in another version the same numbers mean other faces"
    )
    used = np.flatnonzero(np.abs(np.concatenate(list(parts.values()), 1)).sum(1))
    if len(used) and (missing := len(time) - 1 - int(used[-1])) > 1:
        notes.append(f"the last {missing} of {len(time)} frames are all zero, as where a tracker was stopped")
    travel = float(np.ptp(parts["translation"], axis=0).max()) if "translation" in parts else 0.0
    if travel > _FAR:
        notes.append(f"the head travels {travel:.3g} m: if its position is in millimeters or centimeters, write meters")
    standard = ("expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation")
    if absent := [name for name in standard if name not in parts]:
        notes.append(f"the file has no {listed(absent)}: set to 0")
    return to_arrays(path, Rows(time, names, expression, joints, parts.get("translation")), FLAME, notes)


def note_ignored(keys: list[str], notes: list[str]) -> None:
    """Append a note on parts of the file that a motion does not contain: shape and offsets of the person."""
    if keys:
        notes.append(f"ignored, not part of a motion: {listed(keys)}")
