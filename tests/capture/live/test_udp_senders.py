"""Sender processes over loopback, and errors of the socket."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.driving.live.samples import Sample, SourceStats
from avatar.errors import HeadsplatError
from capture.live.protocols import PROTOCOLS, UdpSource, udp, udp_source
from capture.live.protocols.packet_face import Face, Malformed
from capture.live.protocols.packet_order import PacketReceiver
from tests.support import face_sender
from tests.support.face_sender import MotionFile

SENDER = Path(face_sender.__file__)
LIVE_LINK, VMC = PROTOCOLS["livelink"], PROTOCOLS["vmc"]
EVERY = list(range(60))
FOREVER = 1e9  # seconds


@pytest.fixture(autouse=True)
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timeouts: on a busy machine senders may pause."""
    monkeypatch.setattr(udp, "LOST_AFTER", FOREVER)


@dataclass
class Sender:
    """A process that sends frames of a motion in a given order, with malformed packets between them."""

    protocol: str
    order: Sequence[int] = tuple(EVERY)
    bad: int = 0

    def to(self, port: int, motion: Path) -> subprocess.Popen[str]:
        """Start the process."""
        order = ",".join(map(str, self.order))
        command = [
            sys.executable,
            str(SENDER),
            self.protocol,
            str(port),
            str(motion),
            "--order",
            order,
            "--bad",
            self.bad,
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen([str(part) for part in command], stdin=pipe, stdout=pipe, text=True)


def received(protocol: str, motion: Path, *senders: Sender) -> tuple[list[Sample], SourceStats]:
    """The samples that a fast reader gets, and the statistics after all senders have ended."""
    source = UdpSource(PROTOCOLS[protocol], port=0)
    source.start()
    samples: list[Sample] = []
    try:
        processes = [sender.to(source.port, motion) for sender in senders]
        for process in processes:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.close()
        total = sum(len(sender.order) + sender.bad for sender in senders)
        deadline = time.monotonic() + 20
        while not settled(source.stats(), total, len(samples)) and time.monotonic() < deadline:
            if sample := source.latest():
                samples.append(sample)
            time.sleep(0.0005)
        assert [process.wait(20) for process in processes] == [0] * len(senders)
        return samples, source.stats()
    finally:
        source.stop()


def settled(stats: SourceStats, total: int, read: int) -> bool:
    """Whether all packets have arrived, and every sample was read or replaced."""
    return stats["received"] == total and stats["samples"] == read + stats["replaced"]  # type: ignore[operator]


def frames_of(samples: list[Sample], motion: Path) -> list[int]:
    """The frame of the motion that each sample has, by weights and head rotation; gaze is not applied twice."""
    truth, frames = MotionFile.of(motion), []
    for sample in samples:
        off = np.abs(truth.weights - sample.weights).max(1)
        frame = int(off.argmin())
        assert off[frame] < 0.006
        np.testing.assert_allclose(sample.joint_rot[0], truth.joint_rot[frame, 0], atol=1e-5)
        assert not sample.joint_rot[1:].any()
        frames.append(frame)
    return frames


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_a_senders_frames_arrive_in_order_up_to_the_last(protocol: str, motion_file: Path) -> None:
    samples, stats = received(protocol, motion_file, Sender(protocol))
    frames = frames_of(samples, motion_file)
    assert frames == sorted(set(frames)) and frames[-1] == 59
    assert (stats["samples"], stats["malformed"], stats["dropped"], stats["lost"]) == (60, 0, 0, 0)
    assert stats["samples"] == len(samples) + stats["replaced"]


@pytest.mark.parametrize("protocol", ["livelink", "vmc"])
def test_late_packets_are_dropped(protocol: str, motion_file: Path) -> None:
    order = [frame ^ 1 for frame in EVERY]  # 1 0 3 2 ...
    samples, stats = received(protocol, motion_file, Sender(protocol, order))
    frames = frames_of(samples, motion_file)
    assert frames == sorted(set(frames)) and frames[-1] == 59
    assert (stats["samples"], stats["late"], stats["dropped"]) == (30, 30, 30)


def test_a_protocol_without_a_clock_uses_packets_in_order_of_arrival(motion_file: Path) -> None:
    samples, stats = received("ifacialmocap", motion_file, Sender("ifacialmocap2", [0, 2, 1]))
    assert frames_of(samples, motion_file)[-1] == 1
    assert (stats["samples"], stats["dropped"]) == (3, 0)


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_lost_and_malformed_packets_are_counted_and_the_others_are_used(protocol: str, motion_file: Path) -> None:
    order = [frame for frame in EVERY if frame < 6 or frame % 4]  # a quarter is lost after the frame period is known
    samples, stats = received(protocol, motion_file, Sender(protocol, order, bad=20))
    assert frames_of(samples, motion_file)[-1] == 59
    lost = 0 if protocol == "ifacialmocap" else 60 - len(order)
    assert (stats["samples"], stats["malformed"], stats["lost"]) == (len(order), 20, lost)
    assert stats["last_malformed"]


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_of_two_senders_one_is_used_and_the_other_counted(protocol: str, motion_file: Path) -> None:
    back = Sender(protocol, EVERY[::-1])
    samples, stats = received(protocol, motion_file, Sender(protocol), back)
    frames = frames_of(samples, motion_file)
    assert frames == sorted(frames) or frames == sorted(frames, reverse=True)
    assert stats["foreign"] == 60


@pytest.fixture
def source() -> Iterator[UdpSource]:
    """A Live Link input on a free port."""
    made = UdpSource(LIVE_LINK, port=0)
    made.start()
    yield made
    made.stop()


def test_a_port_in_use_is_a_one_line_error(source: UdpSource) -> None:
    other = UdpSource(LIVE_LINK, port=source.port)
    with pytest.raises(HeadsplatError) as failure:
        other.start()
    assert str(failure.value) == (
        f"127.0.0.1:{source.port}: the port is in use by another program; close it, or use another port, "
        "--listen livelink:PORT, and set it in the sender too"
    )


def test_an_address_of_another_machine_is_a_one_line_error() -> None:
    with pytest.raises(HeadsplatError, match=r"^192\.0\.2\.1:0: cannot listen on this address \(.*\); give an"):
        UdpSource(VMC, "192.0.2.1", 0).start()


def test_only_this_machine_can_send_by_default() -> None:
    assert udp_source("vmc").host == "127.0.0.1"
    assert udp_source("vmc", "0.0.0.0").host == "0.0.0.0"


@pytest.mark.parametrize(
    ("text", "port"), [("livelink", 11111), ("VMC", 39539), ("ifacialmocap", 49983), ("livelink:5000", 5000)]
)
def test_protocols_have_default_ports(text: str, port: int) -> None:
    assert udp_source(text).port == port


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("livelnk", "--listen livelnk: unknown protocol 'livelnk'; did you mean livelink?"),
        ("osc", "--listen osc: unknown protocol 'osc'; choose one of livelink, vmc, ifacialmocap"),
        ("vmc:0", "--listen vmc:0: invalid port '0'; give a number from 1 to 65535"),
        ("vmc:65536", "--listen vmc:65536: invalid port '65536'; give a number from 1 to 65535"),
        ("vmc:", "--listen vmc:: invalid port ''; give a number from 1 to 65535"),
    ],
)
def test_invalid_text_is_a_one_line_error(text: str, message: str) -> None:
    with pytest.raises(HeadsplatError) as failure:
        udp_source(text)
    assert str(failure.value) == message


def test_stop_frees_the_port_and_ends_the_thread_and_start_resets_counts(source: UdpSource) -> None:
    send(source.port, [b"malformed"])
    wait_for(source, "malformed", 1)
    source.stop()
    source.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "livelink source"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", source.port))
    source.start()
    assert source.stats()["received"] == 0


def send(port: int, packets: Sequence[bytes]) -> None:
    """Send packets from a new socket, without pauses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", port))


def wait_for(source: UdpSource, counter: str, minimum: int) -> None:
    """Wait until a counter has reached a minimum."""
    deadline = time.monotonic() + 10
    while count_of(source, counter) < minimum and time.monotonic() < deadline:
        time.sleep(0.002)
    assert count_of(source, counter) >= minimum


def count_of(source: UdpSource, counter: str) -> int:
    stats: dict[str, Any] = dict(source.stats())
    return int(stats[counter])


def next_sample(source: UdpSource) -> Sample:
    """Wait for a sample and return it."""
    deadline = time.monotonic() + 10
    while (sample := source.latest()) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert sample is not None
    return sample


def test_after_a_flood_only_the_newest_sample_is_returned(source: UdpSource, motion_file: Path) -> None:
    packets = [face_sender.live_link(MotionFile.of(motion_file), frame) for frame in EVERY]
    send(source.port, packets)
    wait_for(source, "replaced", 59)
    assert frames_of([source.latest()], motion_file) == [59]  # type: ignore[list-item]
    assert source.latest() is None


def test_a_sample_has_stamps_of_arrival_and_decoding(source: UdpSource, motion_file: Path) -> None:
    before = time.monotonic()
    send(source.port, [face_sender.live_link(MotionFile.of(motion_file), 0)])
    sample = next_sample(source)
    assert before <= sample.time == sample.stamps["received"] <= sample.stamps["decoded"] <= time.monotonic()
    assert sample.source_time == pytest.approx(1000 / 60)


def test_a_phone_is_greeted_until_it_sends(motion_file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(10)
        source = UdpSource(PROTOCOLS["ifacialmocap"], port=0, phone="127.0.0.1")
        source._greeted = phone.getsockname()
        source.start()
        try:
            assert phone.recv(100).endswith(b"|sendDataVersion=v2")
            phone.sendto(face_sender.ifacialmocap(MotionFile.of(motion_file), 7, 2), ("127.0.0.1", source.port))
            wait_for(source, "samples", 1)
        finally:
            source.stop()


def test_a_sender_without_packets_is_one_lost_face_and_may_continue(
    source: UdpSource, motion_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packet, later = packets_at(motion_file, [0.0, 0.1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", source.port))
        sender.send(packet)
        assert next_sample(source).confidence == 1
        monkeypatch.setattr(udp, "LOST_AFTER", 0.0)
        assert next_sample(source).confidence == 0
        monkeypatch.setattr(udp, "LOST_AFTER", FOREVER)
        assert (source.latest(), source.stats()["silences"]) == (None, 1)
        sender.send(later)
        assert next_sample(source).confidence == 1


def test_a_packet_that_raises_in_the_decoder_is_counted_and_the_next_is_used(motion_file: Path) -> None:
    decode = LIVE_LINK.make_decoder()

    def decode_or_raise(data: bytes) -> Face | Malformed | None:
        return decode(data) if len(data) > 3 else [][0]

    source = UdpSource(replace(LIVE_LINK, make_decoder=lambda: decode_or_raise), port=0)
    source.start()
    try:
        send(source.port, [b"odd", face_sender.live_link(MotionFile.of(motion_file), 0)])
        assert next_sample(source).confidence == 1
        stats = source.stats()
        assert (stats["malformed"], stats["last_malformed"]) == (1, "IndexError: list index out of range")
    finally:
        source.stop()


def packets_at(motion_file: Path, times: Sequence[float]) -> list[bytes]:
    """Live Link packets of one sender at these seconds of its clock."""
    motion = MotionFile.of(motion_file)
    frozen = MotionFile(motion.names, np.array(times), motion.weights, motion.joint_rot, motion.translation)
    return [face_sender.live_link(frozen, frame) for frame in range(len(times))]


A, B = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_another_sender_is_accepted_after_a_second_without_packets(motion_file: Path) -> None:
    receiver, packet = PacketReceiver(LIVE_LINK.make_decoder), packets_at(motion_file, [0.0])[0]
    arrivals = (A, 0), (B, 0.5), (B, 0.9), (B, 1.1), (A, 1.2)
    samples = [receiver.receive(packet, address, now) for address, now in arrivals]
    assert [sample is not None for sample in samples] == [True, False, False, True, False]


def test_a_sender_of_malformed_packets_does_not_block_others(motion_file: Path) -> None:
    receiver, packet = PacketReceiver(LIVE_LINK.make_decoder), packets_at(motion_file, [0.0])[0]
    assert receiver.receive(b"malformed", B, 0) is None
    assert receiver.receive(packet, A, 0.1) is not None


def test_two_phones_behind_one_relay_are_two_streams(motion_file: Path) -> None:
    receiver, motion = PacketReceiver(LIVE_LINK.make_decoder), MotionFile.of(motion_file)
    mine, other = (face_sender.live_link(motion, 0, device=device) for device in ("mine", "other"))
    samples = [receiver.receive(packet, A, now) for packet, now in ((mine, 0), (other, 0.1), (mine, 0.2), (other, 1.3))]
    assert [sample is not None for sample in samples] == [True, False, True, True]


def test_a_restarted_clock_loses_one_frame_and_a_single_old_packet_is_dropped(motion_file: Path) -> None:
    receiver = PacketReceiver(LIVE_LINK.make_decoder)
    times = [9.0, 9.1, 3.0, 9.2, 0.0, 0.1, 0.2]
    samples = [receiver.receive(packet, A, number / 10) for number, packet in enumerate(packets_at(motion_file, times))]
    assert [sample is not None for sample in samples] == [True, True, False, True, False, True, True]


def test_a_clock_that_starts_over_each_second_loses_one_frame_a_second(motion_file: Path) -> None:
    receiver = PacketReceiver(LIVE_LINK.make_decoder)
    packets = packets_at(motion_file, [frame % 20 / 20 for frame in range(60)])
    samples = [receiver.receive(packet, A, number / 20) for number, packet in enumerate(packets)]
    assert [number for number, sample in enumerate(samples) if sample is None] == [20, 40]
