"""Encoders of Live Link Face, VMC and iFacialMocap packets, and a program that sends a motion over UDP.

    python tests/support/face_sender.py PROTOCOL PORT MOTION.npz [--order 2,0,1,...] [--bad N] [--rate R]

Written from the protocols' descriptions, independently of our decoders. Needs only numpy, to start fast.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT, LEFT_EYE, RIGHT_EYE = 0, 3, 4
DEVICE, SUBJECT = "0F0F0F0F-1111-2222-3333-444444444444", "Zoë's phone"


@dataclass(frozen=True)
class MotionFile:
    """T frames of a .motion.npz."""

    names: list[str]
    time: np.ndarray  # [T] seconds
    weights: np.ndarray  # [T,E]
    joint_rot: np.ndarray  # [T,5,3]
    translation: np.ndarray  # [T,3]

    @staticmethod
    def of(path: str | Path) -> MotionFile:
        """Read a file."""
        stored = np.load(path)
        header = json.loads(stored["header"].tobytes())
        return MotionFile(header["names"], *(stored[name] for name in ("time", "weights", "joint_rot", "translation")))


def quaternion(turn: np.ndarray) -> np.ndarray:
    """xyzw [4] of axis-angle [3]."""
    angle = float(np.linalg.norm(turn))
    scale = math.sin(angle / 2) / angle if angle > 1e-12 else 0.5
    return np.array([*(scale * turn), math.cos(angle / 2)])


def matrix(turn: np.ndarray) -> np.ndarray:
    """[3,3] of axis-angle [3]."""
    x, y, z, w = quaternion(turn)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def yaw_pitch_roll(turn: np.ndarray, eye: bool) -> list[float]:
    """Radians, for R = Rx Ry Rz; the head's pitch and the eyes' yaw have the opposite sign."""
    r = matrix(turn)
    x, y, z = math.atan2(-r[1, 2], r[2, 2]), math.asin(r[0, 2]), math.atan2(-r[0, 1], r[0, 0])
    return [-y, x, z] if eye else [y, -x, z]


def euler_degrees(turn: np.ndarray) -> list[float]:
    """x, y, z in degrees for R = Ry Rx Rz."""
    r = matrix(turn)
    return [math.degrees(a) for a in (math.asin(-r[1, 2]), math.atan2(r[0, 2], r[2, 2]), math.atan2(r[1, 0], r[1, 1]))]


def live_link(motion: MotionFile, frame: int, device: str = DEVICE, face: bool = True, rate: int = 60) -> bytes:
    """A packet; its clock counts `rate` frames per second and starts at 1000 frames."""
    text = b"".join(struct.pack(">i", len(raw)) + raw for raw in (device.encode(), SUBJECT.encode()))
    whole, part = divmod(1000 + float(motion.time[frame]) * rate, 1)
    packet = b"\x06" + text + struct.pack(">ifii", int(whole), part, rate, 1)
    if not face:
        return packet
    angles = [
        angle
        for joint in (ROOT, LEFT_EYE, RIGHT_EYE)
        for angle in yaw_pitch_roll(motion.joint_rot[frame, joint], joint != ROOT)
    ]
    return packet + b"\x3d" + struct.pack(">61f", *motion.weights[frame], *angles)


def osc_text(text: str) -> bytes:
    """A string with a final zero byte, padded to four bytes."""
    raw = text.encode() + b"\0"
    return raw + b"\0" * (-len(raw) % 4)


def osc(address: str, *arguments: str | int | float) -> bytes:
    """A message."""
    tags, packed = ",", b""
    for value in arguments:
        tags += {str: "s", int: "i", float: "f"}[type(value)]
        packed += osc_text(value) if isinstance(value, str) else struct.pack(">" + tags[-1], value)
    return osc_text(address) + osc_text(tags) + packed


def bundle(*elements: bytes) -> bytes:
    """A bundle with the time tag for immediate execution."""
    return b"#bundle\0" + struct.pack(">Q", 1) + b"".join(struct.pack(">i", len(one)) + one for one in elements)


def vmc_name(name: str) -> str:
    """A name in the style of some senders: EyeBlink_L."""
    short = name
    if name not in ("jawLeft", "jawRight", "mouthLeft", "mouthRight"):
        short = name.removesuffix("Left") + "_L" if name.endswith("Left") else name
        short = name.removesuffix("Right") + "_R" if name.endswith("Right") else short
    return short[0].upper() + short[1:]


def bone(name: str, turn: np.ndarray) -> bytes:
    """A bone's pose in Unity's axes, whose x is opposite."""
    x, y, z, w = (float(value) for value in quaternion(turn))
    return osc("/VMC/Ext/Bone/Pos", name, 0.0, 0.1, 0.0, x, -y, -z, w)


def vmc(motion: MotionFile, frame: int) -> bytes:
    """A frame: a bundle of a bundle of bones and one of weights."""
    joints = zip(("Head", "LeftEye", "RightEye"), (ROOT, LEFT_EYE, RIGHT_EYE), strict=True)
    bones = [bone(name, motion.joint_rot[frame, joint]) for name, joint in joints]
    values = [
        osc("/VMC/Ext/Blend/Val", vmc_name(name), float(weight))
        for name, weight in zip(motion.names, motion.weights[frame], strict=True)
    ]
    clock = osc("/VMC/Ext/T", 5.0 + float(motion.time[frame]))
    return bundle(osc("/VMC/Ext/OK", 1), clock, bundle(*bones), bundle(*values, osc("/VMC/Ext/Blend/Apply")))


def ifacialmocap(motion: MotionFile, frame: int, version: int = 1) -> bytes:
    """A packet; version 1 has integer percent values."""
    joints, percents = motion.joint_rot[frame], 100 * motion.weights[frame]
    mark, written = ("-", "{:.0f}") if version == 1 else ("&", "{:.4f}")
    entries = [vmc_name(name)[:1].lower() + vmc_name(name)[1:] for name in motion.names]
    entries = [name + mark + written.format(value) for name, value in zip(entries, percents, strict=True)]
    head = ",".join(f"{value:.6f}" for value in [*euler_degrees(joints[ROOT]), *motion.translation[frame]])
    eyes = [",".join(f"{value:.6f}" for value in euler_degrees(joints[eye])) for eye in (RIGHT_EYE, LEFT_EYE)]
    return "|".join([*entries, f"=head#{head}", f"rightEye#{eyes[0]}", f"leftEye#{eyes[1]}", ""]).encode()


ENCODERS = {
    "livelink": live_link,
    "vmc": vmc,
    "ifacialmocap": ifacialmocap,
    "ifacialmocap2": lambda motion, frame: ifacialmocap(motion, frame, 2),
}


def malformed(packet: bytes, protocol: str) -> list[bytes]:
    """Malformed packets: truncated, empty, noise, another version, invalid numbers."""
    noise = np.random.default_rng(0).bytes(40)
    if protocol.startswith("ifacialmocap"):
        return [noise, b"", b"jawOpen", b"jawOpen-x|", b"jawOpen-50|=head#1,2|"]
    return [packet[: len(packet) // 2 + 1], noise, b"", b"\x05" + packet[1:], packet + b"\0"]


def main() -> None:
    """Print ready, wait for a line, and send the frames of --order with --bad malformed packets between them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("protocol", choices=ENCODERS)
    parser.add_argument("port", type=int)
    parser.add_argument("motion")
    parser.add_argument("--order", default="")
    parser.add_argument("--bad", type=int, default=0)
    parser.add_argument("--rate", type=float, default=400.0)
    options = parser.parse_args()
    motion = MotionFile.of(options.motion)
    order = [int(frame) for frame in options.order.split(",")] if options.order else range(len(motion.time))
    packets = [ENCODERS[options.protocol](motion, frame) for frame in order]
    for number in range(options.bad):
        bad = malformed(packets[0], options.protocol)
        packets.insert((number * 7) % len(packets) + 1, bad[number % len(bad)])
    print("ready", flush=True)
    input()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", options.port))
            time.sleep(1 / options.rate)


if __name__ == "__main__":
    main()
