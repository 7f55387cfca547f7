"""Pairs of .npy files: FLAME expressions [T,E] and poses [T,15] (root, neck, jaw, eyes) or [T,6] (root, jaw).

EMOCA writes a folder for each face of each frame, named NUMBER_FACE, with exp.npy [E] and pose.npy [6].
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.npz import DamagedNpz, read_npy
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays

from .assemble import frame_times, numbered_times
from .flame import MAX_MODES, flame_motion, in_radians, rows_of

#: Joints of a pose by its width.
_PARTS = {15: ("rotation", "neck_pose", "jaw_pose", "eyes_pose"), 6: ("rotation", "jaw_pose")}
_WORD = r"(expressions?|exprs?|exps?|poses?)"
#: The word at the end of the name (take_expressions.npy) or, where there is none, at its start (exp_take.npy).
_LAST = re.compile(rf"(?:(.*)[_.\- ])?{_WORD}", re.I)
_FIRST = re.compile(rf"{_WORD}[_.\- ](.*)", re.I)
#: EMOCA's files, and its folder of a frame: the frame's number and that of the face in it.
_FRAME_FILES = ("exp.npy", "pose.npy")
_FRAME_FOLDER = re.compile(r"([0-9]{1,9})(?:_([0-9]{1,4}))?")
#: Coordinates of a vertex.
_XYZ = 3
_VERSION = "FLAME 2020, as most arrays of this kind"


def read_pair(path: Path, fps: float | None = None) -> MotionArrays:
    """Expressions and poses, given the path of either.

    Raises:
        HeadsplatError: the other file is missing or ambiguous, or the two do not match.
    """
    notes: list[str] = []
    expressions, poses = _pair(path)
    found = _array(expressions), _array(poses)
    notes.append(f"expressions from {expressions.name}, poses from {poses.name}")
    count = len(rows_of(found[0], None, str(expressions)))
    return _motion(path, (expressions, poses), found, frame_times(range(count), fps, notes), notes)


def _motion(
    path: Path, files: tuple[Path, Path], arrays: tuple[NDArray, NDArray], time: NDArray, notes: list[str]
) -> MotionArrays:
    """The motion of the expressions and poses of two files."""
    expressions, poses = files
    expr, rotations = (rows_of(array, None, str(file)) for array, file in zip(arrays, files, strict=True))
    parts = _PARTS.get(rotations.shape[1])
    if parts is None:
        raise HeadsplatError(
            f"{poses}: expected poses [T,15] (root, neck, jaw, eyes) or [T,6] (root, jaw) in axis-angle, found "
            f"{list(rotations.shape)}; export it again"
        )
    if len(expr) != len(rotations):
        raise HeadsplatError(
            f"{poses}: {len(rotations)} frames, {expressions.name} has {len(expr)}; give two files of one take"
        )
    joints = dict(zip(parts, np.split(rotations, range(3, min(rotations.shape[1], 12), 3), 1), strict=False))
    joints = in_radians(str(poses), joints, {name: name for name in joints}, notes)
    return flame_motion(path, time, {"expr": expr, **joints}, _VERSION, notes)


def frame_folders(folder: Path) -> dict[int, list[Path]]:
    """Folders of the faces that EMOCA wrote, by the numbers of their frames, in the order of its detections."""
    found: dict[int, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        name = _FRAME_FOLDER.fullmatch(path.name)
        if name and all((path / file).is_file() for file in _FRAME_FILES):
            found.setdefault(int(name[1]), []).append((int(name[2] or 0), path))
    return {number: [path for _, path in sorted(faces)] for number, faces in sorted(found.items())}


def read_frame_folders(folder: Path, frames: dict[int, list[Path]], fps: float | None = None) -> MotionArrays:
    """Read the folders of `frame_folders` at the times of their numbers.

    Raises:
        HeadsplatError: a file is damaged or does not match the others.
    """
    notes: list[str] = []
    tables = []
    for name in _FRAME_FILES:
        rows = []
        for path, *_ in frames.values():
            rows.append(rows_of(_array(path / name), None, str(path / name)))
            if rows[-1].shape != (1, rows[0].shape[1]):
                raise HeadsplatError(f"{path / name}: another shape than in the first frame; export it again")
        tables.append(np.concatenate(rows))
    if several := sum(len(faces) > 1 for faces in frames.values()):
        notes.append(f"{several} of {len(frames)} frames have several faces: the first detection of each is read")
    numbers = np.array(list(frames))
    files = folder / _FRAME_FILES[0], folder / _FRAME_FILES[1]
    time = numbered_times(numbers, fps, notes)
    return _motion(folder, files, (tables[0], tables[1]), time, notes)


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
        _check_vertices(path)
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


def _check_vertices(path: Path) -> None:
    """Raise HeadsplatError for an array of meshes, as speech models and 4D datasets write, or of Python objects."""
    try:
        shape = read_npy(path).shape
    except DamagedNpz as error:
        if "object" in str(error):
            raise _unreadable(path, error) from error
        return
    if shape[-1:] == (_XYZ,) and len(shape) > 1 and shape[-2] > MAX_MODES:
        count = shape[-2]
    elif shape and shape[-1] > MAX_MODES and shape[-1] % _XYZ == 0:
        count = shape[-1] // _XYZ
    else:
        return
    raise HeadsplatError(
        f"{path}: positions of {count} vertices, as VOCA, FaceFormer and others write, not expressions; fit FLAME to "
        "them and give its parameters"
    )


def _array(path: Path) -> NDArray:
    try:
        return read_npy(path)
    except DamagedNpz as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: DamagedNpz) -> HeadsplatError:
    remedy = "save its arrays with numpy.savez" if "object" in str(error) else "copy it again"
    return HeadsplatError(f"{path}: {str(error)[:120]}; {remedy}")
