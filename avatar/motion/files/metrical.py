"""NNNNN.frame files of metrical-tracker and Pixel3DMM: FLAME parameters with 6D rotations, and the head's pose.

metrical-tracker moves a camera around the head (`opencv`); Pixel3DMM (tracking/tracker.py) turns and moves the posed
head about the origin (`flame.R`, `flame.t`) before a camera that looks along -z (`camera.R_base_0`, `t_base_0`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.errors import HeadsplatError
from avatar.motion.arrays import MotionArrays
from avatar.motion.files.metrical_frame import RATE, is_pixel3dmm, load_frame

from .assemble import DEFAULT_FPS, numbered_times
from .flame import ROOT_JOINT, flame_motion, note_ignored, rows_of
from .flame_layouts import FACING, about_root

Floats = NDArray[np.floating]

FOLDER = "checkpoint"
#: key -> our name, number of values in the file
_PARTS = {
    "exp": ("expr", None), "eyes": ("eyes_pose", 12), "jaw": ("jaw_pose", 6), "neck": ("neck_pose", 6),
    "eyelids": ("eyelids", 2),
}  # fmt: skip
#: Where Pixel3DMM has the head's pose.
_HEAD = ("R", "t")
_VERSION = "FLAME 2020, which metrical-tracker and Pixel3DMM use"


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
        turned = is_pixel3dmm(content)
        ignored |= {str(key) for key in flame} - {*_PARTS, *((*_HEAD, "R_rotation_matrix") if turned else ())}
        pose = _head_pose(path, content) if turned else _pose(path, content.get("opencv"))
        frames.append({**_flame(path, flame), **pose})
        if {k: v.shape for k, v in frames[-1].items()} != {k: v.shape for k, v in frames[0].items()}:
            raise HeadsplatError(f"{path}: has other parameters than {files[0][1].name}; run metrical-tracker again")
    parts = {name: np.concatenate([frame[name] for frame in frames]) for name in frames[0]}
    if "rotation" in parts and not turned:
        notes.append("the camera moves around a fixed head; converted to a moving head and a fixed camera")
    note_ignored(sorted(ignored), notes)
    numbers = np.array([number for number, _ in files])
    rate = DEFAULT_FPS if turned else RATE
    return flame_motion(where, numbered_times(numbers, fps, notes, rate), parts, _VERSION, notes)


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
    head_rotation = FACING @ rotation
    translation = offset @ FACING - ROOT_JOINT + head_rotation @ ROOT_JOINT
    return {"rotation": Rotation.from_matrix(head_rotation).as_rotvec()[None], "translation": translation}


def _head_pose(path: Path, content: dict[str, Any]) -> dict[str, Floats]:
    """Rotation and translation of Pixel3DMM's head before its camera."""
    camera = content.get("camera")
    camera = camera if isinstance(camera, dict) else {}
    turn: Floats = np.eye(3)
    offset: Floats = np.zeros(3)
    first = min((str(key) for key in camera if str(key).startswith("R_base_")), default=None)
    if first is not None:
        turn = _array(camera[first], f"{path}: {first}").reshape(-1)
        offset = _array(camera.get(first.replace("R", "t", 1)), f"{path}: t_base").reshape(-1)
        fits = turn.shape == (9,) and offset.shape == (3,) and np.isfinite([*turn, *offset]).all()
        turn = turn.reshape(3, 3) if fits else np.zeros((3, 3))
        if np.abs(turn @ turn.T - np.eye(3)).max() > 0.01 or np.linalg.det(turn) < 0:
            raise HeadsplatError(f"{path}: {first}: not a camera pose; run Pixel3DMM again")
    rotation, moved = (
        rows_of(_array(content["flame"][key], f"{path}: {key}"), width, f"{path}: {key}")
        for key, width in zip(_HEAD, (6, 3), strict=True)
    )
    if len(rotation) != 1 or len(moved) != 1:
        raise HeadsplatError(f"{path}: R, t: expected one frame, found {len(rotation)}; copy the file again")
    head = Rotation.from_matrix(turn) * Rotation.from_rotvec(_rotvecs(rotation, f"{path}: R"))
    return about_root(head.as_rotvec(), moved @ turn.T + offset)


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
