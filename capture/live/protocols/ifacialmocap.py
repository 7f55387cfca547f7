"""Packets of iFacialMocap and Facemotion3D: text.

    name-12|...|=head#rx,ry,rz,px,py,pz|rightEye#rx,ry,rz|leftEye#rx,ry,rz|

Version 2 has `&` instead of the first `-`, so that values may be negative. Weights are 0..100, angles degrees,
according to the maker's description; the phone starts to send when it receives GREETING. Some versions send
`trackingStatus-0` while no face is tracked.

Axes, from the example packets of that description: the left eye's y is negative where eyeLookIn_L is positive, the
right eye's positive where eyeLookIn_R is (a rotation to the person's left is positive), x is positive where eyeLookDown
is; the head is at z = -0.66, the distance in meters of a hand-held phone from a camera that looks along -z. These are
our axes without a change. The order is R = Ry Rx Rz: tan z = sin x tan y holds for every eye in these packets to four
digits, which follows from this order for eyes that do not roll, and from no other; a public receiver decomposes head
rotations in that order with these signs. Assumptions: head and eyes use the same axes, and the position is that of the
pivot that the head turns about.

What is sent: version 1, in whole percent, which every receiver reads, with one `=` and a final `|`. Programs that greet
a phone receive on the same port without a greeting, too.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT

from .packet_face import MAX_VALUE, Face, Malformed, arkit_weights, resting_joints
from .unused import Reason

PORT = 49983
GREETING = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719|sendDataVersion=v2"
#: Entry -> joint and count of numbers.
_JOINTS = {"head": (ROOT, 6), "righteye": (RIGHT_EYE, 3), "lefteye": (LEFT_EYE, 3)}
_STATUS = "trackingstatus"
#: Names that end with a side and have no other one.
_WITHOUT_SIDE = ("jawLeft", "jawRight", "mouthLeft", "mouthRight")


class _MalformedPacket(Exception):
    """Its text is the reason."""


def parse_ifacialmocap(data: bytes) -> Face | Malformed:
    """The face in one packet of either version."""
    try:
        return _face(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Malformed("not UTF-8 text")
    except _MalformedPacket as error:
        return Malformed(str(error))


def _face(text: str) -> Face | Malformed:
    values = []
    joints = resting_joints()
    position = np.zeros(3, np.float32)
    confidence = 1.0
    for name, numbers in _entries(text):
        if name.lower() in _JOINTS:
            joint, count = _JOINTS[name.lower()]
            if len(numbers) != count:
                raise _MalformedPacket(f"{name} with {len(numbers)} numbers, expected {count}")
            x, y, z = numbers[:3]
            joints[joint] = Rotation.from_euler("YXZ", [y, x, z], degrees=True).as_rotvec()
            position = np.array(numbers[3:], np.float32) if joint == ROOT else position
        elif name.lower() == _STATUS:
            confidence = float(numbers[0] != 0)
        elif len(numbers) == 1:
            values.append((name, numbers[0] / 100))
    result = arkit_weights(values)
    if isinstance(result, Malformed):
        return result
    weights, ignored = result
    if len(ignored) == len(values):
        raise _MalformedPacket("no ARKit expression names")
    known = [value for name, value in values if name not in ignored]
    return Face(weights, joints, position, confidence, ignored=ignored, doubt=_doubt(known))


def _doubt(weights: list[float]) -> Reason | None:
    """Of weights as fractions: the app sends whole percent, so that fractions of one percent are weights up to 1."""
    percent = [100 * abs(weight) for weight in weights]
    return "percent" if max(percent) <= 1 and any(0 < value < 1 for value in percent) else None


def _entries(text: str) -> Iterator[tuple[str, list[float]]]:
    """Name and numbers of every entry."""
    for entry in text.split("|"):
        entry = entry.strip().removeprefix("=")
        if not entry:
            continue
        separator = next((mark for mark in "#&-" if mark in entry), None)
        if separator is None:
            raise _MalformedPacket(f"an entry {entry[:20]!r} without a value")
        name, _, rest = entry.partition(separator)
        yield name.strip(), [_number(cell) for cell in rest.split(",")]


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= MAX_VALUE or "_" in cell:
        raise _MalformedPacket(f"{cell[:20]!r} instead of a number")
    return value


def encode_ifacialmocap(face: Face) -> list[bytes]:
    """The packet of a face."""
    percents = np.rint(100 * np.clip(face.weights, 0, 1)).astype(int).tolist()
    entries = [f"trackingStatus-{int(face.confidence > 0)}"]
    entries += [f"{_sent_name(name)}-{percent}" for name, percent in zip(ARKIT_52, percents, strict=True)]
    head = [*_angles(face.joint_rot[ROOT]), *face.translation.tolist()]
    for name, numbers in (
        ("=head", head),
        ("rightEye", _angles(face.joint_rot[RIGHT_EYE])),
        ("leftEye", _angles(face.joint_rot[LEFT_EYE])),
    ):
        entries.append(f"{name}#{','.join(f'{number:.6f}' for number in numbers)}")
    return ["|".join([*entries, ""]).encode("ascii")]


def _sent_name(name: str) -> str:
    if name in _WITHOUT_SIDE:
        return name
    return f"{name[:-4]}_L" if name.endswith("Left") else f"{name[:-5]}_R" if name.endswith("Right") else name


def _angles(rotvec: np.ndarray) -> list[float]:
    """x, y, z in degrees of a rotation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # gimbal lock at an x of 90 degrees: any split of y and z is right
        y, x, z = Rotation.from_rotvec(rotvec).as_euler("YXZ", degrees=True).tolist()
    return [x, y, z]
