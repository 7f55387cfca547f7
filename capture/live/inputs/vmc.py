"""VMC: blend shapes and bones of a VRM character as OSC messages.

From the protocol's description: `/VMC/Ext/Blend/Val (name)(value)` any number of times, then `/VMC/Ext/Blend/Apply`
puts them in force; `/VMC/Ext/Bone/Pos (name)(x y z)(qx qy qz qw)` is a bone's pose beside its parent; `/VMC/Ext/T` is
the sender's clock; the fourth number of `/VMC/Ext/OK` is 0 while nothing is tracked. Values keep until they are sent
again. Quaternions are Unity's: left-handed, x to the character's right, y up, the face along +z. Ours has x to the
left, so a turn (x, y, z, w) becomes (x, -y, -z, w).

Assumptions: bones rest at the identity (VRM 0 and what its senders stream; bones of a VRM 1 model may rest otherwise),
and the turns of hips, spine and chest, as the places of all bones, say nothing of the face. The skull's rotation is
that of neck and head together and goes to the root, as a tracker's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, ROOT

from .face import LONGEST_NAME, MOST_WEIGHT, Face, Refused, arkit_weights, still
from .osc import Argument, Message, parse_osc

PORT = 39539
_VAL, _APPLY, _BONE = "/VMC/Ext/Blend/Val", "/VMC/Ext/Blend/Apply", "/VMC/Ext/Bone/Pos"
_CLOCK, _OK = "/VMC/Ext/T", "/VMC/Ext/OK"
_BONES = {"head": -1, "neck": -2, "jaw": JAW, "lefteye": LEFT_EYE, "righteye": RIGHT_EYE}
_HEAD, _NECK = -1, -2
_TO_OURS = np.array([1.0, -1.0, -1.0, 1.0])
#: How many numbers follow the name.
_LEAST = {_VAL: 1, _BONE: 7, _CLOCK: 1, _OK: 1}
#: More names than any character has; who sends more is not listened to.
_MOST_NAMES = 1024


class VmcStream:
    """The packets of one sender, one after another: a face comes with Apply, made of all that was said before."""

    def __init__(self) -> None:
        self._values: dict[str, float] = {}
        self._turns: dict[int, Rotation] = {}
        self._tracked = True
        self._clock: float | None = None

    def __call__(self, data: bytes) -> Face | Refused | None:
        """The face that the last Apply of the packet puts in force; None where there is none; or why it is not VMC.

        A packet that is refused changes nothing.
        """
        messages = parse_osc(data)
        if isinstance(messages, Refused):
            return messages
        for message in messages:
            if reason := _fault(message):
                return Refused(reason)
        face: Face | Refused | None = None
        last = max((place for place, message in enumerate(messages) if message.address == _APPLY), default=None)
        for place, message in enumerate(messages):
            if place == last:  # of several faces in a packet the newest is enough
                face = self._applied()
            elif message.address in _LEAST:
                self._hear(message.address, message.arguments)
        return face

    def _hear(self, address: str, arguments: Sequence[Argument]) -> None:
        if address == _CLOCK:
            self._clock = float(arguments[0])  # type: ignore[arg-type]
        elif address == _OK:
            self._tracked = not (len(arguments) > 3 and arguments[3] == 0)
        elif address == _VAL:
            name = str(arguments[0])
            if name in self._values or len(self._values) < _MOST_NAMES:
                self._values[name] = float(arguments[1])  # type: ignore[arg-type]
        else:
            bone, turn = _BONES.get(str(arguments[0]).lower()), np.array(arguments[4:8], np.float64)
            if bone is not None and np.linalg.norm(turn) > 1e-6:  # all zeros: a bone that the sender does not know
                self._turns[bone] = Rotation.from_quat(turn * _TO_OURS)

    def _applied(self) -> Face | Refused:
        told = arkit_weights(self._values.items())
        if isinstance(told, Refused):
            return told
        joints, turns = still(), dict(self._turns)
        skull = turns.pop(_NECK, Rotation.identity()) * turns.pop(_HEAD, Rotation.identity())
        joints[ROOT] = skull.as_rotvec()
        for joint, turn in turns.items():
            joints[joint] = turn.as_rotvec()
        clock, self._clock = self._clock, None  # said once, it is the time of one face
        return Face(told[0], joints, confidence=float(self._tracked), source_time=clock, ignored=told[1])


def _fault(message: Message) -> str | None:
    """What is wrong with a message that we listen to."""
    address, arguments = message.address, message.arguments
    if address not in _LEAST:
        return None
    named = address in (_VAL, _BONE)
    if named and (not arguments or not isinstance(arguments[0], str) or len(arguments[0]) > LONGEST_NAME):
        return f"{address} without a name"
    numbers = arguments[1:] if named else arguments
    if len(numbers) < _LEAST[address] or not all(_is_number(value) for value in numbers):
        return f"{address} without its {_LEAST[address]} numbers"
    if address == _VAL and not abs(numbers[0]) <= MOST_WEIGHT:  # type: ignore[arg-type]
        return f"{arguments[0]!r} is {numbers[0]!r:.20}, which no weight is"
    return None


def _is_number(value: Argument) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
