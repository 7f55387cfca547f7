"""FLAME parameters as trackers write them, and their variations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.motion.files.flame import ROOT_JOINT
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT
from tests.system.trust.attack.foreign.truth import Floats, Truth, waves

#: Programs whose files are read, and changes for which they may be refused.
READ = (
    "VHAP", "VHAP stacked", "GaussianAvatars", "CAP4D", "flame-head-tracker 4", "flame-head-tracker 3",
    "metrical-tracker", "pair", "pair exp pose",
)  # fmt: skip
REFUSABLE = frozenset(
    (
        "degrees", "millimeters", "quaternions", "matrices", "rows of matrices", "an axis before", "transposed",
        "capital names", "names of a dictionary", "one dictionary", "without expressions",
    )
)  # fmt: skip
Random = np.random.Generator
Arrays = dict[str, Any]
_FRAMES = 45
#: Axes of a camera that looks along -z, y up <-> OpenCV's.
_FACING = np.diag([1.0, -1.0, -1.0])
_NO_TIMES = "the file has no times: 30 fps, assumed"
_AT_ZERO = r"the file has no .*{}.*: set to 0"


@dataclass
class Take:
    """What a program writes: arrays of all frames, and those that do not change."""

    form: str  # "folder" of .npz, "stacked" .npz, "frames" of metrical-tracker, "pair" of .npy
    truth: Truth
    arrays: Arrays  # [T,...]
    fixed: Arrays = field(default_factory=dict)
    name: str = "flame_param"  # of the folder, or of the file without suffix
    numbers: list[int] = field(default_factory=lambda: list(range(_FRAMES)))
    digits: int = 5

    def write(self, folder: Path) -> Path:
        """Write it; returns what a user gives to a command."""
        if self.form == "stacked":
            np.savez(folder / f"{self.name}.npz", **self.fixed, **self.arrays)
            return folder / f"{self.name}.npz"
        if self.form == "pair":
            for name, array in self.arrays.items():
                np.save(folder / f"{name}.npy", array)
            return folder / f"{next(iter(self.arrays))}.npy"
        place = folder / self.name
        place.mkdir()
        for row, number in enumerate(self.numbers):
            frame = {**self.fixed, **{name: array[row : row + 1] for name, array in self.arrays.items()}}
            if self.form == "folder":
                np.savez(place / f"{number:0{self.digits}d}.npz", **frame)
            else:
                _save_frame(place / f"{number:05d}.frame", frame)
        return place


def _save_frame(path: Path, frame: Arrays) -> None:
    import torch

    camera = {key: frame.pop(key) for key in ("R", "t", "K") if key in frame}
    torch.save({"flame": frame, "opencv": camera, "frame_id": int(path.stem)}, path)


def flame_truth(random: Random) -> Truth:
    """A face with 50 expressions; the head turns by up to 20 degrees and moves by some centimeters."""
    time = np.arange(_FRAMES) / 30
    moves = waves(random, 70, time)
    turns = 0.15 * moves[:, 50:65].reshape(-1, 5, 3)
    turns[:, 0] *= 2.3
    turns[:, 2] = 0.3 * (0.5 + 0.5 * moves[:, 56:59]) * [1, 0, 0]
    joints = dict(zip((ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE), turns.transpose(1, 0, 2), strict=True))
    place = 0.05 * moves[:, 65:68] + [0, 0, -1.0]
    return Truth(time, {f"expr{number}": 1.5 * moves[:, number] for number in range(50)}, joints, place)


# -- Programs ------------------------------------------------------------------------------------------------------


def _expr(truth: Truth, width: int = 50) -> Floats:
    return np.stack([truth.weights[f"expr{number}"] for number in range(width)], 1)


def _vhap(truth: Truth) -> Arrays:
    assert truth.place is not None
    turns = truth.joints
    return {
        "expr": _expr(truth), "rotation": turns[ROOT], "neck_pose": turns[NECK], "jaw_pose": turns[JAW],
        "eyes_pose": np.concatenate([turns[LEFT_EYE], turns[RIGHT_EYE]], 1), "translation": truth.place,
    }  # fmt: skip


def _vhap_take(form: str, **fixed: Any) -> Callable[[Random], Take]:
    def make(random: Random) -> Take:
        truth = flame_truth(random)
        shape = {"shape": random.normal(size=300), "static_offset": np.zeros((1, 40, 3))}
        return Take(form, truth, _vhap(truth), {**shape, **fixed})

    return make


def _cap4d(random: Random) -> Take:
    truth = flame_truth(random)
    truth.time = np.arange(_FRAMES) / 24
    truth.joints.pop(NECK)
    truth.joints[RIGHT_EYE] = truth.joints[LEFT_EYE]
    view = np.eye(4)
    view[:3, :3] = Rotation.from_rotvec(random.normal(0, 0.2, 3)).as_matrix()
    view[:3, 3] = random.normal(0, 0.3, 3)
    assert truth.place is not None
    world = Rotation.from_matrix(_FACING @ view[:3, :3] @ _FACING)
    turn = world.inv() * Rotation.from_rotvec(truth.joints[ROOT])
    placed = (truth.place @ _FACING - view[:3, 3]) @ view[:3, :3] @ _FACING
    arrays = {
        "expr": np.concatenate([_expr(truth), np.zeros((_FRAMES, 15))], 1), "rot": turn.as_rotvec(),
        "tra": placed - turn.apply(ROOT_JOINT), "eye_rot": truth.joints[LEFT_EYE], "jaw_rot": truth.joints[JAW],
    }  # fmt: skip
    fixed = {"shape": np.zeros(150), "extr": view[None], "fx": np.full((1, 1), 800.0), "fps": np.array(24)}
    return Take("stacked", truth, arrays, fixed, "fit")


def _head_tracker(version: int) -> Callable[[Random], Take]:
    def make(random: Random) -> Take:
        truth = flame_truth(random)
        assert truth.place is not None
        turn = Rotation.from_rotvec(truth.joints[ROOT])
        eyes = np.concatenate([truth.joints[LEFT_EYE], truth.joints[RIGHT_EYE]], 1)
        own = Rotation.from_rotvec(np.tile(random.normal(0, 0.05, 3), (_FRAMES, 1)))
        view = own * turn.inv()
        camera = np.concatenate([view.as_rotvec(), ROOT_JOINT - view.apply(truth.place)], 1)
        arrays: Arrays = {"exp": _expr(truth), "eye_pose": eyes, "cam": camera}
        if version == 4:
            arrays |= {"head_pose": own.as_rotvec(), "neck_pose": truth.joints[NECK], "jaw_pose": truth.joints[JAW]}
        else:
            truth.joints.pop(NECK)
            arrays["pose"] = np.concatenate([own.as_rotvec(), truth.joints[JAW]], 1)
            truth.admit({"head": "its camera angles are not read", "place": "its camera angles are not read"})
        return Take("folder", truth, arrays, {"shape": np.zeros((1, 300)), "fov": np.array([20.0])}, "track", digits=1)

    return make


def _metrical(random: Random) -> Take:
    truth = flame_truth(random)
    assert truth.place is not None
    truth.time = np.arange(_FRAMES) / 25
    turn = _FACING @ Rotation.from_rotvec(truth.joints[ROOT]).as_matrix()
    arrays = {
        "exp": _expr(truth), "R": turn, "t": truth.place @ _FACING - turn @ ROOT_JOINT, "jaw": _six(truth.joints[JAW]),
        "neck": _six(truth.joints[NECK]),
        "eyes": np.concatenate([_six(truth.joints[LEFT_EYE]), _six(truth.joints[RIGHT_EYE])], 1),
    }  # fmt: skip
    return Take("frames", truth, arrays, {"shape": np.zeros((1, 300)), "K": np.eye(3)[None]}, "checkpoint")


def _six(turn: Floats) -> Floats:
    return Rotation.from_rotvec(turn).as_matrix()[:, :2].reshape(-1, 6)


def _pair(names: tuple[str, str]) -> Callable[[Random], Take]:
    def make(random: Random) -> Take:
        truth = flame_truth(random)
        truth.place = None
        poses = np.concatenate([truth.joints[joint] for joint in (ROOT, NECK, JAW, LEFT_EYE, RIGHT_EYE)], 1)
        return Take("pair", truth, {names[0]: _expr(truth), names[1]: poses})

    return make


def _renamed(form: str, names: dict[str, str], more: dict[str, int], **poses: list[int]) -> Callable[[Random], Take]:
    """A program with names of its own.

    Args:
        form: of the take.
        names: of VHAP's arrays that it writes.
        more: widths of further arrays, which are random.
        poses: arrays that are the axis-angles of several joints; -1 is a joint that does not move.
    """

    def make(random: Random) -> Take:
        truth = flame_truth(random)
        arrays = {names[name]: array for name, array in _vhap(truth).items() if name in names}
        still = np.zeros((_FRAMES, 3))
        for joints in poses.values():
            if -1 in joints:  # the whole body: a joint that is not in it does not move
                truth.joints = {joint: turn if joint in joints else still for joint, turn in truth.joints.items()}
        turns = {**truth.joints, -1: still}
        arrays |= {name: np.concatenate([turns[joint] for joint in joints], 1) for name, joints in poses.items()}
        arrays |= {name: random.normal(0, 0.2, (_FRAMES, width)) for name, width in more.items()}
        truth.admit(dict.fromkeys(("head", "place"), "relative to its mean"))
        return Take(form, truth, arrays, {"shape": np.zeros(100)})

    return make


_BODY = [ROOT] + [-1] * 21 + [JAW, LEFT_EYE, RIGHT_EYE] + [-1] * 30  # of SMPL-X
_SHORT = {"jaw_pose": "jaw", "neck_pose": "neck", "eyes_pose": "eyes"}
_SAME = {name: name for name in ("rotation", "translation")}
PROGRAMS: dict[str, Callable[[Random], Take]] = {
    "VHAP": _vhap_take("folder", dynamic_offset=np.zeros((1, 40, 3))),
    "VHAP stacked": _vhap_take("stacked", n_processed_frames=np.array(_FRAMES), focal_length=np.array([1.5])),
    "GaussianAvatars": _vhap_take("folder"),
    "CAP4D": _cap4d,
    "flame-head-tracker 4": _head_tracker(4),
    "flame-head-tracker 3": _head_tracker(3),
    "metrical-tracker": _metrical,
    "pair": _pair(("take_expressions", "take_poses")),
    "pair exp pose": _pair(("exp_take", "pose_take")),
    "DECA": _renamed("stacked", {"expr": "exp"}, {"cam": 3, "tex": 50, "light": 27}, pose=[ROOT, JAW]),
    "EMOCA": _renamed("folder", {"expr": "expcode"}, {"cam": 3, "detailcode": 128}, posecode=[ROOT, JAW]),
    "SMIRK": _renamed(
        "stacked",
        {"expr": "expression_params", "jaw_pose": "jaw_params", "rotation": "pose_params"},
        {"cam": 3, "eyelid_params": 2},
    ),
    "MICA": _renamed("stacked", {}, {"identity": 300}),
    "NeRSemble": _renamed("stacked", {"expr": "expression", **_SAME, **_SHORT}, {"frames": 1}),
    "Neural Head Avatars": _renamed("stacked", {"expr": "expr", **_SAME, **_SHORT}, {}),
    "SMPL-X": _renamed(
        "stacked",
        {"expr": "expression", "jaw_pose": "jaw_pose", "rotation": "global_orient", "translation": "transl"},
        {"body_pose": 63},
    ),
    "BEAT2": _renamed("stacked", {"expr": "expressions", "translation": "trans"}, {}, poses=_BODY),
    "GAGAvatar": _renamed("stacked", {"expr": "expcode"}, {"eyecode": 6, "transform_matrix": 12}, posecode=[ROOT, JAW]),
    "DiffPoseTalk": _renamed("stacked", {"expr": "exp"}, {}, pose=[ROOT, JAW]),
    "names with head": _renamed(
        "stacked",
        {"expr": "expr", "rotation": "head_rotation", "jaw_pose": "jaw_pose", "translation": "head_translation"},
        {},
    ),
    "names with flame": _renamed("stacked", {name: f"flame_{name}" for name in ("expr", "jaw_pose", *_SAME)}, {}),
    "expression alone": _renamed("stacked", {"expr": "expr"}, {}),
}


# -- Variations ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Variation:
    """A change of what a program writes."""

    change: Callable[[Take, Random], None]
    fits: Callable[[Take], bool] = lambda take: True
    admits: dict[str, str] = field(default_factory=dict)  # as in `Truth`


def _all(change: Callable[[Floats], Any]) -> Callable[[Take, Random], None]:
    def apply(take: Take, random: Random) -> None:
        take.arrays = {name: change(array) for name, array in take.arrays.items()}

    return apply


def _each(names: tuple[str, ...], change: Callable[[Floats], Any], admits: dict[str, str] | None = None) -> Variation:
    """A change of those of these arrays that a take has."""

    def apply(take: Take, random: Random) -> None:
        take.arrays |= {name: change(take.arrays[name]) for name in names if name in take.arrays}

    def fits(take: Take) -> bool:
        found = [take.arrays[name] for name in names if name in take.arrays]
        return bool(found) and all(array.ndim == 2 and array.shape[1] % 3 == 0 for array in found)

    return Variation(apply, fits, admits or {})


def _numbered(first: int, step: int) -> Callable[[Take, Random], None]:
    def apply(take: Take, random: Random) -> None:
        take.numbers = [first + step * row for row in range(_FRAMES)]
        take.truth.time = take.truth.time * step

    return apply


def _without(name: str) -> Variation:
    def apply(take: Take, random: Random) -> None:
        del take.arrays[name]

    return Variation(apply, lambda take: name in take.arrays)


def _rate(take: Take, random: Random) -> None:
    take.fixed["fps"] = np.array(24.0)
    take.truth.time = np.arange(_FRAMES) / 24


def _reversed_names(take: Take, random: Random) -> None:
    take.arrays = dict(reversed(take.arrays.items()))


def _missing(take: Take, random: Random) -> None:
    """The tracker lost some frames."""
    kept = np.ones(_FRAMES, bool)
    start = int(random.integers(3, 30))
    kept[start : start + 4] = False
    take.truth = take.truth.rows(kept)
    take.numbers = [number for number, keep in zip(take.numbers, kept, strict=True) if keep]
    take.arrays = {name: array[kept] for name, array in take.arrays.items()}


def _turned(convert: Callable[[Rotation], Floats]) -> Callable[[Floats], Floats]:
    return lambda turn: convert(Rotation.from_rotvec(turn))


def _shows_frames(take: Take) -> bool:
    """Whether a second array shows which of the axes are the frames."""
    return take.form == "pair" or (take.form == "stacked" and bool(set(_POSES) & set(take.arrays)))


_ROOTS = ("rotation", "rot", "head_pose")
_POSES = (*_ROOTS, "pose", "posecode", "poses", "neck_pose", "jaw_pose", "jaw_rot", "eyes_pose", "eye_rot", "eye_pose")
_PLACES = ("translation", "tra")
_IS_FOLDER: Callable[[Take], bool] = lambda take: take.form in ("folder", "frames")  # noqa: E731
_HAS_EXPR: Callable[[Take], bool] = lambda take: "expr" in take.arrays  # noqa: E731
VARIATIONS: dict[str, Variation] = {
    "as written": Variation(lambda take, random: None),
    "another order of arrays": Variation(_reversed_names, lambda take: take.form != "pair"),
    "degrees": _each(_POSES, np.degrees, dict.fromkeys(("head", "neck", "jaw", "eyes", "place"), "degrees")),
    "millimeters": _each(_PLACES, lambda place: 1000 * place, {"place": "millimet|in meters"}),
    "quaternions": _each(_ROOTS, _turned(lambda turn: turn.as_quat())),
    "matrices": _each(_ROOTS, _turned(lambda turn: turn.as_matrix())),
    "rows of matrices": _each(_ROOTS, _turned(lambda turn: turn.as_matrix()[:, :2].reshape(-1, 6))),
    "frames from 1": Variation(_numbered(1, 1), _IS_FOLDER),
    "frames from 1000": Variation(_numbered(1000, 1), _IS_FOLDER),
    "every third frame": Variation(_numbered(0, 3), _IS_FOLDER),
    "missing frames": Variation(_missing, _IS_FOLDER),
    "its own rate": Variation(_rate, lambda take: _HAS_EXPR(take) and take.form == "stacked", {"times": _NO_TIMES}),
    "without rotation": _without("rotation"),
    "without expressions": _without("expr"),
    "without jaw": _without("jaw_pose"),
    "float32": Variation(_all(lambda array: array.astype(np.float32))),
    "float16": Variation(_all(lambda array: array.astype(np.float16)), lambda take: "cam" not in take.arrays),
    "big-endian": Variation(_all(lambda array: array.astype(">f8"))),
    "Fortran order": Variation(_all(np.asfortranarray)),
    "an axis before": Variation(_all(lambda array: array[None]), lambda take: not _IS_FOLDER(take)),
    "an axis after": Variation(_all(lambda array: array[:, None])),
    "transposed": Variation(_all(lambda array: array.T), _shows_frames),
    "capital names": Variation(
        lambda take, random: setattr(take, "arrays", {name.upper(): array for name, array in take.arrays.items()}),
        lambda take: take.form in ("folder", "stacked"),
    ),
    "names of a dictionary": Variation(
        lambda take, random: setattr(take, "arrays", {f"flame/{name}": each for name, each in take.arrays.items()}),
        lambda take: take.form in ("folder", "stacked"),
    ),
    "one dictionary": Variation(
        lambda take, random: setattr(take, "arrays", {"arr_0": np.array(take.arrays, dtype=object)}),
        lambda take: take.form == "stacked",
    ),
}
#: What a note may admit of any of these files: arrays that are absent or have other names are named.
ADMITS = {
    **{
        aspect: _AT_ZERO.format(name)
        for aspect, name in {
            "expressions": "expr", "head": "rotation", "neck": "neck_pose", "jaw": "jaw_pose", "eyes": "eyes_pose",
            "place": "translation",
        }.items()
    },
}  # fmt: skip
