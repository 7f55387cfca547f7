"""Parsers of Live Link Face, VMC and iFacialMocap packets that are sent.

Written from the protocols' descriptions and from how public receivers read them, at fixed places and without our
decoders and encoders. Each returns weights by ARKit's names, angles and the clock, as that protocol has them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

#: Apple's blend shapes in the order of the app, separated by spaces.
_SHAPES = (
    "eyeBlinkLeft eyeLookDownLeft eyeLookInLeft eyeLookOutLeft eyeLookUpLeft eyeSquintLeft eyeWideLeft eyeBlinkRight "
    "eyeLookDownRight eyeLookInRight eyeLookOutRight eyeLookUpRight eyeSquintRight eyeWideRight jawForward jawLeft "
    "jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthSmileLeft mouthSmileRight "
    "mouthFrownLeft mouthFrownRight mouthDimpleLeft mouthDimpleRight mouthStretchLeft mouthStretchRight mouthRollLower "
    "mouthRollUpper mouthShrugLower mouthShrugUpper mouthPressLeft mouthPressRight mouthLowerDownLeft "
    "mouthLowerDownRight mouthUpperUpLeft mouthUpperUpRight browDownLeft browDownRight browInnerUp browOuterUpLeft "
    "browOuterUpRight cheekPuff cheekSquintLeft cheekSquintRight noseSneerLeft noseSneerRight tongueOut"
)
SHAPES = _SHAPES.split()


def live_link(packet: bytes) -> dict[str, Any]:
    """A packet with an id of 36 characters: the values begin 17 bytes after the subject."""
    assert packet[0] == 6 and packet[1:5] == b"\0\0\0$"
    (length,) = struct.unpack(">i", packet[41:45])
    end = 45 + length
    frame, part, rate, per, count = struct.unpack(">ifiiB", packet[end : end + 17])
    values = struct.unpack(">61f", packet[end + 17 :])
    assert count == 61 and 0 <= part < 1
    return {
        "subject": packet[45:end].decode(),
        "time": (frame + part) * per / rate,
        "weights": dict(zip(SHAPES, values[:52], strict=True)),
        "head": values[52:55],  # yaw, pitch, roll in radians
        "left eye": values[55:58],
        "right eye": values[58:61],
    }


def _osc_text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(b"\0", at)
    return data[at:end].decode("ascii"), at + 4 * ((end - at) // 4 + 1)


def osc_messages(packet: bytes) -> Iterator[tuple[str, list[Any]]]:
    """Address and arguments of the messages of a bundle without bundles in it (OSC 1.0)."""
    assert packet[:16] == b"#bundle\0" + bytes(7) + b"\1" and len(packet) % 4 == 0
    at = 16
    while at < len(packet):
        (size,) = struct.unpack_from(">i", packet, at)
        element = packet[at + 4 : at + 4 + size]
        assert size == len(element) and size % 4 == 0
        at += 4 + size
        address, place = _osc_text(element, 0)
        tags, place = _osc_text(element, place)
        values: list[Any] = []
        for tag in tags[1:]:
            if tag == "s":
                text, place = _osc_text(element, place)
                values.append(text)
            else:
                values += struct.unpack_from({"i": ">i", "f": ">f"}[tag], element, place)
                place += 4
        assert tags[0] == "," and place == len(element)
        yield address, values


def vmc(packets: list[bytes]) -> dict[str, Any]:
    """The state after the packets; `weights` only where Apply came last."""
    state: dict[str, Any] = {"weights": {}, "bones": {}}
    values = {}
    for packet in packets:
        for address, arguments in osc_messages(packet):
            if address == "/VMC/Ext/Blend/Val":
                values[arguments[0][0].lower() + arguments[0][1:]] = arguments[1]
            elif address == "/VMC/Ext/Blend/Apply":
                state["weights"] = dict(values)
            elif address == "/VMC/Ext/Bone/Pos":
                state["bones"][arguments[0]] = arguments[1:]
            else:
                state[address] = arguments
    return state


def ifacialmocap(packet: bytes) -> dict[str, Any]:
    """A packet of version 1, as receivers split it."""
    text = packet.decode("ascii")
    assert text.count("=") == 1 and text.endswith("|")
    shapes, _, joints = text.partition("=")
    weights = {}
    for entry in shapes.rstrip("|").split("|"):
        name, value = entry.split("-")
        weights[name.replace("_L", "Left").replace("_R", "Right")] = int(value)
    angles = {}
    for entry in joints.rstrip("|").split("|"):
        name, numbers = entry.split("#")
        angles[name] = [float(number) for number in numbers.split(",")]
    return {"weights": weights, **angles}
