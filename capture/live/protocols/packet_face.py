"""The face in one packet of any protocol, and its conversion to a sample's parts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from avatar.driving.live.samples import Floats
from avatar.head.arkit import ARKIT_52
from avatar.motion.files.gaze import LOOKS
from avatar.motion.files.names import common_name
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from .unused import Reason

#: Largest valid weight; a sender of percent where 0..1 is expected gets that in the reason.
MAX_WEIGHT = 10.0
#: Largest valid angle (radians) and position (meters).
MAX_VALUE = 1e3
#: Longest name of an expression or a bone.
MAX_NAME = 64

_COLUMNS = {name: column for column, name in enumerate(ARKIT_52)}
_GAZE = [_COLUMNS[name] for name in LOOKS]
_JAW = [_COLUMNS[name] for name in ("jawOpen", "jawLeft", "jawRight")]
_EYES = [LEFT_EYE, RIGHT_EYE]


@dataclass(frozen=True)
class Malformed:
    """A packet that could not be decoded; the reason quotes a few characters of it at most."""

    reason: str


@dataclass(frozen=True, eq=False)
class Face:
    """A face as one packet describes it, in our axes; gaze and jaw may be in weights and angles (GazeDeduplicator)."""

    weights: Floats  # [52] in the order of ARKIT_52
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats = field(default_factory=lambda: np.zeros(3, np.float32))  # [3] meters
    confidence: float = 1.0  # 0 where the sender tracked no face
    stream: str = ""  # which of a sender's streams, where the protocol names them
    source_time: float | None = None  # seconds of the sender's clock
    ignored: tuple[str, ...] = ()  # names that are not ARKit's
    has_expressions: bool = True  # whether it has one with a known name
    doubt: Reason | None = None  # why the values cannot be meant as they are


@lru_cache(maxsize=1024)
def _column_of(name: str) -> int | None:
    return _COLUMNS.get(common_name(name))


def arkit_weights(values: Iterable[tuple[str, float]]) -> tuple[Floats, tuple[str, ...]] | Malformed:
    """Weights [52] from names and values, and the names that are not ARKit's.

    Names may be in any case and have `_L` and `_R` for the sides; missing ones are 0.
    """
    weights = np.zeros(len(ARKIT_52), np.float32)
    ignored = []
    for name, value in values:
        column = _column_of(name) if len(name) <= MAX_NAME else None
        if column is None:
            ignored.append(name[:MAX_NAME])
        elif not abs(value) <= MAX_WEIGHT:
            return Malformed(f"{ARKIT_52[column]} is {value:g}, not a valid weight")
        else:
            weights[column] = value
    return weights, tuple(ignored)


def resting_joints() -> Floats:
    """Joint rotations [5,3], all zero."""
    return np.zeros((len(JOINT_NAMES), 3), np.float32)


class GazeDeduplicator:
    """The joint rotations of one sender's faces, without those that the weights contain already.

    As in files (avatar.motion.files.gaze) the weights define gaze and jaw; angles go to the joints only until one of
    these weights was not 0. That is remembered: eyes whose weights are all 0 in one frame must not jump to angles,
    which have an offset.
    """

    def __init__(self) -> None:
        self._gaze_in_weights = self._jaw_in_weights = False

    def __call__(self, face: Face) -> Floats:
        """Joint rotations [5,3] of the next face."""
        self._gaze_in_weights = self._gaze_in_weights or bool(face.weights[_GAZE].any())
        self._jaw_in_weights = self._jaw_in_weights or bool(face.weights[_JAW].any())
        joints = face.joint_rot.copy()
        if self._gaze_in_weights:
            joints[_EYES] = 0
        if self._jaw_in_weights:
            joints[JAW] = 0
        return joints
