"""Real senders, processes of their own, over loopback; and what the socket does where there is trouble."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from avatar.errors import HeadsplatError
from capture.live.inputs import PROTOCOLS, UdpInput, listen, udp
from capture.live.inputs.face import Face, Refused
from capture.live.inputs.packet_order import Traffic
from capture.live.sample import Sample
from tests.support import face_sender
from tests.support.face_sender import Take

SENDER = Path(face_sender.__file__)
LIVE_LINK, VMC = PROTOCOLS["livelink"], PROTOCOLS["vmc"]
EVERY = list(range(60))
FOREVER = 1e9  # seconds


@pytest.fixture(autouse=True)
def no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy nobody counts as silent."""
    monkeypatch.setattr(udp, "SILENT", FOREVER)


@dataclass
class Sender:
    """A process that sends frames of the take in an order, with nonsense between them."""

    protocol: str
    order: Sequence[int] = tuple(EVERY)
    bad: int = 0

    def to(self, port: int, take: Path) -> subprocess.Popen[str]:
        """Start it."""
        order = ",".join(map(str, self.order))
        command = [
            sys.executable,
            str(SENDER),
            self.protocol,
            str(port),
            str(take),
            "--order",
            order,
            "--bad",
            self.bad,
        ]
        pipe = subprocess.PIPE
        return subprocess.Popen([str(part) for part in command], stdin=pipe, stdout=pipe, text=True)


def received(protocol: str, take: Path, *senders: Sender) -> tuple[list[Sample], dict[str, object]]:
    """The samples that somebody saw who asked all the time, and the facts once all senders have ended."""
    source = UdpInput(PROTOCOLS[protocol], port=0)
    source.start()
    samples: list[Sample] = []
    try:
        processes = [sender.to(source.port, take) for sender in senders]
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


def settled(facts: dict[str, object], total: int, seen: int) -> bool:
    """Whether all packets have come, and every sample of them was seen or replaced."""
    return facts["received"] == total and facts["samples"] == seen + facts["replaced"]  # type: ignore[operator]


def frames_of(samples: list[Sample], take: Path) -> list[int]:
    """Which frame of the take each sample is, by its weights and the head's turn; nothing turns twice."""
    truth, frames = Take.of(take), []
    for sample in samples:
        off = np.abs(truth.weights - sample.weights).max(1)
        frame = int(off.argmin())
        assert off[frame] < 0.006
        np.testing.assert_allclose(sample.joint_rot[0], truth.joint_rot[frame, 0], atol=1e-5)
        assert not sample.joint_rot[1:].any()
        frames.append(frame)
    return frames


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_a_sender_in_order_is_heard_in_order_to_its_last_frame(protocol: str, take_file: Path) -> None:
    samples, facts = received(protocol, take_file, Sender(protocol))
    frames = frames_of(samples, take_file)
    assert frames == sorted(set(frames)) and frames[-1] == 59
    assert (facts["samples"], facts["malformed"], facts["dropped"], facts["lost"]) == (60, 0, 0, 0)
    assert facts["samples"] == len(samples) + facts["replaced"]


@pytest.mark.parametrize("protocol", ["livelink", "vmc"])
def test_what_comes_late_is_dropped_and_never_shown(protocol: str, take_file: Path) -> None:
    order = [frame ^ 1 for frame in EVERY]  # 1 0 3 2 ...
    samples, facts = received(protocol, take_file, Sender(protocol, order))
    frames = frames_of(samples, take_file)
    assert frames == sorted(set(frames)) and frames[-1] == 59
    assert (facts["samples"], facts["late"], facts["dropped"]) == (30, 30, 30)


def test_a_protocol_without_a_clock_shows_what_came_last(take_file: Path) -> None:
    samples, facts = received("ifacialmocap", take_file, Sender("ifacialmocap2", [0, 2, 1]))
    assert frames_of(samples, take_file)[-1] == 1
    assert (facts["samples"], facts["dropped"]) == (3, 0)


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_loss_and_nonsense_are_counted_and_the_rest_comes_through(protocol: str, take_file: Path) -> None:
    order = [frame for frame in EVERY if frame < 6 or frame % 4]  # a quarter is lost once the rate is known
    samples, facts = received(protocol, take_file, Sender(protocol, order, bad=20))
    assert frames_of(samples, take_file)[-1] == 59
    lost = 0 if protocol == "ifacialmocap" else 60 - len(order)
    assert (facts["samples"], facts["malformed"], facts["lost"]) == (len(order), 20, lost)
    assert facts["last_malformed"]


@pytest.mark.parametrize("protocol", ["livelink", "vmc", "ifacialmocap"])
def test_of_two_senders_one_is_heard_and_the_other_counted(protocol: str, take_file: Path) -> None:
    back = Sender(protocol, EVERY[::-1])
    samples, facts = received(protocol, take_file, Sender(protocol), back)
    frames = frames_of(samples, take_file)
    assert frames == sorted(frames) or frames == sorted(frames, reverse=True)
    assert facts["foreign"] == 60


@pytest.fixture
def source() -> Iterator[UdpInput]:
    """A Live Link input on a free port."""
    made = UdpInput(LIVE_LINK, port=0)
    made.start()
    yield made
    made.stop()


def test_a_port_that_is_taken_is_one_sentence(source: UdpInput) -> None:
    other = UdpInput(LIVE_LINK, port=source.port)
    with pytest.raises(HeadsplatError) as failure:
        other.start()
    assert str(failure.value) == (
        f"127.0.0.1:{source.port}: another program listens there for Live Link Face already; close it, or listen on "
        "another port, --listen livelink:PORT, and tell the sender"
    )


def test_an_address_of_another_machine_is_one_sentence() -> None:
    with pytest.raises(HeadsplatError, match=r"^192\.0\.2\.1:0: cannot listen there \(.*\); give an address of this"):
        UdpInput(VMC, "192.0.2.1", 0).start()


def test_it_listens_to_this_machine_only_unless_told_otherwise() -> None:
    assert listen("vmc").host == "127.0.0.1"
    assert listen("vmc", "0.0.0.0").host == "0.0.0.0"


@pytest.mark.parametrize(
    ("text", "port"), [("livelink", 11111), ("VMC", 39539), ("ifacialmocap", 49983), ("livelink:5000", 5000)]
)
def test_listen_knows_the_protocols_and_their_ports(text: str, port: int) -> None:
    assert listen(text).port == port


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("livelnk", "--listen livelnk: no protocol is called 'livelnk'; did you mean livelink?"),
        ("osc", "--listen osc: no protocol is called 'osc'; there are livelink, vmc, ifacialmocap"),
        ("vmc:0", "--listen vmc:0: '0' is no port; give a number from 1 to 65535"),
        ("vmc:65536", "--listen vmc:65536: '65536' is no port; give a number from 1 to 65535"),
        ("vmc:", "--listen vmc:: '' is no port; give a number from 1 to 65535"),
    ],
)
def test_listen_says_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(HeadsplatError) as failure:
        listen(text)
    assert str(failure.value) == sentence


def test_stop_frees_the_port_and_ends_the_thread_and_start_counts_anew(source: UdpInput) -> None:
    send(source.port, [b"nonsense"])
    wait_for(source, "malformed", 1)
    source.stop()
    source.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "livelink input"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", source.port))
    source.start()
    assert source.stats()["received"] == 0


def send(port: int, packets: Sequence[bytes]) -> None:
    """From a socket of its own, at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", port))


def wait_for(source: UdpInput, what: str, least: int) -> None:
    """Until a count is there."""
    deadline = time.monotonic() + 10
    while source.stats()[what] < least and time.monotonic() < deadline:
        time.sleep(0.002)
    assert source.stats()[what] >= least


def next_sample(source: UdpInput) -> Sample:
    """The newest sample, once there is one."""
    deadline = time.monotonic() + 10
    while (sample := source.latest()) is None and time.monotonic() < deadline:
        time.sleep(0.002)
    assert sample is not None
    return sample


def test_a_flood_leaves_one_sample_the_newest_and_then_none(source: UdpInput, take_file: Path) -> None:
    packets = [face_sender.live_link(Take.of(take_file), frame) for frame in EVERY]
    send(source.port, packets)
    wait_for(source, "replaced", 59)
    assert frames_of([source.latest()], take_file) == [59]  # type: ignore[list-item]
    assert source.latest() is None


def test_a_sample_tells_when_it_came_and_when_it_was_read(source: UdpInput, take_file: Path) -> None:
    before = time.monotonic()
    send(source.port, [face_sender.live_link(Take.of(take_file), 0)])
    sample = next_sample(source)
    assert before <= sample.time == sample.stamps["received"] <= sample.stamps["decoded"] <= time.monotonic()
    assert sample.source_time == pytest.approx(1000 / 60)


def test_a_phone_that_waits_for_a_greeting_gets_it_until_it_sends(take_file: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.1", 0))
        phone.settimeout(10)
        source = UdpInput(PROTOCOLS["ifacialmocap"], port=0, phone="127.0.0.1")
        source._greet = phone.getsockname()
        source.start()
        try:
            assert phone.recv(100).endswith(b"|sendDataVersion=v2")
            phone.sendto(face_sender.ifacialmocap(Take.of(take_file), 7, 2), ("127.0.0.1", source.port))
            wait_for(source, "samples", 1)
        finally:
            source.stop()


def test_a_sender_that_falls_silent_is_one_face_lost_and_may_come_back(
    source: UdpInput, take_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packet, later = packets_at(take_file, [0.0, 0.1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", source.port))
        sender.send(packet)
        assert next_sample(source).confidence == 1
        monkeypatch.setattr(udp, "SILENT", 0.0)
        assert next_sample(source).confidence == 0
        monkeypatch.setattr(udp, "SILENT", FOREVER)
        assert (source.latest(), source.stats()["silences"]) == (None, 1)
        sender.send(later)
        assert next_sample(source).confidence == 1


def test_a_packet_that_breaks_the_decoder_is_counted_and_the_next_is_heard(take_file: Path) -> None:
    decode = LIVE_LINK.new_decoder()

    def breaks(data: bytes) -> Face | Refused | None:
        return decode(data) if len(data) > 3 else [][0]

    source = UdpInput(replace(LIVE_LINK, decoder=lambda: breaks), port=0)
    source.start()
    try:
        send(source.port, [b"odd", face_sender.live_link(Take.of(take_file), 0)])
        assert next_sample(source).confidence == 1
        facts = source.stats()
        assert (facts["malformed"], facts["last_malformed"]) == (1, "IndexError: list index out of range")
    finally:
        source.stop()


def packets_at(take_file: Path, times: Sequence[float]) -> list[bytes]:
    """Live Link packets of one sender whose clock says these seconds."""
    take = Take.of(take_file)
    frozen = Take(take.names, np.array(times), take.weights, take.joint_rot, take.translation)
    return [face_sender.live_link(frozen, frame) for frame in range(len(times))]


A, B = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_another_sender_is_heard_after_a_second_of_silence(take_file: Path) -> None:
    traffic, packet = Traffic(LIVE_LINK.new_decoder), packets_at(take_file, [0.0])[0]
    heard = [traffic.take(packet, address, now) for address, now in ((A, 0), (B, 0.5), (B, 0.9), (B, 1.1), (A, 1.2))]
    assert [sample is not None for sample in heard] == [True, False, False, True, False]


def test_a_sender_of_nonsense_keeps_nobody_out(take_file: Path) -> None:
    traffic, packet = Traffic(LIVE_LINK.new_decoder), packets_at(take_file, [0.0])[0]
    assert traffic.take(b"nonsense", B, 0) is None
    assert traffic.take(packet, A, 0.1) is not None


def test_two_phones_through_one_relay_are_two_streams(take_file: Path) -> None:
    traffic, take = Traffic(LIVE_LINK.new_decoder), Take.of(take_file)
    mine, other = (face_sender.live_link(take, 0, device=device) for device in ("mine", "other"))
    heard = [traffic.take(packet, A, now) for packet, now in ((mine, 0), (other, 0.1), (mine, 0.2), (other, 1.3))]
    assert [sample is not None for sample in heard] == [True, False, True, True]


def test_a_clock_that_starts_again_costs_one_frame_and_a_lone_stray_packet_is_dropped(take_file: Path) -> None:
    traffic = Traffic(LIVE_LINK.new_decoder)
    times = [9.0, 9.1, 3.0, 9.2, 0.0, 0.1, 0.2]
    heard = [traffic.take(packet, A, number / 10) for number, packet in enumerate(packets_at(take_file, times))]
    assert [sample is not None for sample in heard] == [True, True, False, True, False, True, True]
