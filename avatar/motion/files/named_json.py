"""JSON of named weights: {"names": [...], "frames": [{"weights": [...], "time"?: s, "rotation"?: [...]}]}.

With "resting": "zero", zero weights are the resting face; without it, or with "find", it is found in the frames.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.common.files import atomic_path
from avatar.errors import HeadsplatError
from avatar.geometry.numpy_rotations import quat_to_rotvec
from avatar.motion.arrays import MotionArrays, head_quat
from avatar.types import ROOT, Motion

from .assemble import Rows, frame_times, to_arrays
from .clock import clock_column, clock_times
from .foreign import refuse_names
from .live_link_write import with_gaze
from .losses import lost_confidence, lost_pose
from .names import ARKIT, FLAME, arkit_columns
from .text import check_frames, check_names, check_resting, numbers

Floats = NDArray[np.floating]

#: The meaning of "rotation" in our files; assumed for files that do not define it.
ROTATION = "the head's, axis-angle in radians: x to the person's left, y up, z the way the face looks"


def is_named_json(content: Any) -> bool:
    """Whether a JSON file has this layout."""
    if not isinstance(content, dict) or not {"names", "frames"} <= content.keys():
        return False
    frames = content["frames"]
    return not (isinstance(frames, list) and frames and isinstance(frames[0], list))


def read_named_json(path: Path, content: Any, fps: float | None = None) -> MotionArrays:
    """Read named weights.

    Args:
        path: for error messages.
        content: content of the file.
        fps: frames per second if the frames have no times; None: 30.

    Returns:
        The motion.

    Raises:
        HeadsplatError: a frame that does not match the names; the message names file and key.
    """
    notes: list[str] = []
    names = names_of(content["names"], f"{path}: names")
    frames = content["frames"]
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise HeadsplatError(f"{path}: frames: expected a list of objects with weights; export the file again")
    check_frames(len(frames), path)
    refuse_names(path, names)
    space, columns = _space(names, f"{path}: names", notes)
    picked = [column for column, _ in columns]
    weights = np.zeros((len(frames), len(columns)), np.float32)
    for k, frame in enumerate(frames):
        where = f"{path}: frames[{k}].weights"
        weights[k] = np.array(numbers(frame.get("weights"), len(names), where), np.float32)[picked]
    rows = Rows(_times(path, frames, fps, notes), tuple(name for _, name in columns), weights)
    rows.resting = check_resting(content.get("resting", "find"), str(path))
    rotvec = _rotations(path, frames, notes)
    if rotvec is not None:
        rows.joint_rot[ROOT] = rotvec
    return to_arrays(path, rows, space, notes)


def names_of(value: Any, where: str) -> list[str]:
    """A JSON list of strings."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise HeadsplatError(f"{where}: expected a list of names; export the file again")
    check_names(len(value), where)
    return value


def _space(names: list[str], where: str, notes: list[str]) -> tuple[str, list[tuple[int, str]]]:
    modes = [(i, name) for i, name in enumerate(names) if name.startswith("expr") and name[4:].isdigit()]
    if modes and len({name for _, name in modes}) == len(names):
        return FLAME, modes
    return ARKIT, arkit_columns(names, where, notes)


def _times(path: Path, frames: list[dict[str, Any]], fps: float | None, notes: list[str]) -> Floats:
    keys = [key for key in frames[0] if key not in ("weights", "rotation")]
    place = None if "time" in keys else clock_column(keys)
    name = "time" if place is None else keys[place]
    timed = [frame.get(name) is not None for frame in frames]
    if not any(timed):
        return frame_times(range(len(frames)), fps, notes)
    if not all(timed):
        missing = timed.index(False)
        raise HeadsplatError(
            f"{path}: frames[{missing}].{name}: missing, while other frames have one; give all or none"
        )
    places = [f"{path}: frames[{k}].{name}" for k in range(len(frames))]
    return clock_times([frame[name] for frame in frames], places, name, path, fps, notes)


def _rotations(path: Path, frames: list[dict[str, Any]], notes: list[str]) -> Floats | None:
    """Axis-angle [T,3] if every frame has three numbers; None if no frame has a rotation."""
    given = [frame.get("rotation") or [] for frame in frames]
    values = [numbers(value, None, f"{path}: frames[{k}].rotation") for k, value in enumerate(given)]
    counts = {len(value) for value in values}
    if len(counts) > 1:
        odd = next(k for k, value in enumerate(values) if len(value) != len(values[0]))
        raise HeadsplatError(
            f"{path}: frames[{odd}].rotation: {len(values[odd])} numbers, other frames have {len(values[0])}; "
            "give all frames the same"
        )
    (count,) = counts
    if count == 3:
        notes.append(f"rotation is read as {ROTATION}")
        rotvec = np.array(values)
        if (largest := float(np.abs(rotvec).max())) > 1.05 * np.pi:
            notes.append(
                f"rotation reaches {largest:.3g}, more than half a turn in radians: it seems to have degrees or other "
                "angles; write axis-angle in radians"
            )
        return rotvec
    notes.append("the frames have no rotation: the head does not move" if not count else
                 f"rotations of {count} numbers are ignored: only axis-angle (3 numbers) is read")  # fmt: skip
    return None


def write_named_json(path: Path, motion: Motion) -> list[str]:
    """Write an "arkit52" motion; returns a message for each loss."""
    names, weights, joints = with_gaze(motion)
    weights = weights.astype(np.float32)
    skull = quat_to_rotvec(head_quat(joints))
    resting = {"resting": motion.resting} if motion.resting == "zero" else {}
    head = json.dumps({"names": list(names), "rotation": ROTATION, **resting})
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f'{head[:-1]}, "frames": [\n')
        for k, time in enumerate(motion.time.tolist()):
            frame = {"time": time, "weights": weights[k].tolist(), "rotation": skull[k].tolist()}
            stream.write(json.dumps(frame) + ("\n" if k == len(motion) - 1 else ",\n"))
        stream.write("]}\n")
    return [*lost_pose(motion, joints), *lost_confidence(motion)]
