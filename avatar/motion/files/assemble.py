"""Frames of a file, in any order, to a motion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.common.jsonable import counted
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.motion.arrays import MotionArrays
from avatar.types import JOINT_NAMES, Resting

from .names import ARKIT
from .text import check_frames

Floats = NDArray[np.floating]

#: Frames per second of files without times and rate.
DEFAULT_FPS = 30.0
#: Fewer rows do not show that rows are repeated or takes appended.
_MIN_ROWS = 10
#: Share of rows that repeat the one before, up to so many in a row, above which a note is due.
_REPEATED = 0.15
_FEW = 3
#: Weights above this are no weights; above the other no percent either.
_NO_WEIGHT = 5.0
_NO_PERCENT = 150.0
#: Names that have large weights where a jaw was rotated sideways: our writers express it by them.
_UNBOUNDED = ("jawLeft", "jawRight")
#: Share of the frames with a weight above 2 from which a file has percent: fewer are errors of a tracker.
_PERCENT = 0.2


@dataclass
class Rows:
    """T frames in the order of the file; missing values are zero."""

    time: Floats  # [T] seconds
    names: tuple[str, ...]
    weights: Floats  # [T,E]
    joint_rot: dict[int, Floats] = field(default_factory=dict)  # joint -> [T,3] axis-angle radians
    translation: Floats | None = None  # [T,3] meters
    has_face: NDArray[np.bool_] | None = None  # [T] whether the tracker found a face; None: in all
    resting: Resting = "find"


def to_arrays(path: Path, rows: Rows, space: str, notes: list[str], *, rebase: bool = False) -> MotionArrays:
    """Build a motion with increasing times; a frame without a face repeats the last one with a face.

    Args:
        path: for error messages.
        rows: frames in any order.
        space: name of the expression space.
        notes: notes of the reader; notes are appended.
        rebase: whether to shift the times so that the first frame is at 0.

    Returns:
        The motion.

    Raises:
        HeadsplatError: no frames, or no face in any.
    """
    if not len(rows.time):
        raise HeadsplatError(f"{path}: has no frames; export the take again")
    check_frames(len(rows.time), path)
    weights = percent_to_weights(rows.names, rows.weights, notes) if space == ARKIT else rows.weights
    order = _order(rows.time, notes)
    time = rows.time[order]
    if rebase:
        time = time - time[0]
    source = order
    confidence = None
    if rows.has_face is not None and not rows.has_face.all():
        has_face = rows.has_face[order]
        source = order[_last_with_face(path, has_face, notes)]
        confidence = has_face.astype(np.float32)
    joints = np.zeros((len(order), len(JOINT_NAMES), 3), np.float32)
    for joint, rotvec in rows.joint_rot.items():
        joints[:, joint] = rotvec[source]
    translation = np.zeros((len(order), 3)) if rows.translation is None else rows.translation[source]
    if rows.has_face is None or rows.has_face.all():
        _note_repeated(np.concatenate([weights[order], joints.reshape(len(order), -1), translation], 1), notes)
    return MotionArrays(
        time=np.asarray(time, np.float64),
        names=rows.names,
        weights=np.asarray(weights[source], np.float32),
        space=space,
        joint_rot=joints,
        translation=np.asarray(translation, np.float32),
        confidence=confidence,
        notes=tuple(notes),
        resting=rows.resting,
    )


def percent_to_weights(names: Sequence[str], weights: Floats, notes: list[str]) -> Floats:
    """Weights [T,E], divided by 100 with a note where those of ARKit's names can only be percent."""
    known = [i for i, name in enumerate(names) if name in ARKIT_52 and name not in _UNBOUNDED]
    largest = np.abs(weights[:, known]).max(0, initial=0.0)
    if not largest.size or largest.max() <= _NO_WEIGHT:
        return weights
    reaches = f"{names[known[int(largest.argmax())]]} reaches {largest.max():.4g}"
    if largest.max() > _NO_PERCENT or (np.abs(weights[:, known]) > 2).any(1).mean() < _PERCENT:
        note = f"{reaches}, which is no weight: they run from 0 to 1; scale the file's or repair it"
        notes += [] if note in notes else [note]
        return weights
    notes.append(f"{reaches}: the weights are read as percent, and divided by 100")
    return weights / np.float32(100)


def _order(time: Floats, notes: list[str]) -> NDArray[np.int64]:
    """Rows in the order of time; of rows with equal times the first."""
    order = np.argsort(time, kind="stable")
    if (np.diff(time) < 0).any():
        notes.append("rows were not in the order of time and were sorted")
    first = np.concatenate([[True], np.diff(time[order]) > 0])
    if not first.all():
        notes.append(f"{counted(int((~first).sum()), 'row')} with the same time as the row before: dropped")
    return order[first]


def _note_repeated(values: Floats, notes: list[str]) -> None:
    """Append a note where a row here and a row there repeats the one before, or the second half repeats the first."""
    count = len(values)
    if count < _MIN_ROWS:
        return
    same = np.concatenate([[False], (values[1:] == values[:-1]).all(1), [False]])
    ends = np.flatnonzero(np.diff(same))
    runs = ends[1::2] - ends[::2]
    alone = int(runs[runs <= _FEW].sum())
    if alone > _REPEATED * count:
        notes.append(
            f"{alone} of {count} rows repeat the row before, as where the rate of a film was raised: the motion "
            "moves in steps; --smooth evens them out"
        )
    half = count // 2
    moves = (values[:half] != values[:1]).any()
    if count % 2 == 0 and moves and (values[:half] == values[half:]).all() and not _repeats(values[:half]):
        notes.append(f"rows {half + 1} to {count} repeat rows 1 to {half}, as where a take was appended to itself")


def _repeats(values: Floats) -> bool:
    """Whether rows [T,N] are two periods or more of one motion, as of a looping one: nothing was appended there."""
    count = len(values)
    same = np.flatnonzero((values[1 : count // 2 + 1] == values[0]).all(1)) + 1
    return any((values[period:] == values[:-period]).all() for period in same.tolist())


def note_restart(time: Floats, notes: list[str]) -> None:
    """Append a note where the times [T] of a file start over, as where takes were appended."""
    back = np.flatnonzero(np.diff(time) < 0)
    if len(time) >= _MIN_ROWS and 0 < len(back) <= 0.05 * len(time):
        notes.append(
            f"the times go back in row {back[0] + 2} of {len(time)}, as where takes were appended: their rows are "
            "mixed or lost; split the file there"
        )


def with_still_note(motion: MotionArrays) -> MotionArrays:
    """The motion with a note if nothing moves in it."""
    still = "nothing moves in this motion: all frames are the same"
    parts = (motion.weights, motion.joint_rot, motion.translation)
    if len(motion) < 2 or still in motion.notes or any(part.size and np.ptp(part, axis=0).any() for part in parts):
        return motion
    return replace(motion, notes=(*motion.notes, still))


def _last_with_face(path: Path, has_face: NDArray[np.bool_], notes: list[str]) -> NDArray[np.int64]:
    """For each row the last one with a face; for rows before the first the first."""
    if not has_face.any():
        raise HeadsplatError(f"{path}: no row has a face; record the take again")
    notes.append(
        f"{int((~has_face).sum())} of {len(has_face)} rows have no face (confidence 0): they repeat the last pose with "
        "a face; driving and resampling interpolate them"
    )
    last = np.maximum.accumulate(np.where(has_face, np.arange(len(has_face)), -1))
    return np.where(last < 0, int(np.argmax(has_face)), last)


def frame_times(
    frames: Sequence[int] | NDArray[np.integer | np.floating],
    fps: float | None,
    notes: list[str],
    default: float = DEFAULT_FPS,
    stated: float | None = None,
) -> Floats:
    """Times of the frames of a file without times; appends a note with the rate.

    Args:
        frames: [T] frame numbers.
        fps: frames per second; None: `default`.
        notes: the note is appended.
        default: frames per second when `fps` is None.
        stated: frames per second that the file has, which win over `default`.

    Returns:
        Seconds [T].
    """
    if fps is not None:
        rate, given = fps, "as given"
    elif stated is not None:
        rate, given = stated, "as stated in it"
    else:
        rate, given = default, "assumed; give another with --motion-fps"
    notes.append(f"the file has no times: {rate:g} fps, {given}")
    return np.asarray(frames, np.float64) / rate


def numbered_times(
    numbers: NDArray[np.integer],
    fps: float | None,
    notes: list[str],
    default: float = DEFAULT_FPS,
    stated: float | None = None,
) -> Floats:
    """As `frame_times` for increasing numbers of files [T], the first at 0; appends a note on missing ones too."""
    if missing := int(numbers[-1] - numbers[0] + 1 - len(numbers)):
        notes.append(f"{missing} frame numbers are missing between {numbers[0]} and {numbers[-1]}: a gap in time")
    return frame_times(numbers - numbers[0], fps, notes, default, stated)


def note_unused_fps(fps: float | None, notes: list[str]) -> None:
    """Append a note if a rate was given for a file that contains times."""
    if fps is not None:
        notes.append(f"the file contains times: the given {fps:g} fps are not used")


def unwrapped(time: Floats, period: float) -> Floats:
    """Times [T] of a clock that wraps at `period`, made continuous; the largest gap is taken as the take's boundary."""
    if not len(time):
        return time
    order = np.sort(time)
    gaps = np.diff(np.concatenate([order, [order[0] + period]]))
    largest = int(np.argmax(gaps))
    if largest == len(order) - 1 or math.isclose(gaps[largest], gaps[-1]):
        return time
    return np.where(time <= order[largest], time + period, time)
