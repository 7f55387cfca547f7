"""VMC: blend shapes and bones of a VRM character as OSC messages.

From the protocol's description: `/VMC/Ext/Blend/Val (name)(value)` any number of times, then `/VMC/Ext/Blend/Apply`
applies them; `/VMC/Ext/Bone/Pos (name)(x y z)(qx qy qz qw)` is a bone's pose relative to its parent; `/VMC/Ext/T` is
the sender's clock; the fourth number of `/VMC/Ext/OK` is 0 while nothing is tracked. Values are valid until they are
sent again. Models without ARKit's shapes send VRM's presets (`vrm_presets`); many have a few of ARKit's names too, or
all of them, always 0. So presets are used until a weight of ARKit's names is not 0, and again where all are 0 for some
seconds, as after another model was loaded. Some senders leave Apply out: their frame ends where the clock or a name
comes again. Quaternions are Unity's: left-handed, x to the character's right, y up, the face along +z. Our x is to the
left, so a rotation (x, y, z, w) becomes (x, -y, -z, w).

Assumptions: the rest rotation of bones is the identity (VRM 0 and what its senders stream; bones of a VRM 1 model may
have another one), and rotations of hips, spine and chest and positions of all bones are irrelevant for the face. The
skull's rotation is that of neck and head combined, and becomes the root's, as in our tracker.

What is sent: ARKit's names in the spelling of "perfect sync" clips (JawOpen), the rotations of head and eyes, and the
clock. There is no model, so the head's whole rotation is that of its bone, the neck is left out, and the positions of
bones are 0, as the desktop app of iFacialMocap sends them: a receiver must not use them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.arkit import ARKIT_52
from avatar.motion.files.names import is_arkit
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, ROOT

from .osc import Argument, Message, encode_bundles, encode_message, parse_osc
from .packet_face import MAX_NAME, MAX_WEIGHT, Face, Malformed, arkit_weights, resting_joints
from .vrm_presets import preset_weights

PORT = 39539
_VAL = "/VMC/Ext/Blend/Val"
_APPLY = "/VMC/Ext/Blend/Apply"
_BONE = "/VMC/Ext/Bone/Pos"
_CLOCK = "/VMC/Ext/T"
_OK = "/VMC/Ext/OK"
_BONES = {"head": -1, "neck": -2, "jaw": JAW, "lefteye": LEFT_EYE, "righteye": RIGHT_EYE}
_HEAD = -1
_NECK = -2
#: Factors of xyzw from Unity's axes to ours, and from ours to Unity's.
_TO_OURS = np.array([1.0, -1.0, -1.0, 1.0])
#: Bone that is sent -> joint.
_SENT_BONES = {"Head": ROOT, "LeftEye": LEFT_EYE, "RightEye": RIGHT_EYE}
#: Of /VMC/Ext/OK: a model is loaded; it is calibrated, in the normal mode.
_LOADED = (1, 3, 0)
#: Bytes of a packet: what an Ethernet frame carries. Larger ones would be lost as soon as one of their parts is.
_MAX_PACKET = 1400
#: Minimum count of numbers after the name.
_MIN_NUMBERS = {_VAL: 1, _BONE: 7, _CLOCK: 1, _OK: 1}
#: More names than any character has; further names are ignored.
_MAX_NAMES = 1024
#: Faces without a weight of ARKit's names that is sent and not 0, after which presets are used.
_WITHOUT_ARKIT = 120
#: Frames that end without Apply before they are used: the first may be the rest of one whose start was not received.
_UNAPPLIED = 2


class VmcDecoder:
    """Decodes the packets of one sender in order: Apply completes a face from all values received before.

    For a sender that has never sent Apply the next timestamp does, or the next value of a name that the frame has.
    """

    def __init__(self) -> None:
        self._applies = False  # whether the sender sends Apply
        self._frame: set[str] = set()  # names of the frame that no Apply has completed
        self._unapplied = 0  # frames, up to _UNAPPLIED
        self._values: dict[str, float] = {}
        self._without_arkit = _WITHOUT_ARKIT  # faces since a name of ARKit was sent that is not 0
        self._is_vmc = False  # whether a message of the protocol has arrived
        self._rotations: dict[int, Rotation] = {}
        self._tracked = True
        self._clock: float | None = None

    def __call__(self, data: bytes) -> Face | Malformed | None:
        """The face of the last frame that ends in the packet; None where none ends.

        A malformed packet changes nothing.
        """
        messages = parse_osc(data)
        if isinstance(messages, Malformed):
            return messages
        for message in messages:
            if reason := _fault(message):
                return Malformed(reason)
        self._is_vmc = self._is_vmc or any(message.address.startswith("/VMC/") for message in messages)
        if messages and not self._is_vmc:
            return Malformed(f"OSC, but not of VMC: {messages[0].address[:MAX_NAME]}")
        face: Face | Malformed | None = None
        last = self._last_end(messages)
        for number, message in enumerate(messages):
            if number == last:  # of several faces in a packet only the newest is used
                face = self._face()
            if message.address in _MIN_NUMBERS:
                self._store(message.address, message.arguments)
        return face

    def _last_end(self, messages: Sequence[Message]) -> int | None:
        """The number of the message before which the last frame of the packet ends; None where none does."""
        applies = [number for number, message in enumerate(messages) if message.address == _APPLY]
        self._applies = self._applies or bool(applies)
        if self._applies:
            self._frame.clear()
            return applies[-1] if applies else None
        last = None
        for number, message in enumerate(messages):
            name = str(message.arguments[0]) if message.address == _VAL else ""
            if self._frame and (message.address == _CLOCK or name in self._frame):
                self._frame.clear()
                self._unapplied = min(self._unapplied + 1, _UNAPPLIED)
                last = number if self._unapplied == _UNAPPLIED else None
            if name and len(self._frame) < _MAX_NAMES:
                self._frame.add(name)
        return last

    def _store(self, address: str, arguments: Sequence[Argument]) -> None:
        if address == _CLOCK:
            self._clock = float(arguments[0])  # type: ignore[arg-type]
        elif address == _OK:
            self._tracked = not (len(arguments) > 3 and arguments[3] == 0)
        elif address == _VAL:
            name = str(arguments[0])
            if name in self._values or len(self._values) < _MAX_NAMES:
                self._values[name] = float(arguments[1])  # type: ignore[arg-type]
                if arguments[1] and is_arkit(name):
                    self._without_arkit = 0
        else:
            bone = _BONES.get(str(arguments[0]).lower())
            quat = np.array(arguments[4:8], np.float64)
            if bone is not None and np.linalg.norm(quat) > 1e-6:  # all zeros: a bone that the sender does not have
                self._rotations[bone] = Rotation.from_quat(quat * _TO_OURS)

    def _face(self) -> Face | Malformed:
        result = arkit_weights(self._values.items())
        if isinstance(result, Malformed):
            return result
        weights, ignored = result
        self._without_arkit += 1
        presets, others = preset_weights(self._values)
        at_rest = not weights.any() or presets.any()  # nothing that ARKit's names still hold would be lost
        if len(ignored) == len(self._values) or (self._without_arkit > _WITHOUT_ARKIT and at_rest):
            weights = presets
            ignored = tuple(name for name in ignored if name in others)
            self._values |= {name: 0.0 for name in self._values if is_arkit(name)}  # of a model shown before
        joints = resting_joints()
        rotations = dict(self._rotations)
        skull = rotations.pop(_NECK, Rotation.identity()) * rotations.pop(_HEAD, Rotation.identity())
        joints[ROOT] = skull.as_rotvec()
        for joint, rotation in rotations.items():
            joints[joint] = rotation.as_rotvec()
        # the time of one face only
        clock = self._clock
        self._clock = None
        return Face(
            weights,
            joints,
            confidence=float(self._tracked),
            source_time=clock,
            ignored=ignored,
            has_expressions=len(ignored) < len(self._values),
        )


def encode_vmc(face: Face) -> list[bytes]:
    """The packets of a face, of which the last one applies it; without a face, that none is tracked."""
    tracked = face.confidence > 0
    messages = [encode_message(_OK, *_LOADED, int(tracked))]
    if face.source_time is not None:
        messages.append(encode_message(_CLOCK, float(face.source_time)))
    if tracked:
        for bone, joint in _SENT_BONES.items():
            quat = Rotation.from_rotvec(face.joint_rot[joint]).as_quat() * _TO_OURS
            messages.append(encode_message(_BONE, bone, 0.0, 0.0, 0.0, *quat.tolist()))
        for name, weight in zip(ARKIT_52, face.weights.tolist(), strict=True):
            messages.append(encode_message(_VAL, name[0].upper() + name[1:], weight))
    return encode_bundles([*messages, encode_message(_APPLY)], _MAX_PACKET)


def _fault(message: Message) -> str | None:
    """Why a message is malformed; None where it is valid or ignored."""
    address = message.address
    arguments = message.arguments
    if address not in _MIN_NUMBERS:
        return None
    named = address in (_VAL, _BONE)
    if named and (not arguments or not isinstance(arguments[0], str) or len(arguments[0]) > MAX_NAME):
        return f"{address} without a name"
    numbers = arguments[1:] if named else arguments
    if len(numbers) < _MIN_NUMBERS[address] or not all(_is_number(value) for value in numbers):
        count = _MIN_NUMBERS[address]
        return f"{address} without its {f'{count} numbers' if count > 1 else 'number'}"
    if address == _VAL and not abs(numbers[0]) <= MAX_WEIGHT:  # type: ignore[arg-type]
        return f"{arguments[0]!r} is {numbers[0]!r:.20}, not a valid weight"
    return None


def _is_number(value: Argument) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
