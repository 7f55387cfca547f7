"""What a live protocol says about packets that arrive and drive nothing."""

from __future__ import annotations

import logging
import socket
import struct
import time
from pathlib import Path

import pytest

from capture.live.protocols import PROTOCOLS, UdpSource, unused
from capture.live.protocols.packet_order import PacketReceiver
from tests.support import face_sender
from tests.support.face_sender import MotionFile, bone, bundle, osc

A, B = ("127.0.0.1", 1), ("127.0.0.2", 2)
APPLY = osc("/VMC/Ext/Blend/Apply")
#: Of the newer format of Live Link Face, as far as its version is concerned.
NEWER = struct.pack("<HH", 1, 6) + b"iPhone" + bytes(40)


def reported(protocol: str, *packets: bytes, seconds: float = 3.5) -> str:
    """The sentence after these packets were sent again and again for some seconds."""
    receiver = PacketReceiver(PROTOCOLS[protocol].make_decoder)
    for frame in range(int(seconds * 30) + 1):
        for packet in packets:
            receiver.receive(packet, A, frame / 30)
    return receiver.stats(seconds)["unused"]


@pytest.mark.parametrize(
    ("protocol", "packet", "expected"),
    [
        ("livelink", NEWER, "version 1, not 6, the newer format of the app: choose its ARKit mode"),
        ("livelink", b"\x05abcd", "(version 5, not 6)"),
        ("livelink", b"jawOpen-50|", "(version 106, not 6)"),
        ("ifacialmocap", b"foo-3|bar-4", "(no ARKit expression names)"),
        ("vmc", b"jawOpen-50|", "packets arrive that cannot be read"),
        ("vmc", osc("/VMC/Ext/OK", 1), "packets arrive, and no expressions in them"),
        ("vmc", bundle(osc("/VMC/Ext/Blend/Val", "Cry", 1.0), APPLY), "has a name that headsplat knows (Cry)"),
        ("vmc", bundle(bone("Head", face_sender.np.zeros(3)), APPLY), "poses arrive without expressions"),
        ("vmc", bundle(osc("/VMC/Ext/OK", 1, 3, 0, 0), osc("/VMC/Ext/Blend/Val", "A", 1.0), APPLY), "tracks no face"),
        ("ifacialmocap", b"trackingStatus-0|jawOpen-1|", "tracks no face"),
    ],
)
def test_the_reason_is_told_after_three_seconds(protocol: str, packet: bytes, expected: str) -> None:
    assert expected in reported(protocol, packet)
    assert reported(protocol, packet, seconds=2.5) == ""


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_usable_poses_need_no_sentence_and_end_one(protocol: str, motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    receiver = PacketReceiver(PROTOCOLS[protocol].make_decoder)
    for frame in range(120):
        receiver.receive(b"bad", A, frame / 30)
    assert receiver.stats(4.0)["unused"]
    receiver.receive(face_sender.ENCODERS[protocol](motion, 0), A, 4.0)
    assert receiver.stats(4.0)["unused"] == ""


def test_a_sentence_ends_when_nothing_arrives_any_more() -> None:
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    for frame in range(120):
        receiver.receive(NEWER, A, frame / 30)
    assert receiver.stats(4.0)["unused"] and not receiver.stats(8.0)["unused"]


def test_another_subject_and_another_sender_are_named_while_the_first_has_no_face(motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    for frame in range(59):
        now = frame / 12
        receiver.receive(face_sender.live_link(motion, frame, "Alice", face=False), A, now)
        for _ in range(2):
            receiver.receive(face_sender.live_link(motion, frame, "Bob"), A, now)
    assert receiver.stats(5.0)["unused"].startswith(f"poses of Bob/{face_sender.SUBJECT} arrive and are not used while")
    for frame in range(59):
        for _ in range(3):
            receiver.receive(face_sender.live_link(motion, frame, "Alice"), B, 5 + frame / 30)
        receiver.receive(face_sender.live_link(motion, frame, "Alice", face=False), A, 5 + frame / 30)
    assert receiver.stats(7.0)["unused"].startswith("poses of 127.0.0.2 arrive and are not used")


def test_a_detail_of_a_packet_cannot_control_the_terminal() -> None:
    found = reported("vmc", bundle(osc("/VMC/Ext/Blend/Val", "\x1b[31mCry\n", 1.0), APPLY))
    assert "\\x1b[31mCry\\n" in found and found.isprintable()


def test_the_console_says_it_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(unused, "TOLD_AFTER", 0.2)
    source = UdpSource(PROTOCOLS["livelink"], port=0)
    source.start()
    try:
        with caplog.at_level(logging.WARNING), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            end = time.monotonic() + 10
            while not caplog.messages and time.monotonic() < end:
                sender.sendto(NEWER, ("127.0.0.1", source.port))
                time.sleep(0.02)
            for _ in range(20):
                sender.sendto(NEWER, ("127.0.0.1", source.port))
                time.sleep(0.02)
    finally:
        source.stop()
    (message,) = caplog.messages
    assert message.startswith("Live Link Face: packets arrive that cannot be read (version 1, not 6")
