"""Writing Live Link Face CSV in the app's format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_to_rotvec
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import head_quat
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, Motion

from .angles import EYE_SIGNS, HEAD_SIGNS, rotvec_to_angles
from .gaze import joints_to_weights, total_rotations
from .live_link import COLUMNS, HEADER, RESTING
from .losses import lost_confidence, lost_pose, lost_start, lost_weights
from .names import listed
from .timecode import DAY, TICKS

Floats = NDArray[np.floating]

_TICKS = 1000 * TICKS  # resolution of a timecode, per second


def write_live_link(path: Path, motion: Motion) -> list[str]:
    """Write an "arkit52" motion; returns a message for each loss.

    Raises:
        HeadsplatError: the motion is longer than a day, the range of the timecode.
    """
    ticks = np.round((motion.time - motion.time[0]).numpy() * _TICKS).astype(np.int64)
    if ticks[-1] + np.diff(ticks, prepend=0).max() >= DAY * _TICKS:
        raise HeadsplatError(f"{path}: the motion spans a day, beyond the range of its timecodes; write .motion.npz")
    names, weights, joints = with_gaze(motion)
    table = np.zeros((len(motion), len(COLUMNS)))
    for column, name in enumerate(COLUMNS):
        if name in names:
            table[:, column] = weights[:, names.index(name)]
    total = total_rotations(names, weights, joints)
    angles = [rotvec_to_angles(quat_to_rotvec(head_quat(joints)), HEAD_SIGNS)]
    angles += [rotvec_to_angles(total[:, eye], EYE_SIGNS) for eye in (LEFT_EYE, RIGHT_EYE)]
    whole = np.concatenate([table, *angles], 1)
    faces = np.ones(len(motion), bool) if motion.confidence is None else motion.confidence.numpy() > 0
    name, cell = (f",{RESTING}", ",0") if motion.resting == "zero" else ("", "")
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(HEADER) + name + "\n")
        for tick, face, row in zip(ticks.tolist(), faces.tolist(), whole.tolist(), strict=True):
            cells = ",".join(f"{value:.10f}" for value in row)
            stream.write(f"{_timecode(tick)},{len(HEADER) - 2 if face else 0},{cells}{cell}\n")
    return [
        *lost_start(motion),
        *_lost_times(ticks),
        *_lost_weights(motion),
        *lost_pose(motion, joints),
        *lost_confidence(motion, keeps_faces=True),
    ]


def with_gaze(motion: Motion) -> tuple[tuple[str, ...], Floats, Floats]:
    """Names, weights [T,E] that include the joints' gaze and jaw, and the remaining joint rotations [T,J,3]."""
    joints = motion.joint_rot.double().numpy()
    names = motion.names
    weights = motion.weights.double().numpy()
    if joints[:, JAW:].any():
        absent = tuple(name for name in ARKIT_52 if name not in names)
        names = names + absent
        weights = np.pad(weights, ((0, 0), (0, len(absent))))
        weights, joints = joints_to_weights(names, weights, joints)
    return names, weights, joints


def _timecode(tick: int) -> str:
    seconds, rest = divmod(tick, _TICKS)
    minutes = divmod(seconds, 60)
    frames = divmod(rest, 1000)
    return f"{minutes[0] // 60:02d}:{minutes[0] % 60:02d}:{minutes[1]:02d}:{frames[0]:02d}.{frames[1]:03d}"


def _lost_times(ticks: NDArray[np.int64]) -> list[str]:
    same = int((np.diff(ticks) == 0).sum())
    return [f"{same} frames are within 1/60000 s of the frame before: readers drop them"] if same else []


def _lost_weights(motion: Motion) -> list[str]:
    notes = lost_weights(motion, COLUMNS)
    if absent := [name for name in COLUMNS if name not in motion.names]:
        notes.append(f"the motion does not have {listed(absent)}: written as 0")
    return notes
