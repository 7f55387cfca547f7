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


def newer(subject: bytes = b"iPhone", version: int = 1, controls: int = 3) -> bytes:
    """A packet of the newer format of Live Link Face."""
    time_code = struct.pack("<ifii", 7, 0, 60, 1)
    return struct.pack(f"<HH{len(subject)}s16sH{controls}H6f", version, len(subject), subject, time_code, controls,
                       *range(controls), *[0.0] * 6)  # fmt: skip


NEWER = newer()


def live_link_of(turn: float, weight: float = 0.1) -> bytes:
    """A packet of Live Link Face whose head has this yaw."""
    texts = b"".join(struct.pack(">i", len(text)) + text for text in (b"id", b"iPhone"))
    values = [weight] * 52 + [turn] + [0.0] * 8
    return b"\x06" + texts + struct.pack(">ifiiB61f", 7, 0, 60, 1, 61, *values)


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
        ("livelink", newer("Zoë".encode(), 2, 251), "version 2, not 6, the newer format of the app: choose"),
        ("livelink", b"\x05abcd", "(version 5, not 6)"),
        ("livelink", b"jawOpen-50|", "(version 106, not 6)"),
        ("ifacialmocap", b"foo-3|bar-4", "(no ARKit expression names)"),
        ("vmc", b"jawOpen-50|", "packets arrive that cannot be read"),
        ("vmc", osc("/VMC/Ext/OK", 1), "packets arrive, and no expressions in them"),
        ("vmc", bundle(osc("/VMC/Ext/Blend/Val", "Cry", 1.0), APPLY), "has a name that headsplat knows (Cry)"),
        ("vmc", bundle(bone("Head", face_sender.np.zeros(3)), APPLY), "poses arrive without expressions"),
        ("vmc", bundle(osc("/VMC/Ext/OK", 1, 3, 0, 0), osc("/VMC/Ext/Blend/Val", "A", 1.0), APPLY), "tracks no face"),
        ("ifacialmocap", b"trackingStatus-0|jawOpen-1|", "tracks no face"),
        ("livelink", live_link_of(0.0, weight=0.0), "all of their weights are 0"),
        ("ifacialmocap", b"jawOpen&0|eyeBlink_L&0|", "all of their weights are 0"),
        ("vmc", bundle(osc("/VMC/Ext/Blend/Val", "A", 0.0), APPLY), "all of their weights are 0"),
        ("vmc", osc("/avatar/parameters/v2/JawOpen", 0.5), "(OSC, but not of VMC: /avatar/parameters/v2/JawOpen)"),
        ("ifacialmocap", b"jawOpen&0.4|eyeBlink_L&1|", "never exceed 1, where 0 to 100 is expected"),
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


def test_packets_that_are_dropped_between_usable_ones_are_named(motion_file: Path) -> None:
    """Percent where 0 to 1 is expected: the first frames of a smile can be read."""
    small, large = (bundle(osc("/VMC/Ext/Blend/Val", "jawOpen", value), APPLY) for value in (4.0, 57.0))
    assert "some of the packets that arrive cannot be read and are dropped ('jawOpen' is 57.0, not a valid weight)" in (
        reported("vmc", small, large)
    )
    assert reported("vmc", small) == ""


def test_a_face_at_rest_after_it_has_moved_needs_no_sentence() -> None:
    receiver = PacketReceiver(PROTOCOLS["ifacialmocap"].make_decoder)
    for frame in range(300):
        receiver.receive(b"jawOpen&%d|eyeBlink_L&0|" % (30 * (frame == 1)), A, frame / 30)
    assert receiver.stats(10.0)["unused"] == ""


def test_a_sentence_ends_when_nothing_arrives_any_more() -> None:
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    for frame in range(120):
        receiver.receive(NEWER, A, frame / 30)
    assert receiver.stats(4.0)["unused"] and not receiver.stats(8.0)["unused"]


def test_another_subject_and_another_sender_are_named_while_the_first_drives(motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    bob = f"poses of Bob/{face_sender.SUBJECT} arrive and are not used while another sender or subject sends"
    for frame in range(59):
        now = frame / 12
        assert receiver.receive(face_sender.live_link(motion, frame, "Alice"), A, now) is not None
        assert receiver.receive(face_sender.live_link(motion, frame, "Bob"), A, now) is None
        assert receiver.stats(now)["unused"].startswith(bob) == (now >= 3)
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    for frame in range(59):
        now = frame / 12
        receiver.receive(face_sender.live_link(motion, frame, "Alice", face=False), A, now)
        receiver.receive(face_sender.live_link(motion, frame, "Alice"), B, now)
    found = receiver.stats(5.0)["unused"]
    assert "tracks no face" in found and "poses of 127.0.0.2:2 arrive and are not used" in found


def test_a_subject_that_ends_is_named_no_longer(motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    receiver = PacketReceiver(PROTOCOLS["livelink"].make_decoder)
    for frame in range(59):
        now = frame / 8
        receiver.receive(face_sender.live_link(motion, frame, "Alice"), A, now)
        if now < 4:
            receiver.receive(face_sender.live_link(motion, frame, "Bob"), A, now)
    assert receiver.stats(4.0)["unused"] and not receiver.stats(7.3)["unused"]


def test_whole_percent_up_to_one_are_a_resting_face() -> None:
    assert reported("ifacialmocap", b"jawOpen&1|eyeBlink_L&0|") == ""


def test_angles_in_degrees_are_named_though_some_poses_look_right() -> None:
    packets = [live_link_of(turn) for turn in (2.0, 20.0)]
    assert "above one turn in radians, as degrees are: let the sender send radians" in reported("livelink", *packets)
    assert reported("livelink", live_link_of(0.4)) == ""


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
