"""From what a file says of its frames, in its own order, to a Motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError
from avatar.types import JOINT_NAMES, Motion

Floats = NDArray[np.floating]

#: Frames a second of files that carry neither times nor a rate.
USUAL_FPS = 30.0


@dataclass
class Rows:
    """T frames in the order of the file; what it does not say is zero."""

    time: Floats  # [T] seconds
    names: tuple[str, ...]
    weights: Floats  # [T,E]
    joint_rot: dict[int, Floats] = field(default_factory=dict)  # [T,3] axis-angle radians of each joint that is known
    translation: Floats | None = None  # [T,3] meters
    seen: NDArray[np.bool_] | None = None  # [T] whether the tracker saw a face; None: in all


def to_motion(path: Path, rows: Rows, space: str, notes: list[str], *, rebase: bool = False) -> Motion:
    """Frames in the order of time, each time once; a frame without a face holds the last one seen.

    Args:
        path: for the sentences.
        rows: in any order.
        space: of the names.
        notes: what the reader has found so far; grows.
        rebase: whether the first frame is at time 0.

    Raises:
        HeadsplatError: no frame, or a face in none.
    """
    if not len(rows.time):
        raise HeadsplatError(f"{path}: holds no frames; export the take again")
    order = _order(rows.time, notes)
    time = rows.time[order]
    if rebase:
        time = time - time[0]
    held, confidence = order, None
    if rows.seen is not None and not rows.seen.all():
        held, confidence = order[_held(path, rows.seen[order], notes)], torch.from_numpy(rows.seen[order]).float()
    joints = np.zeros((len(order), len(JOINT_NAMES), 3), np.float32)
    for joint, turns in rows.joint_rot.items():
        joints[:, joint] = turns[held]
    places = np.zeros((len(order), 3)) if rows.translation is None else rows.translation[held]
    return Motion(
        time=torch.from_numpy(np.asarray(time, np.float64)),
        names=rows.names,
        weights=torch.from_numpy(np.asarray(rows.weights[held], np.float32)),
        space=space,
        joint_rot=torch.from_numpy(joints),
        translation=torch.from_numpy(np.asarray(places, np.float32)),
        confidence=confidence,
        notes=tuple(notes),
    )


def _order(time: Floats, notes: list[str]) -> NDArray[np.int64]:
    """Rows in the order of time, the first of those with the same time."""
    order = np.argsort(time, kind="stable")
    if (np.diff(time) < 0).any():
        notes.append("rows were not in the order of time and have been sorted")
    first = np.concatenate([[True], np.diff(time[order]) > 0])
    if not first.all():
        notes.append(f"{counted(int((~first).sum()), 'row')} with the time of the row before: left out")
    return order[first]


def _held(path: Path, seen: NDArray[np.bool_], notes: list[str]) -> NDArray[np.int64]:
    """For each row the last one with a face, for those before the first the next one."""
    if not seen.any():
        raise HeadsplatError(f"{path}: no row shows a face; record the take again")
    notes.append(
        f"{int((~seen).sum())} of {len(seen)} rows show no face (confidence 0): here they hold the last pose seen, "
        "driving and resampling bridge them from those beside them"
    )
    last = np.maximum.accumulate(np.where(seen, np.arange(len(seen)), -1))
    return np.where(last < 0, int(np.argmax(seen)), last)


def frame_times(
    frames: Sequence[int] | NDArray[np.int64], fps: float | None, notes: list[str], usual: float = USUAL_FPS
) -> Floats:
    """Seconds [T] of frame numbers in a file that carries no times; a note says which rate was taken."""
    rate = usual if fps is None else fps
    given = "as given" if fps is not None else "assumed; give another with --motion-fps"
    notes.append(f"the file carries no times: {rate:g} frames/s, {given}")
    return np.asarray(frames, np.float64) / rate


def note_unused_fps(fps: float | None, notes: list[str]) -> None:
    """Say so when a rate was given for a file that has its own times."""
    if fps is not None:
        notes.append(f"the file carries its own times: the {fps:g} frames/s given are not used")


def unwrapped(time: Floats, period: float) -> Floats:
    """Times of a clock that starts again after `period`, made increasing: the largest silence is between two takes."""
    if not len(time):
        return time
    order = np.sort(time)
    silence = np.diff(np.concatenate([order, [order[0] + period]]))
    place = int(np.argmax(silence))
    if place == len(order) - 1 or math.isclose(silence[place], silence[-1]):
        return time
    return np.where(time <= order[place], time + period, time)
