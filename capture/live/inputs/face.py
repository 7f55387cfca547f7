"""What one packet of any protocol says of a face, and how it becomes part of a Sample."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from avatar.head.arkit import ARKIT_52
from avatar.motion.files.gaze import LOOKS
from avatar.motion.files.names import common_name
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

Floats = NDArray[np.float32]

#: No tracker's weight is larger; who sends percents where 0..1 is due learns it from the reason.
MOST_WEIGHT = 10.0
#: Of angles (radians) and places (meters).
MOST_MOVE = 1e3
#: No name of an expression or a bone is longer.
LONGEST_NAME = 64

_PLACES = {name: place for place, name in enumerate(ARKIT_52)}
_LOOKS = [_PLACES[name] for name in LOOKS]
_JAW = [_PLACES[name] for name in ("jawOpen", "jawLeft", "jawRight")]
_EYES = [LEFT_EYE, RIGHT_EYE]


@dataclass(frozen=True)
class Refused:
    """Why a packet was not understood, in a few words; never a whole packet's content."""

    reason: str


@dataclass(frozen=True, eq=False)
class Face:
    """A face as one packet has it: rotations in our axes, but gaze and jaw perhaps said twice (see OneGaze)."""

    weights: Floats  # [52] in the order of ARKIT_52
    joint_rot: Floats  # [5,3] axis-angle radians
    translation: Floats = field(default_factory=lambda: np.zeros(3, np.float32))  # [3] meters
    confidence: float = 1.0  # 0 where the sender saw no face
    stream: str = ""  # which of one sender's streams, where the protocol names them
    source_time: float | None = None  # seconds of the sender's clock
    ignored: tuple[str, ...] = ()  # names that are none of ARKit's


@lru_cache(maxsize=1024)
def _place_of(name: str) -> int | None:
    return _PLACES.get(common_name(name))


def arkit_weights(values: Iterable[tuple[str, float]]) -> tuple[Floats, tuple[str, ...]] | Refused:
    """Weights [52] of names in any case, `_L` and `_R` for the sides; the names that are none; what is unsaid is 0."""
    weights, ignored = np.zeros(len(ARKIT_52), np.float32), []
    for name, value in values:
        place = _place_of(name) if len(name) <= LONGEST_NAME else None
        if place is None:
            ignored.append(name[:LONGEST_NAME])
        elif not abs(value) <= MOST_WEIGHT:
            return Refused(f"{ARKIT_52[place]} is {value:g}, which no weight is")
        else:
            weights[place] = value
    return weights, tuple(ignored)


def still() -> Floats:
    """Joints [5,3] at rest."""
    return np.zeros((len(JOINT_NAMES), 3), np.float32)


class OneGaze:
    """The joints of one sender's faces, so that nothing turns twice.

    As in files (avatar.motion.files.gaze) the weights are the gaze and the jaw; angles go to the joints only as long
    as no such weight has moved. That is remembered: eyes whose weights are all 0 for a frame must not jump to angles
    that have an offset of their own.
    """

    def __init__(self) -> None:
        self._looks = self._chews = False

    def __call__(self, face: Face) -> Floats:
        """Joints [5,3] of the next face: what its weights do not turn already."""
        self._looks = self._looks or bool(face.weights[_LOOKS].any())
        self._chews = self._chews or bool(face.weights[_JAW].any())
        joints = face.joint_rot.copy()
        if self._looks:
            joints[_EYES] = 0
        if self._chews:
            joints[JAW] = 0
        return joints
