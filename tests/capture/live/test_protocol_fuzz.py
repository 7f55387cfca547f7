"""For any packet a parser returns a valid face, a reason or nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.live.protocols.ifacialmocap import parse_ifacialmocap
from capture.live.protocols.live_link import parse_live_link
from capture.live.protocols.osc import parse_osc
from capture.live.protocols.packet_face import Face, Malformed
from capture.live.protocols.vmc import VmcDecoder
from tests.capture.live.synthetic import synthetic_motion
from tests.support import face_sender
from tests.support.face_sender import MotionFile, bundle, osc

Decode = Callable[[bytes], Face | Malformed | None]


@cache
def valid_packets() -> dict[str, bytes]:
    """One valid packet of each protocol."""
    motion = synthetic_motion(3)
    arrays = (getattr(motion, name).numpy() for name in ("time", "weights", "joint_rot", "translation"))
    motion_file = MotionFile(list(motion.names), *arrays)
    return {protocol: encode(motion_file, 1) for protocol, encode in face_sender.ENCODERS.items()}


@st.composite
def damaged(draw: st.DrawFn, protocol: str) -> bytes:
    """A valid packet with bytes changed, removed, duplicated or truncated."""
    packet = bytearray(valid_packets()[protocol])
    for _ in range(draw(st.integers(1, 6))):
        if not packet:
            break
        place = draw(st.integers(0, len(packet) - 1))
        what = draw(st.sampled_from(["change", "drop", "double", "cut"]))
        if what == "change":
            packet[place] = draw(st.integers(0, 255))
        elif what == "drop":
            del packet[place : place + draw(st.integers(1, 8))]
        elif what == "double":
            packet[place:place] = packet[place : place + 64]
        else:
            del packet[place:]
    return bytes(packet)


def check(found: Face | Malformed | None) -> None:
    """A short reason, or a face of finite numbers."""
    if isinstance(found, Malformed):
        assert 0 < len(found.reason) < 200
    elif found is not None:
        for part in (found.weights, found.joint_rot, found.translation, found.source_time or 0.0):
            assert np.isfinite(part).all()
        assert 0 <= found.confidence <= 1


PARSERS: list[tuple[str, Callable[[], Decode]]] = [
    ("livelink", lambda: parse_live_link),
    ("vmc", VmcDecoder),
    ("ifacialmocap", lambda: parse_ifacialmocap),
    ("ifacialmocap2", lambda: parse_ifacialmocap),
]


@pytest.mark.parametrize(("protocol", "parser"), PARSERS, ids=[name for name, _ in PARSERS])
@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_damaged_packets_give_a_valid_result(protocol: str, parser: Callable[[], Decode], data: st.DataObject) -> None:
    decode = parser()
    for packet in data.draw(st.lists(damaged(protocol) | st.binary(max_size=300), min_size=1, max_size=3)):
        check(decode(packet))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="jawOpenhdleftEy#&-=|,.0123e+_nifa \x00é", max_size=200))
def test_any_text_is_a_face_or_has_a_reason(text: str) -> None:
    check(parse_ifacialmocap(text.encode()))


arguments = st.integers(-(1 << 31), (1 << 31) - 1) | st.floats(width=32) | st.text("HeadjwOpn_L\x01", max_size=70)
addresses = st.sampled_from(
    [f"/VMC/Ext/{end}" for end in ("Blend/Val", "Blend/Apply", "Bone/Pos", "T", "OK", "Root/Pos")]
)
messages = st.builds(lambda address, values: osc(address, *values), addresses, st.lists(arguments, max_size=9))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.recursive(messages, lambda inner: st.lists(inner, max_size=4).map(lambda all: bundle(*all))), max_size=5
    )
)
def test_any_messages_in_any_bundles_are_a_face_or_have_a_reason(packets: list[bytes]) -> None:
    stream = VmcDecoder()
    for packet in packets:
        check(stream(packet))


@pytest.mark.parametrize(
    "packet",
    [
        bundle(*[osc("/VMC/Ext/Blend/Apply")] * 1900),
        bundle(*[bundle()] * 3200),
        b"/a\0\0," + b"T" * 65000 + bytes(3),
        b"#bundle\0" * 8000,
    ],
    ids=["applies", "empty bundles", "arguments", "beginnings"],
)
def test_the_largest_packets_give_a_bounded_number_of_messages(packet: bytes) -> None:
    found = parse_osc(packet)
    assert isinstance(found, Malformed) or len(found) <= len(packet) // 8
    check(VmcDecoder()(packet))
