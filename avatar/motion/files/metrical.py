"""metrical-tracker's NNNNN.frame files: FLAME parameters with 6D rotations, and a camera that moves around the head."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.metrical_frame import RATE, load_frame

from .assemble import frame_times
from .flame import ROOT_JOINT, flame_motion, note_ignored, rows_of

Floats = NDArray[np.floating]

FOLDER = "checkpoint"
#: key -> our name, number of values in the file
_PARTS = {
    "exp": ("expr", None), "eyes": ("eyes_pose", 12), "jaw": ("jaw_pose", 6), "neck": ("neck_pose", 6),
    "eyelids": ("eyelids", 2),
}  # fmt: skip
_VERSION = "FLAME 2020, which metrical-tracker uses"
#: World -> OpenCV axes of a camera at the origin that looks along -z.
_FACING = np.diag([1.0, -1.0, -1.0])
_ROOT = ROOT_JOINT


def frames_of(folder: Path) -> list[tuple[int, Path]]:
    """Frame numbers and .frame files of a folder, in order; a file without a number gets its position."""
    files = sorted(folder.glob("*.frame"), key=lambda path: (_number(path, 0), path.name))
    return [(_number(path, position), path) for position, path in enumerate(files)]


def _number(path: Path, otherwise: int) -> int:
    found = re.fullmatch(r"[0-9]{1,12}", path.stem)
    return int(found[0]) if found else otherwise


def read_metrical(where: Path, files: list[tuple[int, Path]], fps: float | None = None) -> MotionArrays:
    """Read the head's motion relative to a fixed camera.

    Args:
        where: the folder or the single file, for messages.
        files: from `frames_of`.
        fps: frames per second of the frame numbers; 25 when None.

    Returns:
        The motion.

    Raises:
        HeadsplatError: a file that is damaged or does not match the others; the message names file and key.
    """
    notes: list[str] = []
    frames = []
    ignored = set()
    for _, path in files:
        content = load_frame(path)
        flame = content.get("flame")
        if not isinstance(flame, dict):
            raise HeadsplatError(f"{path}: no `flame` in it; run metrical-tracker again")
        ignored |= {str(key) for key in flame} - set(_PARTS)
        frames.append({**_flame(path, flame), **_pose(path, content.get("opencv"))})
        if {k: v.shape for k, v in frames[-1].items()} != {k: v.shape for k, v in frames[0].items()}:
            raise HeadsplatError(f"{path}: has other parameters than {files[0][1].name}; run metrical-tracker again")
    parts = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    if "rotation" in parts:
        notes.append("the camera moves around a fixed head; converted to a moving head and a fixed camera")
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
            parts[name] = _rotvecs(value, f"{path}: {key}") if name.endswith("_pose") else value
    return parts


def _pose(path: Path, camera: Any) -> dict[str, Floats]:
    """Rotation and translation of the head for a camera at the origin that looks along -z."""
    if not isinstance(camera, dict) or not all(key in camera for key in ("R", "t")):
        return {}
    rotation = rows_of(_array(camera["R"], f"{path}: R").reshape(1, -1), 9, f"{path}: R").reshape(3, 3)
    offset = rows_of(_array(camera["t"], f"{path}: t"), 3, f"{path}: t")
    if len(offset) != 1 or np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise HeadsplatError(f"{path}: R, t: not a camera pose; run metrical-tracker again")
    head_rotation = _FACING @ rotation
    translation = offset @ _FACING - _ROOT + head_rotation @ _ROOT
    return {"rotation": Rotation.from_matrix(head_rotation).as_rotvec()[None], "translation": translation}


def _array(value: Any, where: str) -> Floats:
    try:
        return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise HeadsplatError(f"{where}: not numbers; run metrical-tracker again") from error


def _rotvecs(rot6d: Floats, where: str) -> Floats:
    """Axis-angle [1,3K] of K rotations [1,6K] given by their first two rows (Zhou et al., CVPR 2019)."""
    first, second = rot6d.reshape(-1, 2, 3).transpose(1, 0, 2)
    x = first / np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    orthogonal = second - (x * second).sum(1, keepdims=True) * x
    length = np.linalg.norm(orthogonal, axis=1, keepdims=True)
    if (np.linalg.norm(first, axis=1) < 1e-6).any() or (length < 1e-6).any():
        raise HeadsplatError(f"{where}: not a rotation; run metrical-tracker again")
    y = orthogonal / length
    return Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], 1)).as_rotvec().reshape(1, -1)
