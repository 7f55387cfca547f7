"""FLAME parameters as other programs read them: all frames in one .npz, or VHAP's folder of an .npz a frame.

Writers of what `flame_layouts.py` reads: axis-angle in radians, meters, y up, the head's root at the identity faces the
camera. What a layout lacks is reported with its size. Controls that our heads add to FLAME (jawOpen, eyeLookUpLeft)
are written as the rotations that they cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import atomic_folder, atomic_path
from avatar.common.frame_rate import MAX_FPS
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_to_rotvec, rotvec_to_quat
from avatar.head.arkit import is_mode
from avatar.motion.arrays import head_quat
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion

from .angles import TURN
from .assemble import DEFAULT_FPS
from .flame import MAX_MODES
from .losses import lost_confidence, lost_rotations, lost_start, lost_translation, lost_weights, merged_neck
from .names import FLAME, listed
from .vhap import FOLDER, STACKED

Floats = NDArray[np.floating]

LIDS = ("eyelidLeft", "eyelidRight")
#: Seconds by which a frame may be off a constant rate.
_EVEN = 1e-6
#: Seconds a frame from which readers take uneven times for another unit or for numbers.
_SLOW = 0.9


@dataclass(frozen=True)
class Layout:
    """The arrays of a program: `parts` of each in order, side by side."""

    program: str
    version: str  # of the FLAME that it uses
    modes: int  # expressions that it uses
    arrays: Mapping[str, tuple[str, ...]]  # name in the file -> expr, root, neck, jaw, eyes, translation, lids

    @property
    def parts(self) -> set[str]:
        """Everything that the layout has."""
        return {part for parts in self.arrays.values() for part in parts}


_VHAP = Layout(
    "VHAP and GaussianAvatars",
    "2023",
    100,
    {
        "expr": ("expr",), "rotation": ("root",), "neck_pose": ("neck",), "jaw_pose": ("jaw",), "eyes_pose": ("eyes",),
        "translation": ("translation",),
    },
)  # fmt: skip
#: End of a name -> what is written.
LAYOUTS: dict[str, Layout] = {
    STACKED: _VHAP,
    FOLDER: _VHAP,
    ".deca.npz": Layout("DECA", "2020", 50, {"exp": ("expr",), "pose": ("root", "jaw")}),
    ".emoca.npz": Layout("EMOCA", "2020", 50, {"expcode": ("expr",), "posecode": ("root", "jaw")}),
    ".smirk.npz": Layout(
        "SMIRK",
        "2020",
        50,
        {
            "expression_params": ("expr",), "pose_params": ("root",), "jaw_params": ("jaw",),
            "eyelid_params": ("lids",),
        },
    ),
}  # fmt: skip


def layout_of_name(path: Path) -> Layout:
    """What is written to a path, by the end of its name."""
    return next(layout for end, layout in LAYOUTS.items() if path.name.lower().endswith(end))


def write_flame(path: Path, motion: Motion) -> list[str]:
    """Write a motion of FLAME's expressions in the layout of the path's name; returns a message for each loss.

    Raises:
        HeadsplatError: the motion has other expressions than FLAME's.
    """
    layout = layout_of_name(path)
    from avatar.head.flame.complete import joint_rotations  # the whole loader of FLAME

    controls = joint_rotations()
    modes = _modes(path, motion, controls)
    time = motion.time.numpy() - float(motion.time[0])
    _check_times(path, time)
    joints, rest = _all_rotations(motion, controls)
    notes: list[str] = []
    values = _values(layout, motion, modes, joints, notes)
    arrays = {name: np.concatenate([values[part] for part in parts], 1) for name, parts in layout.arrays.items()}
    stored = {*modes, *controls} - (set() if "lids" in layout.parts else set(LIDS))
    notes += [
        *rest,
        *lost_weights(motion, stored, f"{layout.program}: no parameter for"),
        *([] if "translation" in layout.parts else lost_translation(motion)),
        *lost_confidence(motion),
        *lost_start(motion),
    ]
    if motion.resting == "zero":
        notes.append("the file cannot store that zero weights are the resting face: render it with --neutral zero")
    notes.append(
        f"programs that read it take the expressions as those of FLAME {layout.version}: in another version the same "
        "numbers mean other faces"
    )
    arrays = {name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()}
    if path.name.lower().endswith(FOLDER):
        _write_folder(path, arrays, time, notes)
    else:
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **arrays, **_clock(time))  # type: ignore[arg-type]
    return notes


def _modes(path: Path, motion: Motion, controls: Mapping[str, Floats]) -> list[str]:
    """FLAME's expressions of a motion."""
    modes = [name for name in motion.names if is_mode(name)]
    if motion.space != FLAME and not (modes or set(motion.names) <= set(controls)):
        raise HeadsplatError(
            f"{path}: stores FLAME's expressions, these are of {motion.space}; convert them with "
            "`headsplat motion convert --to-head FLAME.pkl`"
        )
    if (last := max((int(name[4:]) for name in modes), default=0)) >= MAX_MODES:
        raise HeadsplatError(f"{path}: expr{last}, but no FLAME has more than {MAX_MODES} expressions; rename them")
    return modes


def _all_rotations(motion: Motion, controls: Mapping[str, Floats]) -> tuple[Floats, list[str]]:
    """Axis-angle [T,J,3] of all joints with what the controls add to them, and a message where they do."""
    joints = motion.joint_rot.double().numpy().copy()
    used = []
    for column, name in enumerate(motion.names):
        if name in controls and controls[name].any() and bool(motion.weights[:, column].any()):
            joints += motion.weights[:, column].double().numpy()[:, None, None] * controls[name]
            used.append(name)
    return joints, [f"written as rotations of jaw and eyes: {listed(used)}"] if used else []


def _values(layout: Layout, motion: Motion, modes: list[str], joints: Floats, notes: list[str]) -> dict[str, Floats]:
    """What arrays are made of, [T,...] each; appends notes on expressions and joints."""
    count = len(motion)
    width = max((int(name[4:]) for name in modes), default=layout.modes - 1) + 1
    expr = np.zeros((count, width), np.float32)
    for name in modes:
        expr[:, int(name[4:])] = motion.weights[:, motion.names.index(name)].numpy()
    if not modes:
        notes.append("the motion has no expressions of FLAME: written as 0")
    elif width > layout.modes:
        notes.append(f"the file has {width} expressions; {layout.program} by default: {layout.modes}")
    lids = [motion.weights[:, motion.names.index(name)].numpy() if name in motion.names else np.zeros(count)
            for name in LIDS]  # fmt: skip
    root = joints[:, ROOT]
    if "neck" not in layout.parts:
        bent = np.abs(joints[:, NECK]).max(1, keepdims=True) > 0
        root = np.where(bent, quat_to_rotvec(head_quat(joints)), root)
        notes += merged_neck(joints)
    if "eyes" not in layout.parts:
        notes += lost_rotations(joints[:, [LEFT_EYE, RIGHT_EYE]], f"{layout.program}: rotations of the eyes")
    return {
        "expr": expr,
        "root": _within_a_turn(root),
        "neck": _within_a_turn(joints[:, NECK]),
        "jaw": _within_a_turn(joints[:, JAW]),
        "eyes": np.concatenate([_within_a_turn(joints[:, eye]) for eye in (LEFT_EYE, RIGHT_EYE)], 1),
        "translation": motion.translation.numpy(),
        "lids": np.stack(lids, 1),
    }


def _within_a_turn(rotvec: Floats) -> Floats:
    """Axis-angle [T,3], those above a turn as the same rotations below half a turn: readers take them as degrees."""
    beyond = np.linalg.norm(rotvec, axis=1, keepdims=True) > TURN - 0.1
    return np.where(beyond, quat_to_rotvec(rotvec_to_quat(rotvec)), rotvec)


def _rate(time: Floats) -> float | None:
    """The frames per second of times [T] from 0; None where they are not even."""
    if len(time) < 2:
        return DEFAULT_FPS
    mean = (len(time) - 1) / float(time[-1])
    even = (rate for rate in (float(round(mean)), mean) if _is_even(time, rate))
    return next(even, None)


def _is_even(time: Floats, rate: float) -> bool:
    return 0 < rate <= MAX_FPS and bool((np.abs(np.arange(len(time)) / rate - time) < _EVEN).all())


def _check_times(path: Path, time: Floats) -> None:
    """Raise HeadsplatError for uneven times that readers take for those of another unit, or cannot number."""
    steps = np.diff(time)
    if _rate(time) is None and not (steps.min() >= 1 / MAX_FPS and np.median(steps) < _SLOW):
        raise HeadsplatError(
            f"{path}: the frames are {steps.min():.4g} to {steps.max():.4g} s apart, which the file cannot store; give "
            "a constant rate with --fps"
        )


def _clock(time: Floats) -> dict[str, Floats]:
    """The array of the rate, or of the times where they are not even."""
    rate = _rate(time)
    return {"timestamps": time} if rate is None else {"fps": np.array(rate)}


def _write_folder(path: Path, arrays: Mapping[str, Floats], time: Floats, notes: list[str]) -> None:
    """Write frames at the numbers of their times; appends a note where these are between two numbers."""
    rate = _rate(time)
    numbers = np.arange(len(time))
    if rate is None:
        rate, numbers = _numbered(time)
        if (off := float(np.abs(numbers / rate - time).max())) > 5e-4:
            notes.append(f"the frames are numbered at {rate:.3f} fps: times are off by up to {1000 * off:.0f} ms")
    with atomic_folder(path) as temporary:
        for row, number in enumerate(numbers.tolist()):
            frame = {name: array[row : row + 1] for name, array in arrays.items()}
            np.savez(temporary / f"{number:05d}.npz", **frame, fps=np.array(rate))  # type: ignore[arg-type]


def _numbered(time: Floats) -> tuple[float, NDArray[np.int64]]:
    """A rate and the numbers [T] of frames at uneven times, all different, that fit them: missing frames are gaps."""
    steps = np.diff(time)
    rates = [1 / float(np.median(steps)), *(part / float(steps.min()) for part in range(1, 9))]
    grids = [(rate, np.round(time * rate).astype(np.int64)) for rate in rates if rate <= MAX_FPS]
    grids = [(rate, numbers) for rate, numbers in grids if (np.diff(numbers) > 0).all()]
    return min(grids, key=lambda grid: round(float(np.abs(grid[1] / grid[0] - time).max()), 4))
