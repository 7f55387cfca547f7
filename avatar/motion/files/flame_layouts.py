"""Which tracker arrays of FLAME parameters come from, and their conversion to those of `flame_motion`.

VHAP's arrays need no conversion. What DECA, EMOCA, SMIRK and many others write differs in its names only (`_NAMES`):
an axis-angle `pose` of 3 values is the head's, of 6 those of head and jaw, of 15 those of FLAME's five joints.

- CAP4D (`fit.npz`, flowface/flame/flame.py): `rot` and `tra` place the posed head, turned about the origin, in a world
  of axes x right, y up, z backward; `extr` [C,4,4] maps the OpenCV world (y and z reversed) to each camera; one
  `eye_rot` for both eyes; `neck_rot` bends what is below the head; the last of 65 expressions is its own blink shape.
- NeRSemble benchmark (flame2023_tracking.npz, nersemble_benchmark/models/flame.py): `rotation_matrices`, `translation`
  and `scale` place the posed head, turned about the origin, in the world of the cameras.
- IMavatar (flame_params.json, preprocess/DECA/optimize.py; by their descriptions also PointAvatar, FLARE,
  SplattingAvatar, MonoGaussianAvatar): `world_mat` [3,4] maps the posed head, magnified four times, to a camera that
  looks along -z.
- BEAT2 / EMAGE and AMASS (SMPL-X): `poses` [T,165] of 55 joints.
- flame-head-tracker 4 (tracker_base.py, utils/graphics_utils.py): `cam` is the pose of the camera in the world of the
  head, axis-angle and position; the camera looks along its -z.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from avatar.common.frame_rate import MAX_FPS
from avatar.common.npz import DamagedNpz, Npz
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import mean_quat, quat_multiply, quat_to_rotvec, rotvec_to_quat

from .assemble import DEFAULT_FPS
from .flame import ROOT_JOINT, in_radians
from .names import listed
from .text import LARGEST

Floats = NDArray[np.floating]
Parts = dict[str, Floats]

#: VHAP's arrays and their widths: the names that `flame_motion` takes.
VHAP = {"expr": None, "rotation": 3, "neck_pose": 3, "jaw_pose": 3, "eyes_pose": 6, "translation": 3}
#: The eyes in files of SMPL-X's kind.
EYES = ("leye_pose", "reye_pose")
#: Names of the same parameters in files of other programs.
_NAMES = {
    "expr": ("exp", "expression", "expressions", "expression_params", "expr_params", "exp_params", "expcode"),
    "rotation": (
        "rot", "pose", "poses", "head_pose", "global_pose", "global_orient", "global_rot", "root_pose", "posecode",
        "pose_params", "full_pose",
    ),
    "neck_pose": ("neck", "neck_rot", "neck_params", "neck_pose_params"),
    "jaw_pose": ("jaw", "jaw_rot", "jaw_params", "jaw_rotation", "jaw_pose_params"),
    "eyes_pose": ("eyes", "eye_pose", "eye_rot", "eyes_rot", "eye_pose_params", "eyecode", *EYES),
    "translation": ("tra", "trans", "transl"),
    "eyelids": ("eyelid_params", "eyelid"),
}  # fmt: skip
#: Which rotation a name stands for.
ROTATIONS = {
    name: part for part in ("rotation", "neck_pose", "jaw_pose", "eyes_pose") for name in (part, *_NAMES[part])
}
#: The joints in a pose of so many values; a pose of 3 may be another joint's unless the jaw has its own.
_JOINTS = {
    3: ("rotation",),
    6: ("rotation", "jaw_pose"),
    15: ("rotation", "neck_pose", "jaw_pose", "eyes_pose"),
}
#: Arrays with the numbers of the frames: NHA's in the video; NeRSemble's, where the film has every third frame or so.
NUMBERS = ("frame", "frames")
#: Arrays with the frames per second, and with the time of each frame.
RATES = ("fps", "frame_rate", "framerate", "mocap_frame_rate", "mocap_framerate")
TIMES = ("time", "times", "timestamp", "timestamps")
#: Arrays with the pose of a camera in each frame: where a program moves the camera, the head's pose is in them.
_CAMERAS = ("transform_matrix", "world_mat", "world_mats", "w2c", "c2w", "extrinsics", "cam_pose", "R_rotation_matrix")
#: Arrays of other face models, and which those are.
_OTHER_MODELS = (
    ({"exp", "angle"}, "coefficients of the Basel Face Model, as Deep3DFaceRecon writes"),
    ({"coeff_3dmm"}, "coefficients of the Basel Face Model, as SadTalker writes"),
    ({"body_pose"}, "the pose of a body in parts"),
    ({"body_pose_axis"}, "the pose of a body in parts, as SHOW writes"),
)
_BLINK = 64
#: World -> OpenCV axes of a camera at the origin that looks along -z.
FACING = np.diag([1.0, -1.0, -1.0])
#: How much IMavatar magnifies the head.
_MAGNIFIED = 4.0
_SMPLX = 165
#: Joints of SMPL-X from the pelvis to the neck, and above it.
_SMPLX_TRUNK = (0, 3, 6, 9, 12)
_SMPLX_HEAD, _SMPLX_JAW, _SMPLX_EYES = 15, 22, 23


class Arrays(Protocol):
    """Arrays of a file, by name."""

    @property
    def names(self) -> Collection[str]:
        """Names of the arrays."""

    def array(self, name: str) -> NDArray:
        """An array of numbers; raises DamagedNpz where it is none."""


def stored_rate(path: Path, archive: Arrays) -> float | None:
    """Frames per second that a file has, once or in each frame.

    Raises:
        HeadsplatError: no valid rate.
    """
    name = next((name for name in RATES if name in archive.names), None)
    if name is None:
        return None
    try:
        value = np.unique(archive.array(name).astype(np.float64))
    except (DamagedNpz, ValueError, KeyError):
        return None
    if len(value) != 1 or not 0 < value[0] <= MAX_FPS:
        raise HeadsplatError(f"{path}: {name}: not a valid rate; export it again")
    return float(value[0])


def stored_times(archive: Arrays, frames: int) -> dict[str, NDArray] | None:
    """The name and the values [T] of an array with the time of each frame."""
    for name in TIMES:
        if name in archive.names:
            try:
                values = archive.array(name).astype(np.float64).reshape(-1)
            except (DamagedNpz, ValueError):
                continue
            if len(values) == frames and np.isfinite(values).all():
                return {name: values}
    return None


def _unchanged(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    return parts


@dataclass(frozen=True)
class FlameLayout:
    """The arrays of one tracker."""

    widths: Mapping[str, int | None]  # name in the file -> width of a row
    version: str  # of FLAME
    convert: Callable[[Path, Arrays, Parts, list[str]], Parts] = _unchanged  # rows of the file -> for `flame_motion`
    rate: Callable[[Path, Arrays], float | None] = stored_rate  # frames per second stored in the file
    assumed: float = DEFAULT_FPS  # frames per second where the file stores none
    used: Sequence[str] = ()  # further arrays that are not left out


def layout_of(path: Path, archive: Arrays) -> FlameLayout | None:
    """The layout of arrays; None: not FLAME parameters.

    Raises:
        HeadsplatError: FLAME parameters of a tracker whose files are not read.
    """
    names = set(archive.names)
    if {"expr", "rot", "tra"} <= names:
        return _CAP4D
    if {"exp", "cam"} <= names and names & {"head_pose", "pose"} and _columns(archive, "cam") == 6:
        return _HEAD_TRACKER if "head_pose" in names else _HEAD_TRACKER_3
    if {"expression", "rotation", "rotation_matrices", "scale"} <= names:
        return _NERSEMBLE
    if {"expression", "pose", "world_mat"} <= names:
        return _IMAVATAR
    if "poses" in names and _columns(archive, "poses") == _SMPLX:
        return _smplx(names)
    found = [other for part, others in _NAMES.items() if part not in names for other in others if other in names]
    known = "expr" in names or len(names & set(VHAP)) > 1
    if not (found and (known or names & set(_NAMES["expr"]))):
        return _VHAP if known else None
    for arrays, model in _OTHER_MODELS:
        if arrays <= names:
            raise HeadsplatError(f"{path}: {model}, not FLAME parameters; track the video with `headsplat capture`")
    if (layout := _by_names(archive)) is not None:
        return layout
    found += sorted(names & set(_CAMERAS))
    raise HeadsplatError(
        f"{path}: seems to be of a tracker whose files are not read: it has {listed(found, 4)}; convert them "
        "to VHAP's expr [T,E], rotation, neck_pose, jaw_pose, translation [T,3] and eyes_pose [T,6] "
        "(axis-angle, meters)"
    )


def _by_names(archive: Arrays) -> FlameLayout | None:
    """The layout of a file of DECA's kind; None where its names do not say with certainty what its arrays are."""
    names = set(archive.names)
    of = {part: [name for name in (part, *others) if name in names] for part, others in _NAMES.items()}
    apart = of["eyes_pose"] == list(EYES)
    if apart:
        of["eyes_pose"] = []
    one_eye = not apart and set(of["eyes_pose"]) & set(EYES)
    if (
        names & set(_CAMERAS)
        or one_eye
        or any(len(found) > 1 for found in of.values())
        or not (of["expr"] and of["rotation"])
    ):
        return None
    name_of = {part: found[0] for part, found in of.items() if found}
    pose = name_of.pop("rotation")
    width = _columns(archive, pose)
    joints = _JOINTS.get(width, ())
    given = {*name_of, *(("eyes_pose",) if apart else ())}
    certain = "jaw_pose" in given if width == 3 else not set(joints) & given
    if not joints or not certain:
        return None
    sizes = {**VHAP, "eyelids": 2}

    def convert(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
        found = {part: parts[name] for part, name in name_of.items()}
        ends = np.cumsum([sizes[joint] for joint in joints])[:-1]
        if apart:
            found["eyes_pose"] = np.concatenate([parts[name] for name in EYES], 1)
        return found | dict(zip(joints, np.split(parts[pose], ends, 1), strict=True))

    widths = {
        pose: width,
        **{name: sizes[part] for part, name in name_of.items()},
        **dict.fromkeys(EYES if apart else (), 3),
    }
    return FlameLayout(widths, "FLAME 2020, as in DECA, EMOCA and SMIRK", convert)


def frame_numbers(archive: Arrays, count: int) -> NDArray[np.int64] | None:
    """The numbers of the frames [count], increasing; None where they are not stored."""
    name = next((name for name in NUMBERS if name in archive.names), None)
    if name is None:
        return None
    try:
        numbers = archive.array(name).reshape(-1)
    except DamagedNpz:
        return None
    steps = np.diff(numbers) if len(numbers) == count and numbers.dtype.kind in "iu" else np.zeros(1)
    if not (steps > 0).all():
        return None
    every = np.gcd.reduce(steps.astype(np.int64)) if name == "frames" and count > 1 else 1
    return (numbers.astype(np.int64) - numbers[0]) // every


def _columns(archive: Arrays, name: str) -> int:
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


def about_root(rotation: Floats, offset: Floats) -> Parts:
    """The pose of a head that is turned about the origin [T,3] and then moved [T,3], as one turned about its root."""
    return {"rotation": rotation, "translation": offset - ROOT_JOINT + _rotate(rotation, ROOT_JOINT)}


def _from_mean(rotation: Floats, notes: list[str]) -> Floats:
    """The rotation [T,3] that takes the mean of `rotation` [T,3], in a world of unknown axes, to none."""
    notes.append("the head's pose is relative to its mean: which way the file's world faces is not known")
    mean = mean_quat(rotvec_to_quat(rotation))
    return np.broadcast_to(quat_to_rotvec(mean[None] * (1, -1, -1, -1)), rotation.shape)


def _from_cap4d(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    count = len(parts["rot"])
    view: Floats = np.eye(4)
    if "extr" in archive.names:
        view = _extrinsic(path, archive, notes)
    from scipy.spatial.transform import Rotation  # slow to import

    world = Rotation.from_matrix(FACING @ view[:3, :3] @ FACING)
    turn = np.broadcast_to(world.as_rotvec(), (count, 3))
    found = about_root(_turned(turn, parts["rot"]), world.apply(parts["tra"]) + FACING @ view[:3, 3])
    expr = parts["expr"]
    if expr.shape[1] == _BLINK + 1:
        notes.append(f"expression {_BLINK} is a blink shape of CAP4D's own: dropped, the lids do not follow it")
        expr = expr[:, :_BLINK]
    found["expr"] = expr
    if "jaw_rot" in parts:
        found["jaw_pose"] = parts["jaw_rot"]
    if "eye_rot" in parts:
        found["eyes_pose"] = np.concatenate([parts["eye_rot"], parts["eye_rot"]], 1)
    return found


def _extrinsic(path: Path, archive: Arrays, notes: list[str]) -> Floats:
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


def _cap4d_rate(path: Path, archive: Arrays) -> float | None:
    """`fps` of the file, or of the camera's path that CAP4D writes beside it."""
    beside = path.parent / "cam_static.npz"
    if "fps" not in archive.names and beside.is_file():
        try:
            archive = Npz(beside)
        except DamagedNpz:
            return None
    return stored_rate(path, archive)


def _from_nersemble(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    count = len(parts["rotation"])
    try:
        matrices = archive.array("rotation_matrices").astype(np.float64)
        scale = archive.array("scale").astype(np.float64).reshape(-1)
    except (DamagedNpz, ValueError) as error:
        raise HeadsplatError(f"{path}: rotation_matrices, scale: {str(error)[:120]}; copy it again") from error
    fits = matrices.shape == (count, 3, 3) and len(scale) == 1 and 1e-3 < scale[0] < 1e3
    rotations = matrices if fits and np.isfinite(matrices).all() else np.zeros((1, 3, 3))
    if np.abs(rotations @ rotations.transpose(0, 2, 1) - np.eye(3)).max() > 0.01 or np.linalg.det(rotations).min() < 0:
        raise HeadsplatError(f"{path}: rotation_matrices, scale: not the poses of a head; copy it again")
    from scipy.spatial.transform import Rotation  # slow to import

    found = about_root(Rotation.from_matrix(rotations).as_rotvec(), parts["translation"] / scale[0])
    back = _from_mean(found["rotation"], notes)
    found = {"rotation": _turned(back, found["rotation"]), "translation": _rotate(back, found["translation"])}
    return found | {to: parts[name] for name, to in _NERSEMBLE_NAMES.items() if name in parts}


def _from_imavatar(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    camera = parts["world_mat"].reshape(-1, 3, 4)
    turn = camera[:, :, :3]
    if np.abs(turn @ turn.transpose(0, 2, 1) - np.eye(3)).max() > 0.01 or np.linalg.det(turn).min() < 0:
        raise HeadsplatError(f"{path}: world_mat: not the poses of a camera; export it again")
    from scipy.spatial.transform import Rotation  # slow to import

    world = Rotation.from_matrix(turn)
    pose = parts["pose"]
    return {
        "expr": parts["expression"],
        "rotation": _turned(world.as_rotvec(), pose[:, :3]),
        "neck_pose": pose[:, 3:6],
        "jaw_pose": pose[:, 6:9],
        "eyes_pose": pose[:, 9:],
        "translation": camera[:, :, 3] / _MAGNIFIED + world.apply(ROOT_JOINT) - ROOT_JOINT,
    }


def _smplx(names: Collection[str]) -> FlameLayout:
    """The layout of a file with SMPL-X's poses."""
    given = [name for name in ("expressions", "expression") if name in names]
    return FlameLayout({"poses": _SMPLX, **dict.fromkeys(given)}, "SMPL-X (FLAME 2020's)", _from_smplx)


def _from_smplx(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    poses = parts.pop("poses").reshape(-1, _SMPLX // 3, 3)
    trunk = poses[:, _SMPLX_TRUNK[0]]
    for joint in _SMPLX_TRUNK[1:]:
        trunk = _turned(trunk, poses[:, joint])
    back = _from_mean(_turned(trunk, poses[:, _SMPLX_HEAD]), notes)
    notes.append("of the body only the rotation of the head is read: its position and the other joints are left out")
    return {
        **dict(zip(("expr",), parts.values(), strict=False)),
        "rotation": _turned(back, trunk),
        "neck_pose": poses[:, _SMPLX_HEAD],
        "jaw_pose": poses[:, _SMPLX_JAW],
        "eyes_pose": poses[:, _SMPLX_EYES : _SMPLX_EYES + 2].reshape(-1, 6),
    }


def _from_head_tracker(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
    camera = parts["cam"]
    turn = in_radians(str(path), {"cam": camera[:, :3]}, {"cam": "rotation"}, notes)["cam"]
    back = -turn
    notes.append("the camera moves around the head; converted to a moving head and a fixed camera")
    found = {
        "expr": parts["exp"],
        "rotation": _turned(back, parts["head_pose"]),
        "translation": _rotate(back, ROOT_JOINT - camera[:, 3:]) - ROOT_JOINT,
    }
    return found | {to: parts[name] for name, to in _SAME.items() if name in parts}


def _from_head_tracker_3(path: Path, archive: Arrays, parts: Parts, notes: list[str]) -> Parts:
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
    used=("extr",),
)
_NERSEMBLE_NAMES = {"expression": "expr", "neck": "neck_pose", "jaw": "jaw_pose", "eyes": "eyes_pose"}
_NERSEMBLE = FlameLayout(
    {"expression": None, "rotation": 3, "translation": 3, "neck": 3, "jaw": 3, "eyes": 6},
    "FLAME 2023, which the NeRSemble benchmark uses",
    _from_nersemble,
    used=("rotation_matrices", "scale"),
)
_IMAVATAR = FlameLayout(
    {"expression": None, "pose": 15, "world_mat": 12},
    "FLAME 2020, which IMavatar uses",
    _from_imavatar,
    assumed=25.0,
)
_HEAD_TRACKER = FlameLayout(
    {"exp": None, "head_pose": 3, "neck_pose": 3, "jaw_pose": 3, "eye_pose": 6, "cam": 6},
    "FLAME 2020, which flame-head-tracker uses",
    _from_head_tracker,
)
_HEAD_TRACKER_3 = FlameLayout(
    {"exp": None, "pose": 6, "eye_pose": 6}, "FLAME 2020, which flame-head-tracker uses", _from_head_tracker_3
)
