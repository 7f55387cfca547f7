"""Packets of iFacialMocap and Facemotion3D: text.

    name-12|...|=head#rx,ry,rz,px,py,pz|rightEye#rx,ry,rz|leftEye#rx,ry,rz|

Version 2 has `&` in the place of the first `-`, so that values may be negative. Weights are 0..100, angles degrees:
the maker's description says so, and that the phone begins to send when it gets GREETING. `trackingStatus-0` is sent
by some versions while no face is seen.

Axes, from the example packets of that description: the left eye's y is negative where eyeLookIn_L is positive, the
right eye's positive where eyeLookIn_R is (a turn to the person's left is positive), x positive where eyeLookDown is;
the head stands at z = -0.66, a hand-held phone's distance in meters before a camera that looks along -z. Those are our
axes as they are. The order is R = Ry Rx Rz: tan z = sin x tan y holds for every eye there to four digits, which no
other order explains by an up that does not lean; a public receiver takes heads apart in that order and with these
signs. That head and eyes share one frame of axes, and that the place is that of the point the head turns about, are
assumptions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT

from .face import MOST_MOVE, Face, Refused, arkit_weights, still

PORT = 49983
GREETING = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719|sendDataVersion=v2"
#: Entry -> joint, and how many numbers it has.
_TURNING = {"head": (ROOT, 6), "righteye": (RIGHT_EYE, 3), "lefteye": (LEFT_EYE, 3)}
_STATUS = "trackingstatus"


class _Broken(Exception):
    """A packet that is none; its text is the reason."""


def parse_ifacialmocap(data: bytes) -> Face | Refused:
    """The face in one packet of either version, or why there is none."""
    try:
        return _face(data.decode("utf-8"))
    except UnicodeDecodeError:
        return Refused("not text")
    except _Broken as broken:
        return Refused(str(broken))


def _face(text: str) -> Face | Refused:
    values, joints, place, confidence = [], still(), np.zeros(3, np.float32), 1.0
    for name, numbers in _entries(text):
        if name.lower() in _TURNING:
            joint, count = _TURNING[name.lower()]
            if len(numbers) != count:
                raise _Broken(f"{name} with {len(numbers)} numbers, expected {count}")
            x, y, z = numbers[:3]
            joints[joint] = Rotation.from_euler("YXZ", [y, x, z], degrees=True).as_rotvec()
            place = np.array(numbers[3:], np.float32) if joint == ROOT else place
        elif name.lower() == _STATUS:
            confidence = float(numbers[0] != 0)
        elif len(numbers) == 1:
            values.append((name, numbers[0] / 100))
    told = arkit_weights(values)
    if isinstance(told, Refused):
        return told
    if len(told[1]) == len(values):
        raise _Broken("no ARKit expression among its names")
    return Face(told[0], joints, place, confidence, ignored=told[1])


def _entries(text: str) -> Iterator[tuple[str, list[float]]]:
    """Name and numbers of every entry."""
    for entry in text.split("|"):
        entry = entry.strip().removeprefix("=")
        if not entry:
            continue
        separator = next((mark for mark in "#&-" if mark in entry), None)
        if separator is None:
            raise _Broken(f"an entry {entry[:20]!r} without a value")
        name, _, rest = entry.partition(separator)
        yield name.strip(), [_number(cell) for cell in rest.split(",")]


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not abs(value) <= MOST_MOVE or "_" in cell:
        raise _Broken(f"{cell[:20]!r} in the place of a number")
    return value
