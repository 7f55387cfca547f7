"""What is sent to other programs: read back by our receivers, and by parsers that share nothing with them."""

from __future__ import annotations

import logging
import socket
import time

import numpy as np
import pytest

from avatar.driving.live.samples import Sample
from avatar.errors import HeadsplatError
from avatar.head.arkit import ARKIT_52
from avatar.types import LEFT_EYE, RIGHT_EYE, ROOT
from capture.live.protocols import PROTOCOLS, UdpSender, udp_sender, udp_source
from capture.live.protocols.packet_order import PacketReceiver
from capture.live.protocols.send import face_of
from tests.support import face_receiver, face_sender

SENT = [name for name, protocol in PROTOCOLS.items() if protocol.make_encoder]
#: Largest errors of weights, radians and meters.
STEPS = {"livelink": (0, 1e-6, None), "vmc": (0, 1e-6, None), "ifacialmocap": (0.00501, 1e-6, 1e-6)}


def random_sample(seed: int, confidence: float = 1.0) -> Sample:
    """Any weights, a turned and moved head, and eyes whose gaze is in the angles."""
    random = np.random.default_rng(seed)
    weights = random.random(52).astype(np.float32)
    joints = np.zeros((5, 3), np.float32)
    joints[ROOT] = random.normal(0, 0.4, 3)
    place = random.normal(0, 0.3, 3).astype(np.float32)
    return Sample(100.0 + seed / 60, ARKIT_52, "arkit52", weights, joints, place, confidence)


def packets_of(protocol: str, *samples: Sample) -> list[list[bytes]]:
    make = PROTOCOLS[protocol].make_encoder
    assert make is not None
    encode = make()
    return [list(encode(face_of(sample, sample.time - 100))) for sample in samples]


@pytest.mark.parametrize("protocol", SENT)
def test_our_receiver_reads_back_what_is_sent(protocol: str) -> None:
    samples = [random_sample(seed) for seed in range(40)]
    receiver = PacketReceiver(PROTOCOLS[protocol].make_decoder)
    weight_step, angle_step, place_step = STEPS[protocol]
    for sent, packets in zip(samples, packets_of(protocol, *samples), strict=True):
        found = [receiver.receive(packet, ("127.0.0.1", 1), sent.time) for packet in packets]
        assert found[:-1] == [None] * (len(packets) - 1)
        received = found[-1]
        assert received is not None and received.confidence == 1
        np.testing.assert_allclose(received.weights, sent.weights, rtol=0, atol=weight_step)
        np.testing.assert_allclose(
            face_sender.matrix(received.joint_rot[ROOT]), face_sender.matrix(sent.joint_rot[ROOT]), atol=angle_step
        )
        if place_step is not None:
            np.testing.assert_allclose(received.translation, sent.translation, atol=place_step)
        if received.source_time is not None:
            elapsed = received.source_time - samples[0].time + 100
            assert elapsed % 1 == pytest.approx(sent.time % 1, abs=2e-5) or protocol == "vmc"
    stats = receiver.stats(samples[-1].time)
    assert (stats["malformed"], stats["dropped"], stats["ignored_names"], stats["unused"]) == (0, 0, [], "")


def test_live_link_packets_are_read_at_the_places_of_public_receivers() -> None:
    sample = random_sample(3)
    found = face_receiver.live_link(packets_of("livelink", sample)[0][0])
    assert found["subject"] == "headsplat"
    assert list(found["weights"].values()) == sample.weights.tolist()
    np.testing.assert_allclose(found["head"], face_sender.yaw_pitch_roll(sample.joint_rot[ROOT], eye=False), atol=1e-6)


def test_live_link_frames_count_sixtieths_of_a_second() -> None:
    first, second = (
        face_receiver.live_link(each[0]) for each in packets_of("livelink", random_sample(0), random_sample(3))
    )
    assert second["time"] - first["time"] == pytest.approx(3 / 60, abs=1e-5)
    assert 0 <= first["time"] <= 86_400


def test_vmc_packets_are_small_bundles_of_a_head_eyes_and_the_names_of_perfect_sync() -> None:
    sample = random_sample(3)
    packets = packets_of("vmc", sample)[0]
    assert max(map(len, packets)) <= 1400
    found = face_receiver.vmc(packets)
    assert {name: found["weights"][name] for name in ARKIT_52} == dict(
        zip(ARKIT_52, sample.weights.tolist(), strict=True)
    )
    x, y, z, w = face_sender.quaternion(sample.joint_rot[ROOT])
    np.testing.assert_allclose(found["bones"]["Head"], [0, 0, 0, x, -y, -z, w], atol=1e-6)
    assert found["/VMC/Ext/OK"] == [1, 3, 0, 1]
    assert found["/VMC/Ext/T"] == [pytest.approx(3 / 60)]
    address, arguments = next(face_receiver.osc_messages(packets[-1]))
    assert address == "/VMC/Ext/Blend/Val" and arguments[0][0].isupper()


def test_ifacialmocap_packets_have_whole_percent_and_degrees() -> None:
    sample = random_sample(3)
    found = face_receiver.ifacialmocap(packets_of("ifacialmocap", sample)[0][0])
    assert found["weights"].pop("trackingStatus") == 1
    assert set(found["weights"]) == set(ARKIT_52)
    percents = [found["weights"][name] for name in ARKIT_52]
    np.testing.assert_allclose(percents, 100 * sample.weights, atol=0.501)
    expected = [*face_sender.euler_degrees(sample.joint_rot[ROOT]), *sample.translation]
    np.testing.assert_allclose(found["head"], expected, atol=1e-5)


def test_a_head_that_turns_to_the_persons_left_has_the_sign_of_each_protocol() -> None:
    joints = np.zeros((5, 3), np.float32)
    joints[ROOT] = [0, 0.5, 0]
    sample = Sample(0.0, ARKIT_52, "arkit52", np.zeros(52, np.float32), joints, np.zeros(3, np.float32), 1.0)
    face = {protocol: packets_of(protocol, sample)[0] for protocol in SENT}
    assert face_receiver.live_link(face["livelink"][0])["head"][0] == pytest.approx(0.5)  # yaw
    turn = face_receiver.vmc(face["vmc"])["bones"]["Head"]
    assert turn[4] == pytest.approx(-np.sin(0.25))  # y of Unity's left-handed axes
    assert face_receiver.ifacialmocap(face["ifacialmocap"][0])["head"][1] == pytest.approx(np.degrees(0.5), abs=1e-4)


def test_a_gaze_in_angles_is_sent_as_weights_that_the_angles_repeat() -> None:
    joints = np.zeros((5, 3), np.float32)
    joints[[LEFT_EYE, RIGHT_EYE]] = [0, np.radians(14), 0]  # to the person's left
    sample = Sample(0.0, ("jawOpen",), "arkit52", np.ones(1, np.float32), joints, np.zeros(3, np.float32), 1.0)
    face = face_of(sample, 0.0)
    moved = {name: round(float(weight), 3) for name, weight in zip(ARKIT_52, face.weights, strict=True) if weight}
    assert moved == {"jawOpen": 1, "eyeLookOutLeft": 0.5, "eyeLookInRight": 0.5}
    np.testing.assert_allclose(face.joint_rot[LEFT_EYE], joints[LEFT_EYE], atol=1e-6)


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("protocol", SENT)
def test_a_lost_face_is_received_as_lost(protocol: str, port: int) -> None:
    source = udp_source(f"{protocol}:{port}")
    source.start()
    sender = udp_sender(f"{protocol}:{port}")
    try:
        confidences = []
        for seed, confidence in ((0, 1.0), (1, 0.0), (2, 0.7)):
            sender.send(random_sample(seed, confidence))
            end = time.monotonic() + 10
            while (received := source.latest()) is None and time.monotonic() < end:
                time.sleep(0.001)
            assert received is not None
            confidences.append(received.confidence)
    finally:
        sender.close()
        source.stop()
    assert confidences == [1, 0, 1]
    assert source.stats()["malformed"] == 0


def test_a_program_that_starts_later_receives_and_its_absence_is_logged_once(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sender = udp_sender(f"livelink:{port}")
    with caplog.at_level(logging.WARNING):
        for seed in range(4):
            sender.send(random_sample(seed))
    assert [record.getMessage() for record in caplog.records] == [
        f"Live Link Face to 127.0.0.1:{port}: no program receives on this port yet: start it, and its receiver of "
        "Live Link Face"
    ]
    assert (sender.stats.sent, sender.stats.unheard, sender.stats.failed) == (4, 3, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.bind(("127.0.0.1", port))
        program.settimeout(10)
        sender.send(random_sample(4))
        sender.send(random_sample(5))
        assert program.recv(1 << 16)[0] == 6
    assert sender.summary() == (
        f"Live Link Face to 127.0.0.1:{port}: 6 samples sent, {sender.stats.unheard} of them while no program received "
        "on this port"
    )
    sender.close()


def test_an_address_that_cannot_be_reached_is_logged_once_and_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    sender = UdpSender(PROTOCOLS["vmc"], "255.255.255.255", 39539)  # not permitted without the option for it
    with caplog.at_level(logging.WARNING):
        for seed in range(3):
            sender.send(random_sample(seed))
    sender.close()
    assert len(caplog.records) == 1
    assert "VMC to 255.255.255.255:39539: cannot be reached (" in caplog.text
    assert (sender.stats.sent, sender.stats.failed) == (0, 3)


def test_weights_that_are_no_numbers_are_not_sent(port: int) -> None:
    sender = udp_sender(f"vmc:{port}")
    sample = random_sample(0)
    sample.weights[3] = np.nan
    sender.send(sample)
    sender.close()
    assert sender.stats.sent == 0


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("vmc", "VMC to 127.0.0.1:39539"),
        (" VMC:39540", "VMC to 127.0.0.1:39540"),
        ("livelink:localhost", "Live Link Face to localhost:11111"),
        ("ifacialmocap:127.0.0.2:50000", "iFacialMocap to 127.0.0.2:50000"),
    ],
)
def test_this_machine_and_the_port_of_the_protocol_are_the_defaults(text: str, address: str) -> None:
    sender = udp_sender(text)
    sender.close()
    assert str(sender) == address


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("foo:1", "--send foo:1: unknown protocol 'foo'; choose one of livelink, vmc, ifacialmocap"),
        ("livelnk", "--send livelnk: unknown protocol 'livelnk'; did you mean livelink?"),
        ("vmc:0", "--send vmc:0: invalid port '0'; give a number from 1 to 65535"),
        ("vmc:localhost:x", "--send vmc:localhost:x: invalid port 'x'; give a number from 1 to 65535"),
        ("vmc::1", "--send vmc::1: expected vmc, vmc:HOST or vmc:HOST:PORT"),
        ("vmc:a:1:2", "--send vmc:a:1:2: expected vmc, vmc:HOST or vmc:HOST:PORT"),
        (
            "vmc:no.such.host.invalid",
            "--send: no IPv4 address is known for the host 'no.such.host.invalid'; give an address like 192.168.1.20",
        ),
    ],
)
def test_the_sentence_for_a_receiver_that_is_not_valid(text: str, sentence: str) -> None:
    with pytest.raises(HeadsplatError) as refused:
        udp_sender(text)
    assert str(refused.value) == sentence
