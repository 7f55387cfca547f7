"""headsplat's .motion.npz: every field of a Motion in any expression space, no pickle.

Arrays `time` [T] float64 s, `weights` [T,E], `joint_rot` [T,J,3] axis-angle radians, `translation` [T,3] meters and,
where known, `confidence` [T], all float32; `header` is JSON in UTF-8 bytes: magic, version, axes, units, joints, space,
names, resting, notes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import atomic_path
from avatar.common.jsonable import shortened
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.types import JOINT_NAMES, Motion, Resting

from .text import LARGEST, MAX_VALUES, check_frames, check_resting

MAGIC = "headsplat-motion"
VERSION = 2
HEADER = "header"
AXES = "right-handed, x to the person's left, y up, the face looks along +z; a root at the identity faces the camera"
UNITS = {"time": "s", "joint_rot": "axis-angle, radians", "translation": "m"}
_REMEDY = "write it again"
#: The note in files of version 1 that stands for what version 2 has as `resting`: "zero".
_ZERO_NOTE = "made, not recorded: zero weights are the resting face"


def write_stored(path: Path, motion: Motion) -> list[str]:
    """Write a motion; the list of losses is empty."""
    header = {
        "magic": MAGIC,
        "version": VERSION,
        "axes": AXES,
        "units": UNITS,
        "joints": list(JOINT_NAMES),
        "space": motion.space,
        "names": list(motion.names),
        "resting": motion.resting,
        "notes": list(motion.notes),
    }
    arrays: dict[str, Any] = {"time": motion.time.double().numpy()}
    for name in ("weights", "joint_rot", "translation", "confidence"):
        if getattr(motion, name) is not None:
            arrays[name] = getattr(motion, name).float().numpy()
    encoded = np.frombuffer(json.dumps(header, ensure_ascii=False).encode("utf-8", "backslashreplace"), np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, header=encoded, **arrays)
    return []


def read_stored(path: Path, archive: Npz) -> MotionArrays:
    """Read a motion from a .motion.npz.

    Raises:
        HeadsplatError: damaged, or of a newer version; the message names file and array.
    """
    header = _header(path, archive)
    names = _texts(path, header, "names")
    if len(set(names)) < len(names):
        raise HeadsplatError(f"{path}: header: a name is there twice; {_REMEDY}")
    resting, notes = _resting(path, header)
    time = _array(path, archive, "time", (None,))
    frames = len(time)
    check_frames(frames, path)
    if not frames or not (np.diff(time) > 0).all():
        raise HeadsplatError(f"{path}: time: expected at least one frame and times that increase; {_REMEDY}")
    confidence = _array(path, archive, "confidence", (frames,)) if "confidence" in archive.names else None
    shapes = {"weights": (frames, len(names)), "joint_rot": (frames, len(JOINT_NAMES), 3), "translation": (frames, 3)}
    found = {name: _array(path, archive, name, shape).astype(np.float32) for name, shape in shapes.items()}
    return MotionArrays(
        time=time,
        names=names,
        space=_text(path, header, "space"),
        confidence=None if confidence is None else confidence.astype(np.float32),
        notes=notes,
        resting=resting,
        **found,
    )


def _header(path: Path, archive: Npz) -> dict[str, Any]:
    try:
        header = json.loads(archive.array(HEADER).astype(np.uint8).tobytes().decode("utf-8"))
    except (DamagedNpz, ValueError, RecursionError) as error:
        raise HeadsplatError(f"{path}: header: damaged ({str(error)[:80]}); {_REMEDY}") from error
    if not isinstance(header, dict) or header.get("magic") != MAGIC:
        raise HeadsplatError(f"{path}: header: not a motion of headsplat; give a file written as .motion.npz")
    version = header.get("version")
    if type(version) is not int or version < 1:
        raise HeadsplatError(f"{path}: header: no version; {_REMEDY}")
    if version > VERSION:
        raise HeadsplatError(
            f"{path}: version {shortened(version)}, this headsplat reads up to {VERSION}; update headsplat"
        )
    if header.get("joints") != list(JOINT_NAMES):
        raise HeadsplatError(f"{path}: header: joints other than {', '.join(JOINT_NAMES)}; {_REMEDY}")
    return header


def _resting(path: Path, header: dict[str, Any]) -> tuple[Resting, tuple[str, ...]]:
    """How the resting face is known, and the notes, without the one that says it in files of version 1."""
    notes = _texts(path, header, "notes")
    if header["version"] > 1:
        return check_resting(header.get("resting"), f"{path}: header"), notes
    kept = tuple(note for note in notes if note != _ZERO_NOTE)
    return "zero" if len(kept) < len(notes) else "find", kept


def _text(path: Path, header: dict[str, Any], key: str) -> str:
    if not isinstance(header.get(key), str) or not header[key]:
        raise HeadsplatError(f"{path}: header: {key} is not a text; {_REMEDY}")
    return str(header[key])


def _texts(path: Path, header: dict[str, Any], key: str) -> tuple[str, ...]:
    value = header.get(key)
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise HeadsplatError(f"{path}: header: {key} is not a list of texts; {_REMEDY}")
    return tuple(value)


def _array(path: Path, archive: Npz, name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """An array of finite numbers with the given shape; None is any length."""
    try:
        with np.errstate(invalid="ignore"):  # a signaling NaN in a damaged file
            array = archive.array(name)
            if array.size > MAX_VALUES:
                raise HeadsplatError(f"{path}: {name}: {array.size} values, which no take has; {_REMEDY}")
            array = array.astype(np.float64)
    except DamagedNpz as error:
        raise HeadsplatError(f"{path}: {name}: {str(error)[:120]}; {_REMEDY}") from error
    if array.ndim != len(shape) or any(
        size not in (None, found) for size, found in zip(shape, array.shape, strict=True)
    ):
        expected = ",".join("T" if size is None else str(size) for size in shape)
        raise HeadsplatError(f"{path}: {name}: expected [{expected}], found {list(array.shape)[:6]}; {_REMEDY}")
    if not (np.abs(array) <= LARGEST).all():
        raise HeadsplatError(f"{path}: {name}: a value that is not a number or is too large; {_REMEDY}")
    return array
