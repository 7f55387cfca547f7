"""Signals of a take besides the face: gaze and head angles, speech activity, the resting face.

Angles are degrees; positive are yaw to the left of the person, pitch up, roll toward the right shoulder.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter1d

from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT

Floats = NDArray[np.float64]

#: Eye rotation in degrees at a weight of 1: outward and inward, up, down. Those of the embedded head.
EYE_SIDE = 28.0
EYE_UP = 22.0
EYE_DOWN = 26.0
#: A resting face is not learned from fewer frames, and no weight of it exceeds this: a smile throughout stays a smile.
MIN_RESTING_FRAMES = 30
MAX_RESTING = 0.45
#: The range of a weight is not learned from less.
LEAST_RANGE = 0.15
#: Lip movement is speech if it changes direction often enough (syllables) and far enough.
SPEECH_WINDOW = 1.6  # seconds
_SYLLABLE = 0.06  # seconds, of the band-pass
_TREND = 0.5
_MIN_SWING = 0.35  # millimeters
_FEW_TURNS = 3.0  # in SPEECH_WINDOW
_MANY_TURNS = 7.0
#: Decibels over the noise floor at which sound is speech, from none to certain.
_QUIET = 6.0
_LOUD = 15.0

_GAZE = np.zeros((52, 2))
for _name, _yaw, _pitch in (
    ("eyeLookOutLeft", EYE_SIDE, 0),
    ("eyeLookInLeft", -EYE_SIDE, 0),
    ("eyeLookInRight", EYE_SIDE, 0),
    ("eyeLookOutRight", -EYE_SIDE, 0),
    ("eyeLookUpLeft", 0, EYE_UP),
    ("eyeLookUpRight", 0, EYE_UP),
    ("eyeLookDownLeft", 0, -EYE_DOWN),
    ("eyeLookDownRight", 0, -EYE_DOWN),
):
    _GAZE[ARKIT_52.index(_name)] = _yaw / 2, _pitch / 2
_OTHER = {"Left": "Right", "Right": "Left"}
#: Column of the same expression on the other side; its own where an expression has no side.
MIRROR = np.array([ARKIT_52.index(re.sub("Left$|Right$", lambda side: _OTHER[side[0]], name)) for name in ARKIT_52])
#: Turns of jaw and mouth, of which one may go farther than the other.
_TURNED = np.array([name in ("jawLeft", "jawRight", "mouthLeft", "mouthRight") for name in ARKIT_52])
_EYES = np.array([name.startswith("eyeLook") for name in ARKIT_52])


def gaze_angles(weights: ArrayLike, joint_rot: ArrayLike) -> Floats:
    """Yaw and pitch [T,2] of both eyes' mean direction relative to the head.

    Args:
        weights: [T,52].
        joint_rot: [T,J,3] axis-angle radians in addition to those of the weights.
    """
    turn = np.degrees(np.asarray(joint_rot, np.float64)[:, [LEFT_EYE, RIGHT_EYE]].mean(1))
    return np.asarray(np.asarray(weights, np.float64) @ _GAZE + turn[:, [1, 0]] * [1, -1])


def rotation_matrices(rotvec: ArrayLike) -> Floats:
    """Rotation matrices [T,3,3] of axis-angle vectors [T,3] (Rodrigues)."""
    vectors = np.asarray(rotvec, np.float64)
    angle = np.sqrt((vectors**2).sum(1))[:, None, None]
    safe = np.where(angle > 1e-12, angle, 1.0)
    cross = np.zeros((len(vectors), 3, 3))
    cross[:, 0, 1] = -vectors[:, 2]
    cross[:, 0, 2] = vectors[:, 1]
    cross[:, 1, 2] = -vectors[:, 0]
    cross -= cross.transpose(0, 2, 1)
    cross /= safe
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross))


def mean_pose(matrices: Floats) -> Floats:
    """The rotation [3,3] closest to the mean of rotations [T,3,3] (by singular values)."""
    left, _, right = np.linalg.svd(matrices.mean(0))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return np.asarray(left @ sign @ right)


def head_angles(joint_rot: ArrayLike, reference: Floats) -> Floats:
    """Yaw, pitch and roll [T,3] of the head from the pose `reference` [3,3]; `joint_rot` [T,J,3] radians."""
    matrix = rotation_matrices(np.asarray(joint_rot)[:, ROOT]) @ reference.T
    yaw = np.arctan2(matrix[:, 0, 2], matrix[:, 2, 2])
    pitch = np.arcsin(np.clip(matrix[:, 1, 2], -1, 1))  # of the direction +z of the face
    roll = np.arctan2(matrix[:, 1, 0], matrix[:, 1, 1])
    return np.degrees(np.stack([yaw, pitch, roll], 1))


def resting_face(weights: ArrayLike) -> Floats:
    """The weights [52] of the resting face, from T frames [T,52] with a face; zeros from too few frames.

    The median over the frames, at most MAX_RESTING: what a person shows in half of the frames is how the face
    is, or how the tracker sees it. The direction of the eyes is not part of it.
    """
    values = np.asarray(weights)
    if len(values) < MIN_RESTING_FRAMES:
        return np.zeros(len(ARKIT_52))
    rest = np.median(values, axis=0)
    return np.asarray(np.where(_EYES, 0.0, np.minimum(rest, MAX_RESTING)))


def without_resting(weights: ArrayLike, rest: Floats) -> Floats:
    """Weights [T,52] above those of the resting face [52], scaled so that 1 stays 1."""
    return np.asarray(np.clip((np.asarray(weights, np.float64) - rest) / (1 - rest), 0, 1))


def own_range(weights: ArrayLike) -> Floats:
    """How far each weight goes in frames [T,52], the 99th percentile; 1 for a weight that stays below LEAST_RANGE.

    Left and right of an expression have the larger of both.
    """
    reached = np.quantile(np.asarray(weights), 0.99, axis=0) if np.size(weights) else np.zeros(len(ARKIT_52))
    reached = np.where(_TURNED, reached, np.maximum(reached, reached[MIRROR]))
    return np.asarray(np.where((reached < LEAST_RANGE) | _EYES, 1.0, reached))


def frame_rate(time: Sequence[float] | Floats) -> float:
    """Median frame rate of times [T] in seconds; 30 for a single frame."""
    steps = np.diff(np.asarray(time, np.float64))
    steps = steps[steps > 0]
    return float(1 / np.median(steps)) if len(steps) else 30.0


def moving_mean(values: Floats, seconds: float, rate: float) -> Floats:
    """Centered moving mean of values [T,...] at `rate` frames per second."""
    return np.asarray(uniform_filter1d(values, max(1, round(seconds * rate)), axis=0, mode="nearest"))


def lip_speech(gap: Floats, rate: float) -> Floats:
    """Speech activity [T] 0..1 from the gap between the lips [T] in millimeters.

    Lips that speak change direction several times a second. One opening, or a smile, does not count.
    """
    band = moving_mean(gap, _SYLLABLE, rate) - moving_mean(gap, _TREND, rate)
    turns = moving_mean(_turns(band).astype(np.float64), SPEECH_WINDOW, rate) * SPEECH_WINDOW * rate
    often = np.clip((turns - _FEW_TURNS) / (_MANY_TURNS - _FEW_TURNS), 0, 1)
    return moving_mean(often, 0.4, rate)


def sound_speech(decibels: Floats, sound_time: Floats, time: Floats, lips: Floats) -> Floats:
    """Speech activity [T] from the loudness of the sound, where the lips move as well.

    Args:
        decibels: [S] level of the sound.
        sound_time: [S] seconds on the clock of `time`.
        time: [T] seconds of the frames.
        lips: [T] activity by the lips: sound with lips at rest is of somebody else.
    """
    floor = np.quantile(decibels, 0.1)
    level = np.interp(time, sound_time, np.clip((decibels - floor - _QUIET) / (_LOUD - _QUIET), 0, 1))
    heard = moving_mean(level, 0.3, frame_rate(time))
    return np.asarray(np.minimum(np.clip(1.5 * heard, 0, 1), np.clip(3 * lips, 0, 1)))


def _turns(band: Floats) -> NDArray[np.bool_]:
    """Frames [T] in which the signal passes to the other side of zero by _MIN_SWING, with hysteresis."""
    state = np.sign(band) * (np.abs(band) >= _MIN_SWING)
    at = np.flatnonzero(state)
    found = np.zeros(len(band), bool)
    if len(at) > 1:
        found[at[1:][state[at[1:]] != state[at[:-1]]]] = True
    return found


def gaze_words(yaw: float, pitch: float, least: float = 8.0) -> str:
    """Where the eyes look relative to the head: "straight ahead", "left", "up and right" (of the person)."""
    vertical = "up" if pitch > least else "down" if pitch < -least else ""
    side = "left" if yaw > least else "right" if yaw < -least else ""
    return " and ".join(word for word in (vertical, side) if word) or "straight ahead"
