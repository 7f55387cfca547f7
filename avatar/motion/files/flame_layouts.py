"""Which tracker an .npz with FLAME parameters comes from, and its arrays as those of `flame_motion`.

- CAP4D (`fit.npz`, flowface/flame/flame.py): `rot` and `tra` place the posed head, turned about the origin, in a world
  of axes x right, y up, z backward; `extr` [C,4,4] maps the OpenCV world (y and z reversed) to each camera; one
  `eye_rot` for both eyes; `neck_rot` bends what is below the head; the last of 65 expressions is its own blink shape.
- flame-head-tracker 4 (tracker_base.py, utils/graphics_utils.py): `cam` is the pose of the camera in the world of the
  head, axis-angle and position; the camera looks along its -z.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.frame_rate import MAX_FPS
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_multiply, quat_to_rotvec, rotvec_to_quat

from .flame import ROOT_JOINT
from .names import listed
from .text import LARGEST

Floats = NDArray[np.floating]
Parts = dict[str, Floats]

#: VHAP's arrays and their widths: the names that `flame_motion` takes.
VHAP = {"expr": None, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
#: Names of the same parameters in files of other programs.
_OTHER_NAMES = {
    "expr": ("exp", "expression", "expressions", "expression_params", "expr_params", "exp_params", "expcode"),
    "rotation": (
        "rot", "pose", "poses", "head_pose", "global_pose", "global_orient", "global_rot", "root_pose", "posecode",
        "pose_params", "full_pose",
    ),
    "neck_pose": ("neck", "neck_rot", "neck_params"),
    "jaw_pose": ("jaw", "jaw_rot", "jaw_params", "jaw_rotation"),
    "eyes_pose": ("eyes", "eye_pose", "eye_rot", "eyes_rot", "leye_pose", "reye_pose", "eye_pose_params"),
    "translation": ("tra", "trans", "transl"),
}  # fmt: skip
_BLINK = 64
_FACING = np.diag([1.0, -1.0, -1.0])


def _unchanged(path: Path, archive: Npz, parts: Parts, notes: list[str]) -> Parts:
    return parts


@dataclass(frozen=True)
class FlameLayout:
    """The arrays of one tracker."""

    widths: Mapping[str, int | None]  # name in the file -> width of a row
    version: str  # of FLAME
    convert: Callable[[Path, Npz, Parts, list[str]], Parts] = _unchanged  # rows of the file -> those of `flame_motion`
    rate: Callable[[Path, Npz], float | None] = lambda path, archive: None  # frames per second stored in the file


def layout_of(path: Path, archive: Npz) -> FlameLayout | None:
    """The layout of an archive; None: not FLAME parameters.

    Raises:
        HeadsplatError: FLAME parameters of a tracker whose files are not read.
    """
    names = set(archive.names)
    if {"expr", "rot", "tra"} <= names:
        return _CAP4D
    if {"exp", "cam"} <= names and names & {"head_pose", "pose"} and _columns(archive, "cam") == 6:
        return _HEAD_TRACKER if "head_pose" in names else _HEAD_TRACKER_3
    found = [other for part, others in _OTHER_NAMES.items() if part not in names for other in others if other in names]
    known = "expr" in names or len(names & set(VHAP)) > 1
    if found and (known or names & set(_OTHER_NAMES["expr"])):
        raise HeadsplatError(
            f"{path}: seems to be of a tracker whose files are not read: it has {listed(found, 4)}; convert them "
            "to VHAP's expr [T,E], rotation, neck_pose, jaw_pose, translation [T,3] and eyes_pose [T,6] "
            "(axis-angle, meters)"
        )
    return _VHAP if known else None


def _columns(archive: Npz, name: str) -> int:
    try:
        return int(archive.array(name).shape[-1])
    except (DamagedNpz, IndexError):
        return 0


def _rotate(rotvec: Floats, vector: Floats) -> Floats:
    """Vectors [3] or [T,3] turned by axis-angle [T,3]."""
    quat = rotvec_to_quat(rotvec)
    pure = np.concatenate([np.zeros((len(quat), 1)), np.broadcast_to(vector, (len(quat), 3))], 1)
    found: Floats = quat_multiply(quat_multiply(quat, pure), quat * (1, -1, -1, -1))[:, 1:]
    return found


def _turned(first: Floats, second: Floats) -> Floats:
    """Axis-angle [T,3] of `first` after `second`."""
    found: Floats = quat_to_rotvec(quat_multiply(rotvec_to_quat(first), rotvec_to_quat(second)))
    return found


def _from_cap4d(path: Path, archive: Npz, parts: Parts, notes: list[str]) -> Parts:
    count = len(parts["rot"])
    view: Floats = np.eye(4)
    if "extr" in archive.names:
        view = _extrinsic(path, archive, notes)
    from scipy.spatial.transform import Rotation  # slow to import

    world = Rotation.from_matrix(_FACING @ view[:3, :3] @ _FACING)
    turn = np.broadcast_to(world.as_rotvec(), (count, 3))
    rotation = _turned(turn, parts["rot"])
    offset = world.apply(parts["tra"]) + _FACING @ view[:3, 3]
    found = {"rotation": rotation, "translation": offset - ROOT_JOINT + _rotate(rotation, ROOT_JOINT)}
    expr = parts["expr"]
    if expr.shape[1] == _BLINK + 1:
        notes.append(f"expression {_BLINK} is a blink shape of CAP4D's own: dropped")
        expr = expr[:, :_BLINK]
    found["expr"] = expr
    if "jaw_rot" in parts:
        found["jaw_pose"] = parts["jaw_rot"]
    if "eye_rot" in parts:
        found["eyes_pose"] = np.concatenate([parts["eye_rot"], parts["eye_rot"]], 1)
    return found


def _extrinsic(path: Path, archive: Npz, notes: list[str]) -> Floats:
    try:
        cameras = archive.array("extr").astype(np.float64)
    except (DamagedNpz, ValueError) as error:
        raise HeadsplatError(f"{path}: extr: {str(error)[:120]}; copy it again") from error
    if cameras.ndim == 2:
        cameras = cameras[None]
    fits = cameras.ndim == 3 and len(cameras) and cameras.shape[1:] == (4, 4) and (np.abs(cameras[0]) <= LARGEST).all()
    rotation = cameras[0, :3, :3] if fits else np.zeros((3, 3))
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise HeadsplatError(f"{path}: extr: not the poses of cameras; export it again")
    if len(cameras) > 1:
        notes.append(f"the head's pose is that seen by the first of {len(cameras)} cameras")
    return np.asarray(cameras[0])


def _cap4d_rate(path: Path, archive: Npz) -> float | None:
    """`fps` of the file, or of the camera's path that CAP4D writes beside it."""
    if "fps" not in archive.names:
        beside = path.parent / "cam_static.npz"
        if not beside.is_file():
            return None
        try:
            archive = Npz(beside)
        except DamagedNpz:
            return None
    try:
        value = archive.array("fps").astype(np.float64).reshape(-1)
    except (DamagedNpz, ValueError, KeyError):
        return None
    if len(value) != 1 or not 0 < value[0] <= MAX_FPS:
        raise HeadsplatError(f"{path}: fps: not a valid rate; export it again")
    return float(value[0])


def _from_head_tracker(path: Path, archive: Npz, parts: Parts, notes: list[str]) -> Parts:
    camera = parts["cam"]
    back = -camera[:, :3]
    notes.append("the camera moves around the head; converted to a moving head and a fixed camera")
    found = {
        "expr": parts["exp"],
        "rotation": _turned(back, parts["head_pose"]),
        "translation": _rotate(back, ROOT_JOINT - camera[:, 3:]) - ROOT_JOINT,
    }
    return found | {to: parts[name] for name, to in _SAME.items() if name in parts}


def _from_head_tracker_3(path: Path, archive: Npz, parts: Parts, notes: list[str]) -> Parts:
    notes.append(
        "flame-head-tracker before version 4: its camera angles are not read, the head turns only as `pose` says; "
        "track again with version 4 for the head's motion"
    )
    found = {"expr": parts["exp"], "rotation": parts["pose"][:, :3], "jaw_pose": parts["pose"][:, 3:]}
    return found | ({"eyes_pose": parts["eye_pose"]} if "eye_pose" in parts else {})


_SAME = {"neck_pose": "neck_pose", "jaw_pose": "jaw_pose", "eye_pose": "eyes_pose"}
_VHAP = FlameLayout(VHAP, "FLAME 2023, VHAP's default")
_CAP4D = FlameLayout(
    {"expr": None, "rot": 3, "tra": 3, "eye_rot": 3, "jaw_rot": 3},
    "FLAME 2023, which CAP4D uses",
    _from_cap4d,
    _cap4d_rate,
)
_HEAD_TRACKER = FlameLayout(
    {"exp": None, "head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "cam": 6},
    "FLAME 2020, which flame-head-tracker uses",
    _from_head_tracker,
)
_HEAD_TRACKER_3 = FlameLayout(
    {"exp": None, "pose": 6, "eye_pose": 6}, "FLAME 2020, which flame-head-tracker uses", _from_head_tracker_3
)
