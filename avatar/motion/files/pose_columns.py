"""Head and eyes in the columns of a table: Live Link's angles, a quaternion, or a matrix."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.geometry.numpy_rotations import log_rotation, quat_to_rotvec
from avatar.types import JOINT_NAMES, LEFT_EYE, RIGHT_EYE, ROOT

from .angles import EYE_SIGNS, FARTHEST, HEAD_SIGNS, TURN, angles_to_rotvec, in_degrees
from .assemble import Rows
from .gaze import LOOKS, total_rotations

Floats = NDArray[np.floating]

#: Names of yaw, pitch and roll.
ANGLES = {
    ROOT: ("HeadYaw", "HeadPitch", "HeadRoll"),
    LEFT_EYE: ("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
    RIGHT_EYE: ("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
}
#: How far from 1 the length of a quaternion may be, and a rotation matrix from an orthogonal one.
_UNIT = 0.02
#: Degrees between the gaze of weights and angles that say the same, as in files that headsplat wrote.
_SAME_GAZE = 0.1
_QUATERNION = re.compile(r"(.*?)[._ ]?(?:q|quat|quaternion)?[._ ]?([xyzw])", re.IGNORECASE)
_HEAD = re.compile(r"head|rot|quat|orientation|^q?$", re.IGNORECASE)
_NOT_HEAD = re.compile(r"eye|neck|jaw|hip|body|camera|pos|trans|euler|vec|angle", re.IGNORECASE)
_ARKIT_AXES = "in the axes of ARKit, MediaPipe and three.js: x to the person's left, y up, z the way the face looks"


def angle_columns(names: Sequence[str]) -> dict[int, tuple[int, ...]]:
    """Joint -> columns of its yaw, pitch and roll, in any case and with any separators."""
    places = {re.sub(r"[^a-z]", "", name.lower()): place for place, name in reversed(list(enumerate(names)))}
    return {
        joint: tuple(places[name.lower()] for name in three)
        for joint, three in ANGLES.items()
        if all(name.lower() in places for name in three)
    }


def quaternion_columns(names: Sequence[str]) -> tuple[int, ...] | None:
    """The columns x, y, z, w of the head's quaternion; None: there is none, or more than one may be it."""
    found: dict[str, dict[str, int]] = {}
    for place, name in enumerate(names):
        parts = _QUATERNION.fullmatch(name.strip())
        if parts and _HEAD.search(parts[1]) and not _NOT_HEAD.search(parts[1]):
            found.setdefault(parts[1].lower(), {})[parts[2].lower()] = place
    whole = [[axes[axis] for axis in "xyzw"] for axes in found.values() if len(axes) == 4]
    return tuple(whole[0]) if len(whole) == 1 else None


def set_quaternions(rows: Rows, quats: Floats, notes: list[str]) -> bool:
    """Set the head's rotation from quaternions [T,4], xyzw, if they are some; returns whether they are."""
    length = np.linalg.norm(quats, axis=1)
    seen = np.ones(len(quats), bool) if rows.has_face is None else rows.has_face
    if not (np.abs(length[seen] - 1) < _UNIT).all():
        return False
    unit = np.where(seen[:, None], quats, [0.0, 0.0, 0.0, 1.0])
    rows.joint_rot[ROOT] = quat_to_rotvec(unit[:, [3, 0, 1, 2]])
    notes.append(f"the head's rotation is read from a quaternion x, y, z, w {_ARKIT_AXES}")
    return True


def set_matrices(rows: Rows, matrices: Floats, notes: list[str]) -> bool:
    """Set the head's rotation from matrices [T,4,4], in rows or in columns, if it is certain; returns whether it is."""
    seen = np.ones(len(matrices), bool) if rows.has_face is None else rows.has_face
    chosen = matrices[seen]
    in_rows = (np.abs(chosen[:, 3, :3]) < 1e-6).all() and (np.abs(chosen[:, 3, 3] - 1) < 1e-6).all()
    in_columns = (np.abs(chosen[:, :3, 3]) < 1e-6).all() and (np.abs(chosen[:, 3, 3] - 1) < 1e-6).all()
    if in_rows == in_columns:  # without a translation both fit
        return False
    rotations = matrices[:, :3, :3] if in_rows else matrices[:, :3, :3].transpose(0, 2, 1)
    scale = np.cbrt(np.abs(np.linalg.det(rotations)))
    rotations = rotations / np.where(scale > 0, scale, 1)[:, None, None]
    identity = rotations @ rotations.transpose(0, 2, 1)
    if (np.abs(identity[seen] - np.eye(3)) > _UNIT).any() or (np.linalg.det(rotations[seen]) < 0).any():
        return False
    rows.joint_rot[ROOT] = np.where(seen[:, None], log_rotation(rotations), 0.0)
    notes.append(f"the head's rotation is read from a matrix {_ARKIT_AXES}; its position is not read")
    return True


def _in_radians(where: str, joints: Sequence[int], angles: Floats, by_weights: bool, notes: list[str]) -> Floats:
    """The angles [T,J,3], converted where they can only be degrees; notes those that are farther than a head turns."""
    if not angles.size:
        return angles
    sizes = np.abs(angles)
    largest = sizes.max((0, 2))
    names = [ANGLES[joint][int(sizes[:, place].max(0).argmax())] for place, joint in enumerate(joints)]
    used = [name for name, joint in zip(names, joints, strict=True) if joint == ROOT or not by_weights]
    degrees = in_degrees(where, dict(zip(names, sizes.max(2).T, strict=True)), notes, used)
    name, most = names[int(largest.argmax())], float(largest.max())
    if degrees:
        notes.append(
            f"{name} reaches {most:.3g}, which is no angle in radians: the angles of head and eyes are read as degrees"
        )
        return np.where([[[name in degrees] for name in names]], np.radians(angles), angles)
    if FARTHEST < most <= TURN:
        notes.append(
            f"{name} reaches {most:.3g} radians, {np.degrees(most):.0f} degrees, farther than a face turns: if the "
            "file has degrees, divide its angles by 57.29578"
        )
    return angles


def set_angles(where: str, rows: Rows, joints: Mapping[int, object], angles: Floats, notes: list[str]) -> None:
    """Set the rotations of the head from its angles; those of the eyes only if all eyeLook weights are 0.

    Args:
        where: start of error messages.
        rows: frames, whose rotations are set.
        joints: the joints that have angles, in their order.
        angles: [T,3J] yaw, pitch and roll of each joint, radians or degrees.
        notes: notes are appended.

    Raises:
        HeadsplatError: some joints have degrees, and others may have either unit.
    """
    weighted = [i for i, name in enumerate(rows.names) if name in LOOKS]
    by_weights = bool(rows.weights[:, weighted].any())
    apart = angles.reshape(len(angles), len(joints), 3)
    angles = _in_radians(where, list(joints), apart, by_weights, notes).reshape(angles.shape)
    for index, joint in enumerate(joints):
        of_joint = angles[:, 3 * index : 3 * index + 3]
        if joint == ROOT:
            rows.joint_rot[joint] = angles_to_rotvec(of_joint, HEAD_SIGNS)
            if not of_joint.any():
                notes.append("the head's angles are all 0: the head does not move")
        elif not by_weights and of_joint.any():
            rows.joint_rot[joint] = angles_to_rotvec(of_joint, EYE_SIGNS)
    if by_weights and {LEFT_EYE, RIGHT_EYE} & set(joints):
        difference = np.degrees(_gaze_difference(rows, joints, angles))
        if difference >= _SAME_GAZE:
            notes.append(
                "gaze is read from the eyeLook weights; the file's eye angles differ from it by up to "
                f"{difference:.1f} degrees and are ignored"
            )
    elif {LEFT_EYE, RIGHT_EYE} & set(rows.joint_rot):
        notes.append("gaze is read from the eye angles, since all eyeLook weights are 0")


def _gaze_difference(rows: Rows, joints: Mapping[int, object], angles: Floats) -> float:
    """Largest difference in radians between eye angles and the rotations by weights, over frames with a face."""
    rest = np.zeros((len(rows.time), len(JOINT_NAMES), 3))
    gaze = total_rotations(rows.names, rows.weights, rest)
    seen = slice(None) if rows.has_face is None else rows.has_face
    largest = 0.0
    for index, joint in enumerate(joints):
        if joint != ROOT:
            yaw_pitch = angles[:, 3 * index : 3 * index + 2] * EYE_SIGNS[[1, 0]]
            difference = np.abs(yaw_pitch - gaze[:, joint, 1::-1])[seen]
            largest = max(largest, float(difference.max(initial=0.0)))
    return largest
