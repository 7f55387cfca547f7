"""metrical-tracker's NNNNN.frame files: FLAME parameters with 6D rotations, and a camera that moves about the head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion.files.metrical_frame import RATE, load_frame
from avatar.types import Motion

from .assemble import frame_times
from .flame import flame_motion, note_ignored, rows_of

Floats = NDArray[np.floating]

FOLDER = "checkpoint"
#: key -> our name, numbers in the file
_PARTS = {
    "exp": ("expr", None), "eyes": ("eyes_pose", 12), "jaw": ("jaw_pose", 6), "neck": ("neck_pose", 6),
    "eyelids": ("eyelids", 2),
}  # fmt: skip
_VERSION = "FLAME 2020, which metrical-tracker uses"
#: World to OpenCV axes of a camera at the origin that looks along -z.
_FACING = np.diag([1.0, -1.0, -1.0])
#: Where FLAME's root joint lies in the mean head, meters: the file turns the head about the origin, a motion about it.
_ROOT = np.array([-0.0016, -0.1460, -0.0824])


def frames_of(folder: Path) -> list[tuple[int, Path]]:
    """Frame numbers and .frame files of a folder, in order; files without a number count on."""
    files = sorted(folder.glob("*.frame"), key=lambda path: (_number(path, 0), path.name))
    return [(_number(path, place), path) for place, path in enumerate(files)]


def _number(path: Path, otherwise: int) -> int:
    found = re.fullmatch(r"[0-9]{1,12}", path.stem)
    return int(found[0]) if found else otherwise


def read_metrical(where: Path, files: list[tuple[int, Path]], fps: float | None = None) -> Motion:
    """The head's motion as a resting camera saw it.

    Args:
        where: the folder, or the file when it is one.
        files: of `frames_of`.
        fps: frames a second of the numbers; 25 when None.

    Raises:
        HeadsplatError: a file that is damaged or does not fit the others; the sentence names file and key.
    """
    notes: list[str] = []
    frames, ignored = [], set()
    for _, path in files:
        content = load_frame(path)
        flame = content.get("flame")
        if not isinstance(flame, dict):
            raise HeadsplatError(f"{path}: no `flame` in it; run metrical-tracker again")
        ignored |= {str(key) for key in flame} - set(_PARTS)
        frames.append({**_flame(path, flame), **_pose(path, content.get("opencv"))})
        if {k: v.shape for k, v in frames[-1].items()} != {k: v.shape for k, v in frames[0].items()}:
            raise HeadsplatError(f"{path}: holds other parameters than {files[0][1].name}; run metrical-tracker again")
    parts = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    if "rotation" in parts:
        notes.append("the camera moves about a resting head; read as a moving head and one resting camera")
    note_ignored(sorted(ignored), notes)
    numbers = np.array([number for number, _ in files])
    return flame_motion(where, frame_times(numbers - numbers[0], fps, notes, RATE), parts, _VERSION, notes)


def _flame(path: Path, flame: dict[str, Any]) -> dict[str, Floats]:
    parts = {}
    for key, (name, width) in _PARTS.items():
        if key in flame:
            value = rows_of(_array(flame[key], f"{path}: {key}"), width, f"{path}: {key}")
            if len(value) != 1:
                raise HeadsplatError(f"{path}: {key}: expected one frame, found {len(value)}; copy the file again")
            parts[name] = _turns(value, f"{path}: {key}") if name.endswith("_pose") else value
    return parts


def _pose(path: Path, camera: Any) -> dict[str, Floats]:
    """Rotation and translation of the head before a camera at the origin that looks along -z."""
    if not isinstance(camera, dict) or not all(key in camera for key in ("R", "t")):
        return {}
    rotation = rows_of(_array(camera["R"], f"{path}: R").reshape(1, -1), 9, f"{path}: R").reshape(3, 3)
    offset = rows_of(_array(camera["t"], f"{path}: t"), 3, f"{path}: t")
    if len(offset) != 1 or np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise HeadsplatError(f"{path}: R, t: no place of a camera; run metrical-tracker again")
    turn = _FACING @ rotation
    place = offset @ _FACING - _ROOT + turn @ _ROOT
    return {"rotation": Rotation.from_matrix(turn).as_rotvec()[None], "translation": place}


def _array(value: Any, where: str) -> Floats:
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise HeadsplatError(f"{where}: not numbers; run metrical-tracker again") from error


def _turns(sixes: Floats, where: str) -> Floats:
    """Axis-angle [1,3K] of K rotations [1,6K] of which each gives its first two rows (Zhou et al., CVPR 2019)."""
    first, second = sixes.reshape(-1, 2, 3).transpose(1, 0, 2)
    x = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    across = second - (x * second).sum(1, keepdims=True) * x
    length = np.linalg.norm(across, axis=1, keepdims=True)
    if (np.linalg.norm(first, axis=1) < 1e-6).any() or (length < 1e-6).any():
        raise HeadsplatError(f"{where}: no rotation; run metrical-tracker again")
    y = across / length
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], 1)).as_rotvec().reshape(1, -1)
