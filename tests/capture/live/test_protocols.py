"""Packets of the three protocols as faces: exact bytes, names, signs, what is refused and why."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.head.arkit import ARKIT_52
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, ROOT
from capture.live.inputs.face import Face, OneGaze, Refused, arkit_weights, still
from capture.live.inputs.ifacialmocap import parse_ifacialmocap
from capture.live.inputs.live_link import parse_live_link
from capture.live.inputs.osc import Message, parse_osc
from capture.live.inputs.vmc import VmcStream
from tests.support import face_sender
from tests.support.face_sender import Take, bone, bundle, osc

JAW_OPEN, BLINK_LEFT = ARKIT_52.index("jawOpen"), ARKIT_52.index("eyeBlinkLeft")

#: jawOpen .5, eyeBlinkLeft 1, head yaw .25; device "id7", subject "me", frame 300.5 at 60/1.
LIVE_LINK = (
    b"\x06\0\0\0\x03id7\0\0\0\x02me\0\0\x01\x2c\x3f\0\0\0\0\0\0\x3c\0\0\0\x01\x3d"
    + b"\x3f\x80\0\0"
    + bytes(16 * 4)
    + b"\x3f\0\0\0"
    + bytes(34 * 4)
    + b"\x3e\x80\0\0"
    + bytes(8 * 4)
)
#: A bundle of the value and of Apply.
VMC = (
    b"#bundle\0\0\0\0\0\0\0\0\x01"
    b"\0\0\0\x24/VMC/Ext/Blend/Val\0\0,sf\0JawOpen\0\x3f\0\0\0"
    b"\0\0\0\x1c/VMC/Ext/Blend/Apply\0\0\0\0,\0\0\0"
)
IFACIALMOCAP = (
    b"trackingStatus-1|jawOpen-50|eyeBlink_L-100|hapihapi-0|=head#0,30,0,.1,.2,-.5|rightEye#0,0,0|leftEye#0,0,0|"
)


def face_of(found: Face | Refused | None) -> Face:
    """The face, where there is one."""
    assert isinstance(found, Face), found
    return found


def reason_of(found: Face | Refused | None) -> str:
    """The reason, where the packet was refused."""
    assert isinstance(found, Refused), found
    return found.reason


def test_the_bytes_of_a_live_link_packet() -> None:
    face = face_of(parse_live_link(LIVE_LINK))
    assert (face.weights[BLINK_LEFT], face.weights[JAW_OPEN], face.weights.sum()) == (1, 0.5, 1.5)
    assert (face.stream, face.source_time, face.confidence) == ("id7/me", 300.5 / 60, 1)
    np.testing.assert_allclose(face.joint_rot[ROOT], [0, 0.25, 0], atol=1e-7)  # to the person's left


def test_the_bytes_of_a_vmc_packet() -> None:
    face = face_of(VmcStream()(VMC))
    assert (face.weights[JAW_OPEN], face.weights.sum(), face.confidence) == (0.5, 0.5, 1)


def test_the_bytes_of_an_ifacialmocap_packet() -> None:
    face = face_of(parse_ifacialmocap(IFACIALMOCAP))
    assert (face.weights[BLINK_LEFT], face.weights[JAW_OPEN], face.weights.sum()) == (1, 0.5, 1.5)
    np.testing.assert_allclose(face.joint_rot[ROOT], [0, np.radians(30), 0], atol=1e-6)
    np.testing.assert_allclose(face.translation, [0.1, 0.2, -0.5], atol=1e-7)
    assert face.ignored == ("hapihapi",)


@pytest.mark.parametrize("protocol", list(face_sender.ENCODERS))
def test_a_take_comes_back_from_its_packets(protocol: str, take_file: Path) -> None:
    take = Take.of(take_file)
    decode = VmcStream() if protocol == "vmc" else parse_live_link if protocol == "livelink" else parse_ifacialmocap
    for frame in range(0, len(take.time), 7):
        face = face_of(decode(face_sender.ENCODERS[protocol](take, frame)))
        np.testing.assert_allclose(
            face.weights, take.weights[frame], atol=0.006 if protocol == "ifacialmocap" else 2e-6
        )
        np.testing.assert_allclose(face.joint_rot, take.joint_rot[frame], atol=1e-5)


@pytest.mark.parametrize("size", [0, 36, 37, 300])
def test_live_link_ids_have_any_length(size: int, take_file: Path) -> None:
    face = face_of(parse_live_link(face_sender.live_link(Take.of(take_file), 3, device="x" * size)))
    assert face.stream == "x" * size + "/" + face_sender.SUBJECT


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_live_link_packet_without_a_face_has_confidence_0_and_its_time(end: bytes, take_file: Path) -> None:
    take = Take.of(take_file)
    face = face_of(parse_live_link(face_sender.live_link(take, 6, face=False) + end))
    assert face.confidence == 0
    assert face.source_time == pytest.approx(1000 / 60 + take.time[6])


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "empty"),
        (b"\x05" + LIVE_LINK[1:], "version 5, not 6"),
        (LIVE_LINK[:3], "device id of 0 bytes in a packet of 3"),
        (b"\x06\x7f\xff\xff\xff" + LIVE_LINK[5:], "device id of 2147483647 bytes in a packet of 275"),
        (b"\x06\xff\xff\xff\xff" + LIVE_LINK[5:], "device id of -1 bytes in a packet of 275"),
        (LIVE_LINK[:25], "cut short before its frame time"),
        (LIVE_LINK[:22] + bytes(4) + LIVE_LINK[26:], "a frame time of 300+0.5 at 0/1"),
        (LIVE_LINK[:18] + b"\x7f\xc0\0\0" + LIVE_LINK[22:], "a frame time of 300+nan at 60/1"),
        (LIVE_LINK[:-1], "61 values in 243 bytes, expected 61 in 244"),
        (LIVE_LINK + b"\0", "61 values in 245 bytes, expected 61 in 244"),
        (LIVE_LINK[:-4] + b"\x7f\xc0\0\0", "a value that no weight or angle has"),
    ],
)
def test_why_a_live_link_packet_is_refused(packet: bytes, reason: str) -> None:
    assert reason_of(parse_live_link(packet)) == reason


def test_every_type_of_osc_argument_has_its_length() -> None:
    packed = struct.pack(">ifqdQ", -1, 0.5, 1 << 40, 0.25, 1) + b"\0\0\0\x05blob!\0\0\0" + b"text\0\0\0\0" + bytes(12)
    found = parse_osc(b"/a\0\0" + b",ifhdtbscrmTFN\0\0" + packed)
    assert found == (Message("/a", (-1, 0.5, 1 << 40, 0.25, 1, b"blob!", "text", 0, 0, 0, True, False, None)),)


def test_bundles_in_bundles_are_opened_in_order() -> None:
    found = parse_osc(bundle(osc("/a"), bundle(osc("/b"), bundle(osc("/c"))), osc("/d")))
    assert [message.address for message in found] == ["/a", "/b", "/c", "/d"]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "0 bytes, which OSC never has"),
        (b"/a\0", "3 bytes, which OSC never has"),
        (b"abc\0,\0\0\0", "an address that does not begin with /"),
        (b"/abc", "a text without an end"),
        (b"/a\0\0f\0\0\0", "no types of its arguments"),
        (b"/a\0\0,f\0\0", "cut short within its arguments"),
        (b"/a\0\0,\0\0\0\0\0\0\0", "4 bytes after the last argument"),
        (b"/a\0\0,b\0\0\0\0\0\x09abcd", "a blob of 9 bytes where 4 are left"),
        (b"/a\0\0,b\0\0\xff\xff\xff\xff", "a blob of -1 bytes where 0 are left"),
        (b"/a\0\0,Q\0\0", "an argument of type 'Q'"),
        (b"#bundle\0\0\0\0\0", "a bundle cut short before its time"),
        (b"#bundle\0" + bytes(8) + b"\0\0\0\x08/a\0\0", "an element of 8 bytes where 4 are left"),
        (b"#bundle\0" + bytes(8) + bytes(4), "an element of 0 bytes where 0 are left"),
    ],
)
def test_why_an_osc_packet_is_refused(packet: bytes, reason: str) -> None:
    assert reason_of(parse_osc(packet)) == reason


def test_too_many_bundles_in_each_other_are_refused() -> None:
    packet = osc("/a")
    for _ in range(9):
        packet = bundle(packet)
    assert reason_of(parse_osc(packet)) == "more than 8 bundles in each other"


def test_vmc_values_come_into_force_with_apply_and_keep() -> None:
    stream = VmcStream()
    assert stream(osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5)) is None
    assert face_of(stream(osc("/VMC/Ext/Blend/Apply"))).weights[JAW_OPEN] == 0.5
    assert stream(osc("/VMC/Ext/Blend/Val", "EYEBLINK_L", 1.0)) is None
    face = face_of(stream(osc("/VMC/Ext/Blend/Apply")))
    assert (face.weights[JAW_OPEN], face.weights[BLINK_LEFT]) == (0.5, 1)


def test_a_value_after_apply_waits_for_the_next_one() -> None:
    stream, apply = VmcStream(), osc("/VMC/Ext/Blend/Apply")
    face = face_of(stream(bundle(apply, osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5))))
    assert face.weights[JAW_OPEN] == 0
    assert face_of(stream(apply)).weights[JAW_OPEN] == 0.5


def test_a_refused_vmc_packet_changes_nothing() -> None:
    stream = VmcStream()
    good, bad = osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5), osc("/VMC/Ext/Blend/Val", "jawOpen", float("nan"))
    assert reason_of(stream(bundle(good, bad))) == "/VMC/Ext/Blend/Val without its 1 numbers"
    assert face_of(stream(osc("/VMC/Ext/Blend/Apply"))).weights[JAW_OPEN] == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (osc("/VMC/Ext/Blend/Val", 1, 2), "/VMC/Ext/Blend/Val without a name"),
        (osc("/VMC/Ext/Blend/Val", "jawOpen", 57.0), "'jawOpen' is 57.0, which no weight is"),
        (osc("/VMC/Ext/Blend/Val", "jawOpen", "x"), "/VMC/Ext/Blend/Val without its 1 numbers"),
        (osc("/VMC/Ext/Bone/Pos", "Head", 0.0, 1.0), "/VMC/Ext/Bone/Pos without its 7 numbers"),
        (osc("/VMC/Ext/T"), "/VMC/Ext/T without its 1 numbers"),
    ],
)
def test_why_a_vmc_message_is_refused(message: bytes, reason: str) -> None:
    assert reason_of(VmcStream()(message)) == reason


@pytest.mark.parametrize(
    ("unity", "ours"),
    [([1, 0, 0], [1, 0, 0]), ([0, 1, 0], [0, -1, 0]), ([0, 0, 1], [0, 0, -1])],
    ids=["nod", "to the character's right", "lean"],
)
def test_unity_turns_are_told_in_our_axes(unity: list[float], ours: list[float]) -> None:
    turn = Rotation.from_rotvec(0.3 * np.array(unity)).as_quat()
    pose = [osc("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, *map(float, turn)) for name in ("JAW", "head")]
    face = face_of(VmcStream()(bundle(*pose, osc("/VMC/Ext/Blend/Apply"))))
    np.testing.assert_allclose(face.joint_rot[[ROOT, JAW]], [0.3 * np.array(ours)] * 2, atol=1e-6)


def test_neck_and_head_make_the_skulls_turn() -> None:
    neck, head = np.array([0.1, 0.3, 0.0]), np.array([-0.2, 0.1, 0.3])
    face = face_of(VmcStream()(bundle(bone("Neck", neck), bone("Head", head), osc("/VMC/Ext/Blend/Apply"))))
    both = Rotation.from_rotvec(neck) * Rotation.from_rotvec(head)
    np.testing.assert_allclose(face.joint_rot[ROOT], both.as_rotvec(), atol=1e-6)


def test_vmc_says_that_nothing_is_tracked() -> None:
    apply = osc("/VMC/Ext/Blend/Apply")
    assert face_of(VmcStream()(bundle(osc("/VMC/Ext/OK", 1, 3, 0, 0), apply))).confidence == 0
    assert face_of(VmcStream()(bundle(osc("/VMC/Ext/OK", 1, 3, 0, 1), apply))).confidence == 1


@pytest.mark.parametrize(
    "text", ["mouthLeft&-7|jawOpen&50", "jawOpen-50|mouthLeft--7", " mouthLeft & -7 | JAWOPEN & 50 |"]
)
def test_both_versions_of_ifacialmocap_carry_negative_values(text: str) -> None:
    weights = face_of(parse_ifacialmocap(text.encode())).weights
    np.testing.assert_allclose(weights[[JAW_OPEN, ARKIT_52.index("mouthLeft")]], [0.5, -0.07])


def test_ifacialmocap_says_that_no_face_is_seen() -> None:
    assert face_of(parse_ifacialmocap(b"trackingStatus-0|jawOpen-1|")).confidence == 0


@pytest.mark.parametrize(("x", "y", "z"), [(6.0297494, 2.4403017, 0.25649446), (12.862795, 1.264116, 0.28145725)])
def test_an_eye_of_the_makers_example_looks_down_and_left_without_leaning(x: float, y: float, z: float) -> None:
    packet = f"jawOpen-1|leftEye#{x},{y},{z}|".encode()
    eye = Rotation.from_rotvec(face_of(parse_ifacialmocap(packet)).joint_rot[LEFT_EYE]).as_matrix()
    assert abs(eye[0, 1]) < 1e-5
    assert eye[1, 2] < 0 < eye[0, 2]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "no ARKit expression among its names"),
        (b"\xff\xfe\xfd", "not text"),
        (b"hello", "an entry 'hello' without a value"),
        (b"foo-3|bar-4", "no ARKit expression among its names"),
        (b"jawOpen-", "'' in the place of a number"),
        (b"jawOpen-nan", "'nan' in the place of a number"),
        (b"jawOpen&1e9", "'1e9' in the place of a number"),
        (b"jawOpen&1_0", "'1_0' in the place of a number"),
        (b"jawOpen-1|=head#1,2,3", "head with 3 numbers, expected 6"),
        (b"jawOpen-1|leftEye#1", "leftEye with 1 numbers, expected 3"),
    ],
)
def test_why_an_ifacialmocap_packet_is_refused(packet: bytes, reason: str) -> None:
    assert reason_of(parse_ifacialmocap(packet)) == reason


def test_a_weight_that_is_none_is_refused_and_other_names_are_told() -> None:
    assert arkit_weights([("jawOpen", 11.0)]) == Refused("jawOpen is 11, which no weight is")
    told = arkit_weights([("Joy", 500.0), ("x" * 100, 1.0)])
    assert not isinstance(told, Refused)
    assert told[1] == ("Joy", "x" * 64)


def face_with(weight: str | None = None) -> Face:
    """A face whose eyes and jaw are turned, one weight moved."""
    joints = still()
    joints[[JAW, LEFT_EYE, RIGHT_EYE]] = 0.1
    weights = np.zeros(len(ARKIT_52), np.float32)
    if weight:
        weights[ARKIT_52.index(weight)] = 0.5
    return Face(weights, joints)


def test_eyes_turn_by_their_angles_until_a_weight_of_theirs_moves_and_never_after() -> None:
    gaze = OneGaze()
    eyes = [gaze(face)[LEFT_EYE, 0] for face in (face_with(), face_with("eyeLookUpLeft"), face_with())]
    np.testing.assert_allclose(eyes, [0.1, 0, 0])


def test_the_jaw_turns_by_its_bone_until_a_weight_of_its_own_moves() -> None:
    gaze = OneGaze()
    turned = [gaze(face)[JAW, 0] for face in (face_with("eyeLookUpLeft"), face_with("jawOpen"), face_with())]
    np.testing.assert_allclose(turned, [0.1, 0, 0])
