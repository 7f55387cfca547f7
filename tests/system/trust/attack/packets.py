"""Hostile packets of the three live protocols, in the receiver and through the real socket."""

from __future__ import annotations

import socket
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random

import numpy as np

from tests.system.trust.attack.cases import Case, Outcome, judge
from tests.system.trust.attack.damage import mutated
from tests.system.trust.attack.scene import Scene

_ROUNDS = 60
#: Growth of Python's memory after packets of thousands of names and hundreds of senders, bytes.
_MOST_MEMORY = 2 << 20
_ADDRESS = ("127.0.0.1", 5000)


def cases(scene: Scene) -> list[Case]:
    """All cases of the class."""
    found = []
    for protocol in ("livelink", "vmc", "ifacialmocap"):
        for number in range(_ROUNDS):
            found.append(_case(f"{protocol}: damaged {number}", protocol, _damaged(scene, protocol, number)))
            found.append(_case(f"{protocol}: random {number}", protocol, _garbage(scene, protocol, number)))
        for name, packets in _crafted(protocol):
            found.append(_case(f"{protocol}: {name}", protocol, packets))
        found.append(Case(f"{protocol}: flood of names and senders", _flood(protocol)))
        found.append(Case(f"{protocol}: through the socket", _socket_run(scene, protocol)))
    return found


@cache
def valid_packets(protocol: str) -> list[bytes]:
    """Packets of a short motion."""
    from tests.capture.live.synthetic import synthetic_motion
    from tests.support import face_sender

    motion = synthetic_motion(3)
    arrays = (getattr(motion, name).numpy() for name in ("time", "weights", "joint_rot", "translation"))
    file = face_sender.MotionFile(list(motion.names), *arrays)
    names = [name for name in face_sender.ENCODERS if name.startswith(protocol)]
    return [face_sender.ENCODERS[name](file, frame) for name in names for frame in range(3)]


def packets_fault(protocol: str, packets: list[bytes]) -> str | None:
    """Receive packets as the socket does; returns what is wrong with the samples."""
    from capture.live.protocols.packet_order import PacketReceiver
    from capture.live.protocols.registry import PROTOCOLS

    receiver = PacketReceiver(PROTOCOLS[protocol].make_decoder)
    for number, packet in enumerate(packets):
        sample = receiver.receive(packet, _ADDRESS, number / 30)
        if sample is None:
            continue
        values = (sample.weights, sample.joint_rot, sample.translation, sample.confidence, sample.source_time or 0.0)
        if not all(np.isfinite(value).all() for value in values):
            return "a sample with numbers that are not finite"
        if np.abs(sample.weights).max() > 1e4 or np.abs(sample.translation).max() > 1e4:
            return "a sample with absurd numbers"
    if len(receiver.reason) >= 200 or not receiver.reason.isprintable():
        return f"the reason {receiver.reason[:60]!r} is no short line"
    return None


def _case(name: str, protocol: str, packets: Callable[[], list[bytes]]) -> Case:
    def run(folder: Path) -> Outcome:
        return judge(lambda: packets_fault(protocol, packets()))

    return Case(name, run)


def _damaged(scene: Scene, protocol: str, number: int) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        random, valid = Random(scene.random_name("packets", protocol, number)), valid_packets(protocol)
        return [mutated(random.choice(valid), random) for _ in range(40)] + valid

    return make


def _garbage(scene: Scene, protocol: str, number: int) -> Callable[[], list[bytes]]:
    def make() -> list[bytes]:
        random = Random(scene.random_name("garbage", protocol, number))
        start = random.choice((b"", b"#bundle\0", b"/VMC/Ext/Blend/Val\0\0,sf\0", valid_packets(protocol)[0][:20]))
        return [start + random.randbytes(random.choice((0, 1, 7, 60, 1500))) for _ in range(40)]

    return make


def _crafted(protocol: str) -> Iterator[tuple[str, Callable[[], list[bytes]]]]:
    """Packets that are made by hand; those of other protocols are garbage here."""
    for number, valid in enumerate(valid_packets(protocol)):
        yield f"cut {number}", lambda valid=valid: [valid[:end] for end in range(len(valid))]
        yield f"reversed {number}", lambda valid=valid: [valid[::-1]]
        for value in (float("nan"), float("inf"), -float("inf"), 3e38, -3e38):
            yield f"floats {value} {number}", lambda valid=valid, value=value: list(_with_floats(valid, value))
        for integer in (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFF):
            yield (
                f"counts {integer:x} {number}",
                lambda valid=valid, integer=integer: list(_with_counts(valid, integer)),
            )
    nested = b"#bundle\0" + bytes(8)
    yield "deep bundles", lambda: [_nested(depth) for depth in (1, 8, 9, 100, 3000)]
    yield "beginnings of bundles", lambda: [b"#bundle\0" * 8000, nested * 3000]
    yield "many arguments", lambda: [b"/a\0\0," + b"T" * 65000 + bytes(3)]
    yield "arrays of arguments", lambda: [b"/a\0\0," + b"[" * 60000 + bytes(4)]
    yield "long address", lambda: [b"/" + b"a" * 65000 + bytes(3) + b",\0\0\0"]
    yield (
        "numbers of many digits",
        lambda: [b"jawOpen-" + b"9" * 60000, b"jawOpen-1e999|" * 3000, b"=head#" + b"1," * 20000],
    )
    yield (
        "names that are not UTF-8",
        lambda: [b"\xff\xfe" * 3000 + b"-1|", "\u0663\u0664".encode() * 2000 + b"-\xd9\xa3|"],
    )
    yield "the same name", lambda: [b"jawOpen-50|" * 5000]
    yield "empty", lambda: [b""] * 1000


def _with_floats(packet: bytes, value: float) -> Iterator[bytes]:
    for place in range(0, len(packet) - 3, 4):
        for form in (">f", "<f"):
            yield packet[:place] + struct.pack(form, value) + packet[place + 4 :]


def _with_counts(packet: bytes, value: int) -> Iterator[bytes]:
    for place in range(len(packet) - 3):
        yield packet[:place] + struct.pack(">I", value) + packet[place + 4 :]


def _nested(depth: int) -> bytes:
    packet = b"/a\0\0,\0\0\0"
    for _ in range(depth):
        packet = b"#bundle\0" + bytes(8) + struct.pack(">i", len(packet)) + packet
    return packet


def _flood(protocol: str) -> Callable[[Path], Outcome]:
    def fault() -> str | None:
        from capture.live.protocols.packet_order import PacketReceiver
        from capture.live.protocols.registry import PROTOCOLS
        from tests.support.face_sender import bundle, osc

        receiver, valid = PacketReceiver(PROTOCOLS[protocol].make_decoder), valid_packets(protocol)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for number in range(300):
            names = [f"name{number}x{part}" for part in range(20)]
            packets = [
                bundle(*[osc("/VMC/Ext/Blend/Val", name, 1.0) for name in names]),
                "|".join(f"{name}-1" for name in names).encode(),
                valid[number % len(valid)],
            ]
            for packet in packets:
                receiver.receive(packet, (f"10.0.{number // 50}.{number % 50}", 1 + number), 2.0 * number)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        return f"{grown >> 20} MB more memory after 900 packets with 6,000 names" if grown > _MOST_MEMORY else None

    return lambda folder: judge(fault)


def _socket_run(scene: Scene, protocol: str) -> Callable[[Path], Outcome]:
    def fault() -> str | None:
        from capture.live.protocols.registry import PROTOCOLS
        from capture.live.protocols.udp import UdpSource

        random, valid = Random(scene.random_name("socket", protocol)), valid_packets(protocol)
        source = UdpSource(PROTOCOLS[protocol], port=0)
        source.start()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for _ in range(300):
                    data = mutated(random.choice(valid), random) or b"\0"
                    sender.sendto(data[:60_000], ("127.0.0.1", source.port))
                deadline = time.monotonic() + 20
                while source.latest() is None and time.monotonic() < deadline:
                    sender.sendto(valid[-1], ("127.0.0.1", source.port))
                    time.sleep(0.05)
            return None if source.stats()["samples"] else "no sample arrives after damaged packets"
        finally:
            source.stop()

    return lambda folder: judge(fault)
