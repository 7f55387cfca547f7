"""What the readers of FLAME parameters share: names, joints and the sentences about what is not read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import HeadsplatError
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion

from .assemble import Rows, to_motion
from .names import FLAME, listed
from .text import LARGEST

Floats = NDArray[np.floating]

#: FLAME's own expressions number 100; no release has more than this.
MOST_MODES = 400
_AGAIN = "export the parameters again"


def mode_names(count: int) -> tuple[str, ...]:
    """FLAME's expressions as our loader of FLAME heads names them."""
    return tuple(f"expr{number}" for number in range(count))


def rows_of(value: NDArray, width: int | None, where: str) -> Floats:
    """Numbers [T,width] of an array with or without axes of length 1 in the middle; any width when None.

    Raises:
        HeadsplatError: another shape, or entries that are no numbers.
    """
    with np.errstate(invalid="ignore"):  # a signalling NaN of a damaged file
        array = np.asarray(value, np.float64)
    found = array.shape[-1] if array.ndim else 1
    plain = array.size > 0 and all(size == 1 for size in array.shape[1:-1])
    if not plain or found > MOST_MODES or width not in (None, found):
        wanted = f"at most {MOST_MODES}" if width is None else str(width)
        raise HeadsplatError(f"{where}: expected [T,{wanted}], found {list(array.shape)[:6]}; {_AGAIN}")
    flat = array.reshape(-1, found)
    if not (np.abs(flat) <= LARGEST).all():
        raise HeadsplatError(f"{where}: an entry that is no number or far too large; {_AGAIN}")
    return flat


def flame_motion(path: Path, time: Floats, parts: Mapping[str, Floats], version: str, notes: list[str]) -> Motion:
    """A motion of FLAME parameters.

    Args:
        path: for the sentences.
        time: [T] seconds.
        parts: `expr` [T,E], `rotation`, `neck_pose`, `jaw_pose`, `translation` [T,3] and `eyes_pose` [T,6], axis-angle
            and meters, left eye first; `eyelids` [T,2], left first. What is missing is zero.
        version: which FLAME the expressions are assumed to be of.
        notes: grows.
    """
    expression = parts.get("expr", np.zeros((len(time), 0)))
    names, lids = mode_names(expression.shape[1]), parts.get("eyelids")
    if lids is not None:
        names, expression = (*names, "eyelidLeft", "eyelidRight"), np.concatenate([expression, lids], 1)
    eyes = parts.get("eyes_pose", np.zeros((len(time), 6)))
    joints = {LEFT_EYE: eyes[:, :3], RIGHT_EYE: eyes[:, 3:]}
    joints |= {
        joint: parts[name]
        for joint, name in ((ROOT, "rotation"), (NECK, "neck_pose"), (JAW, "jaw_pose"))
        if name in parts
    }
    notes.append(f"the expressions are taken as those of {version}: another FLAME's numbers mean other faces")
    usual = ("expr", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "translation")
    if absent := [name for name in usual if name not in parts]:
        notes.append(f"the file has no {listed(absent)}: taken as 0")
    return to_motion(path, Rows(time, names, expression, joints, parts.get("translation")), FLAME, notes)


def note_ignored(keys: list[str], notes: list[str]) -> None:
    """Say which parts of a file no motion has: shape and offsets are the person's, who is another."""
    if keys:
        notes.append(f"left out, since the shape of a person is none of a motion's: {listed(keys)}")
