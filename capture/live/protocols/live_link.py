"""Packets of Live Link Face, version 6, big-endian.

    u8 6 | i32 n, device id | i32 n, subject | i32 frame | f32 subframe | i32 fps numerator | i32 denominator |
    u8 61 | 61 x f32

Both texts have any length (ids of 36 and 37 characters exist). Without a face the packet ends before the 61, or has 0
there. The values are Apple's 52 weights in the order of ARKIT_52, then yaw, pitch, roll of head, left and right eye.
This is what public receivers and senders use. Assumption: the angles are radians as in the app's CSV files, with the
signs of `avatar.motion.files.angles`, since both come from the same app.

What is sent: a device id of 36 characters, because public receivers read one of this length, and frames of 1/60 s since
midnight, as the app's timecode by default.

The app's newer format is recognized, not read. It is little-endian: u16 version | u16 n, subject | the frame time | u16
values of controls | 6 x f32, head pose. Which controls these are is not in the packet: the app reports their names to
Unreal Engine over TCP (port 14785), before it sends.
"""

from __future__ import annotations

import math
import struct
import time
import uuid

import numpy as np

from avatar.head.arkit import ARKIT_52
from avatar.motion.files.angles import EYE_SIGNS, HEAD_SIGNS, angles_to_rotvec, rotvec_to_angles
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT

from .packet_face import MAX_VALUE, MAX_WEIGHT, Face, Malformed, resting_joints
from .unused import Reason

PORT = 11111
VERSION = 6
_COUNT = 61
_JOINTS = [ROOT, LEFT_EYE, RIGHT_EYE]
_SIGNS = np.stack([HEAD_SIGNS, EYE_SIGNS, EYE_SIGNS])
_ANGLES = list(zip(_JOINTS, _SIGNS, strict=True))
_MAX_ID = 1024
_TIME = struct.Struct(">ifii")
#: Of packets that are sent: the name that Unreal Engine shows, frames per second, and steps of a frame.
SUBJECT = "headsplat"
_RATE = 60
_STEPS = 1 << 16
#: Of the newer format: version and bytes of the subject; bytes of the head pose.
_NEWER = struct.Struct("<HH")
_HEAD_POSE = 6 * 4


def parse_live_link(data: bytes) -> Face | Malformed:
    """The face in one packet."""
    if not data or data[0] != VERSION:
        return Malformed(_version(data) if data else "empty")
    ids = []
    at = 1
    for what in ("device id", "subject"):
        size = int.from_bytes(data[at : at + 4], "big", signed=True)
        if not (0 <= size <= _MAX_ID and at + 4 + size <= len(data)):
            return Malformed(f"{what} of {size} bytes in a packet of {len(data)}")
        ids.append(data[at + 4 : at + 4 + size].decode("utf-8", "replace"))
        at += 4 + size
    if len(data) < at + _TIME.size:
        return Malformed("truncated before its frame time")
    frame, subframe, rate, per = _TIME.unpack_from(data, at)
    if not (rate > 0 and per > 0 and abs(subframe) <= MAX_VALUE):
        return Malformed(f"a frame time of {frame}+{subframe:g} at {rate}/{per}")
    values = _values(data[at + _TIME.size :])
    if isinstance(values, Malformed):
        return values
    return _face(values, "/".join(ids), (frame + subframe) * per / rate)


def _version(data: bytes) -> str:
    """What a packet of another version is."""
    mode = ", the newer format of the app: choose its ARKit mode" if _is_newer(data) else ""
    return f"version {data[0]}, not {VERSION}{mode}"


def _is_newer(data: bytes) -> bool:
    """Whether a packet is of the newer format, as far as its version, its subject and its length show."""
    version, size = _NEWER.unpack_from(data) if len(data) >= _NEWER.size else (0, 0)
    text = data[_NEWER.size : _NEWER.size + size]
    rest = len(data) - _NEWER.size - size - _TIME.size
    return 0 < version < 256 and 0 < size <= _MAX_ID and rest >= _HEAD_POSE and b"\0" not in text


def _values(rest: bytes) -> np.ndarray | Malformed | None:
    """The 61 values; None without a face."""
    if rest in (b"", b"\0"):
        return None
    if rest[0] != _COUNT or len(rest) != 1 + 4 * _COUNT:
        return Malformed(f"{rest[0]} values in {len(rest) - 1} bytes, expected {_COUNT} in {4 * _COUNT}")
    values = np.frombuffer(rest, ">f4", offset=1).astype(np.float32)
    weights = values[: len(ARKIT_52)]
    angles = values[len(ARKIT_52) :]
    if not (np.abs(weights) <= MAX_WEIGHT).all() or not (np.abs(angles) <= MAX_VALUE).all():
        return Malformed("a value outside the range of weights or angles")
    return values


def _face(values: np.ndarray | None, stream: str, seconds: float) -> Face:
    joints = resting_joints()
    if values is None:
        return Face(np.zeros(len(ARKIT_52), np.float32), joints, confidence=0.0, stream=stream, source_time=seconds)
    angles = values[len(ARKIT_52) :].reshape(3, 3).astype(np.float64)
    joints[_JOINTS] = angles_to_rotvec(angles, _SIGNS)
    doubt: Reason | None = "degrees" if np.abs(angles).max() > 2 * math.pi else None
    return Face(values[: len(ARKIT_52)], joints, stream=stream, source_time=seconds, doubt=doubt)


class LiveLinkEncoder:
    """Makes the packets of one device."""

    def __init__(self) -> None:
        texts = (str(uuid.uuid4()).upper(), SUBJECT)
        self._ids = b"".join(len(text).to_bytes(4, "big") + text.encode("ascii") for text in texts)
        now = time.localtime()
        self._midnight = 3600 * now.tm_hour + 60 * now.tm_min + now.tm_sec  # seconds since then, at the start

    def __call__(self, face: Face) -> list[bytes]:
        """The packet of a face; without a face it ends before the values."""
        steps = round((self._midnight + (face.source_time or 0.0)) * _RATE * _STEPS)
        frame, step = divmod(steps, _STEPS)
        packet = bytes([VERSION]) + self._ids + _TIME.pack(frame, step / _STEPS, _RATE, 1)
        if face.confidence <= 0:
            return [packet]
        angles = np.stack([rotvec_to_angles(face.joint_rot[None, joint], signs)[0] for joint, signs in _ANGLES])
        values = np.concatenate([face.weights, angles.ravel()])
        return [packet + bytes([_COUNT]) + values.astype(">f4").tobytes()]
