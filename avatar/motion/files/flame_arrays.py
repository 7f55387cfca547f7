"""A pair of .npy files: FLAME expressions [T,E] and poses [T,15] (root, neck, jaw, left eye, right eye)."""

from __future__ import annotations

import re
from pathlib import Path

from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, read_npy
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .assemble import frame_times
from .flame import flame_motion, rows_of

_POSES = 15
_WORD = r"(expressions?|exprs?|exps?|poses?)"
#: The word at the end of the name (take_expressions.npy) or, where there is none, at its start (exp_take.npy).
_LAST = re.compile(rf"(?:(.*)[_.\- ])?{_WORD}", re.I)
_FIRST = re.compile(rf"{_WORD}[_.\- ](.*)", re.I)
_VERSION = "FLAME 2020, as most arrays of this kind"


def read_pair(path: Path, fps: float | None = None) -> MotionArrays:
    """Expressions and poses, given the path of either.

    Raises:
        HeadsplatError: the other file is missing or ambiguous, or the two do not match.
    """
    notes: list[str] = []
    expressions, poses = _pair(path)
    expr = rows_of(_array(expressions), None, str(expressions))
    rotations = rows_of(_array(poses), None, str(poses))
    if rotations.shape[1] != _POSES:
        raise HeadsplatError(
            f"{poses}: expected poses [T,15] in axis-angle, found {list(rotations.shape)}; export it again"
        )
    if len(expr) != len(rotations):
        raise HeadsplatError(
            f"{poses}: {len(rotations)} frames, {expressions.name} has {len(expr)}; give two files of one take"
        )
    notes.append(f"expressions from {expressions.name}, poses from {poses.name}")
    parts = {
        "expr": expr,
        "rotation": rotations[:, :3],
        "neck_pose": rotations[:, 3:6],
        "jaw_pose": rotations[:, 6:9],
        "eyes_pose": rotations[:, 9:],
    }
    return flame_motion(path, frame_times(range(len(expr)), fps, notes), parts, _VERSION, notes)


def pairs_in(folder: Path) -> list[Path]:
    """The path of the expressions of every pair in a folder."""
    found = {_split(path) for path in folder.glob("*.npy")}
    bases = {(base, place) for base, place, _ in found if place}
    whole = [key for key in bases if {kind for *have, kind in found if tuple(have) == key} == {"expressions", "poses"}]
    return sorted(path for path in folder.glob("*.npy") if _split(path)[:2] in whole and _split(path)[2] != "poses")


def _split(path: Path) -> tuple[str, str, str]:
    """The common part of a pair's names, the position of the distinguishing word, and which of the two it is."""
    if found := _LAST.fullmatch(path.stem):
        base = found[1] or ""
        word = found[2]
        place = "end"
    elif found := _FIRST.fullmatch(path.stem):
        word = found[1]
        base = found[2]
        place = "start"
    else:
        return path.stem, "", ""
    return base, place, "poses" if word.lower().startswith("pose") else "expressions"


def _pair(path: Path) -> tuple[Path, Path]:
    base, place, kind = _split(path)
    other = "poses" if kind == "expressions" else "expressions"
    if not place:
        raise HeadsplatError(
            f"{path}: its name does not show whether it contains expressions or poses; "
            "name the two NAME_expressions.npy and NAME_poses.npy"
        )
    partners = sorted(near for near in path.parent.glob("*.npy") if _split(near) == (base, place, other))
    if not partners:
        example = f"{base}_{other}.npy" if base else f"{other}.npy"
        raise HeadsplatError(f"{path}: its {other} are missing; put them into the same folder as {example}")
    if len(partners) > 1:
        names = ", ".join(near.name for near in partners[:4])
        raise HeadsplatError(f"{path}: several files could be its {other} ({names}); keep one in the folder")
    return (path, partners[0]) if kind == "expressions" else (partners[0], path)


def _array(path: Path) -> NDArray:
    try:
        return read_npy(path)
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: {str(error)[:120]}; copy it again") from error
