"""Writing Live Link Face CSV, as the app itself would have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, Motion

from .angles import EYE_SIGNS, HEAD_SIGNS, angles_of
from .gaze import driven, in_weights
from .live_link import COLUMNS, DAY, HEADER, TICKS
from .names import listed

Floats = NDArray[np.floating]

_GRAIN = 1000 * TICKS  # what a timecode tells apart, a second
#: Radians and meters that no one would see.
_SMALL_TURN, _SMALL_MOVE = 1e-4, 1e-4


def write_live_link(path: Path, motion: Motion) -> list[str]:
    """Write an "arkit52" motion; returns what the file cannot carry, a sentence each.

    Raises:
        HeadsplatError: longer than the clock of the format.
    """
    ticks = np.round((motion.time - motion.time[0]).numpy() * _GRAIN).astype(np.int64)
    if ticks[-1] + np.diff(ticks, prepend=0).max() >= DAY * _GRAIN:
        raise HeadsplatError(f"{path}: the motion spans a day, which its timecodes cannot; write .motion.npz")
    names, weights, joints = with_gaze(motion)
    table = np.zeros((len(motion), len(COLUMNS)))
    for column, name in enumerate(COLUMNS):
        if name in names:
            table[:, column] = weights[:, names.index(name)]
    turned = driven(names, weights, joints)
    skull = Rotation.from_rotvec(joints[:, ROOT]) * Rotation.from_rotvec(joints[:, NECK])
    angles = [angles_of(skull.as_rotvec(), HEAD_SIGNS)]
    angles += [angles_of(turned[:, eye], EYE_SIGNS) for eye in (LEFT_EYE, RIGHT_EYE)]
    whole = np.concatenate([table, *angles], 1)
    faces = np.ones(len(motion), bool) if motion.confidence is None else motion.confidence.numpy() > 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(",".join(HEADER) + "\n")
        for tick, face, row in zip(ticks.tolist(), faces.tolist(), whole.tolist(), strict=True):
            cells = ",".join(f"{value:.10f}" for value in row)
            stream.write(f"{_timecode(tick)},{len(HEADER) - 2 if face else 0},{cells}\n")
    return [*_lost_times(ticks), *_lost_weights(motion), *lost_pose(motion, joints), *_lost_confidence(motion)]


def with_gaze(motion: Motion) -> tuple[tuple[str, ...], Floats, Floats]:
    """Names, weights [T,E] that turn eyes and jaw as far as the motion does, and the rest of the joints [T,J,3]."""
    joints = motion.joint_rot.double().numpy()
    names, weights = motion.names, motion.weights.double().numpy()
    if joints[:, JAW:].any():
        absent = tuple(name for name in ARKIT_52 if name not in names)
        names, weights = names + absent, np.pad(weights, ((0, 0), (0, len(absent))))
        weights, joints = in_weights(names, weights, joints)
    return names, weights, joints


def _timecode(tick: int) -> str:
    seconds, rest = divmod(tick, _GRAIN)
    minutes, frames = divmod(seconds, 60), divmod(rest, 1000)
    return f"{minutes[0] // 60:02d}:{minutes[0] % 60:02d}:{minutes[1]:02d}:{frames[0]:02d}.{frames[1]:03d}"


def _lost_times(ticks: NDArray[np.int64]) -> list[str]:
    same = int((np.diff(ticks) == 0).sum())
    return [f"{same} frames come within 1/60000 s of the one before them: readers will leave them out"] if same else []


def _lost_weights(motion: Motion) -> list[str]:
    notes = []
    if extra := [name for name in motion.names if name not in COLUMNS]:
        notes.append(f"the file has no columns for {listed(extra)}: they are left out")
    if absent := [name for name in COLUMNS if name not in motion.names]:
        notes.append(f"the motion does not have {listed(absent)}: written as 0")
    return notes


def lost_pose(motion: Motion, joints: Floats) -> list[str]:
    """What weights and one rotation of the head do not say: the place, the neck apart, the rest of jaw and eyes."""
    notes = []
    if float(motion.translation.abs().max()) > _SMALL_MOVE:
        notes.append("the file cannot carry where the head is: its translation is left out")
    if float(np.abs(joints[:, NECK]).max()) > _SMALL_TURN:
        notes.append("the neck's rotation is written as part of the head's")
    if float(np.abs(joints[:, JAW:]).max()) > _SMALL_TURN:
        notes.append("what jaw and eyes turn beyond the weights' reach (a lean of the eye, a lifted jaw) is left out")
    return notes


def _lost_confidence(motion: Motion) -> list[str]:
    if motion.confidence is None:
        return []
    partly = ((motion.confidence > 0) & (motion.confidence < 1)).any()
    return ["the file says of a frame only whether a face was seen, not how sure the tracker was"] if partly else []
