"""Packets of the three protocols: exact bytes, names, signs, and reasons of malformed packets."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.head.arkit import ARKIT_52
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, ROOT
from capture.live.protocols.ifacialmocap import parse_ifacialmocap
from capture.live.protocols.live_link import parse_live_link
from capture.live.protocols.osc import Message, parse_osc
from capture.live.protocols.packet_face import Face, GazeDeduplicator, Malformed, arkit_weights, resting_joints
from capture.live.protocols.vmc import VmcDecoder
from tests.support import face_sender
from tests.support.face_sender import MotionFile, bone, bundle, osc

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


def face_of(found: Face | Malformed | None) -> Face:
    """The face; fails without one."""
    assert isinstance(found, Face), found
    return found


def reason_of(found: Face | Malformed | None) -> str:
    """The reason; fails for a valid packet."""
    assert isinstance(found, Malformed), found
    return found.reason


def test_the_bytes_of_a_live_link_packet() -> None:
    face = face_of(parse_live_link(LIVE_LINK))
    assert (face.weights[BLINK_LEFT], face.weights[JAW_OPEN], face.weights.sum()) == (1, 0.5, 1.5)
    assert (face.stream, face.source_time, face.confidence) == ("id7/me", 300.5 / 60, 1)
    np.testing.assert_allclose(face.joint_rot[ROOT], [0, 0.25, 0], atol=1e-7)  # to the person's left


def test_the_bytes_of_a_vmc_packet() -> None:
    face = face_of(VmcDecoder()(VMC))
    assert (face.weights[JAW_OPEN], face.weights.sum(), face.confidence) == (0.5, 0.5, 1)


def test_the_bytes_of_an_ifacialmocap_packet() -> None:
    face = face_of(parse_ifacialmocap(IFACIALMOCAP))
    assert (face.weights[BLINK_LEFT], face.weights[JAW_OPEN], face.weights.sum()) == (1, 0.5, 1.5)
    np.testing.assert_allclose(face.joint_rot[ROOT], [0, np.radians(30), 0], atol=1e-6)
    np.testing.assert_allclose(face.translation, [0.1, 0.2, -0.5], atol=1e-7)
    assert face.ignored == ("hapihapi",)


@pytest.mark.parametrize("protocol", list(face_sender.ENCODERS))
def test_a_motion_is_decoded_from_its_packets(protocol: str, motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    decode = VmcDecoder() if protocol == "vmc" else parse_live_link if protocol == "livelink" else parse_ifacialmocap
    for frame in range(0, len(motion.time), 7):
        face = face_of(decode(face_sender.ENCODERS[protocol](motion, frame)))
        np.testing.assert_allclose(
            face.weights, motion.weights[frame], atol=0.006 if protocol == "ifacialmocap" else 2e-6
        )
        np.testing.assert_allclose(face.joint_rot, motion.joint_rot[frame], atol=1e-5)


@pytest.mark.parametrize("size", [0, 36, 37, 300])
def test_live_link_ids_have_any_length(size: int, motion_file: Path) -> None:
    face = face_of(parse_live_link(face_sender.live_link(MotionFile.of(motion_file), 3, device="x" * size)))
    assert face.stream == "x" * size + "/" + face_sender.SUBJECT


@pytest.mark.parametrize("end", [b"", b"\0"])
def test_a_live_link_packet_without_a_face_has_confidence_0_and_its_time(end: bytes, motion_file: Path) -> None:
    motion = MotionFile.of(motion_file)
    face = face_of(parse_live_link(face_sender.live_link(motion, 6, face=False) + end))
    assert face.confidence == 0
    assert face.source_time == pytest.approx(1000 / 60 + motion.time[6])


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "empty"),
        (b"\x05" + LIVE_LINK[1:], "version 5, not 6"),
        (LIVE_LINK[:3], "device id of 0 bytes in a packet of 3"),
        (b"\x06\x7f\xff\xff\xff" + LIVE_LINK[5:], "device id of 2147483647 bytes in a packet of 275"),
        (b"\x06\xff\xff\xff\xff" + LIVE_LINK[5:], "device id of -1 bytes in a packet of 275"),
        (LIVE_LINK[:25], "truncated before its frame time"),
        (LIVE_LINK[:22] + bytes(4) + LIVE_LINK[26:], "a frame time of 300+0.5 at 0/1"),
        (LIVE_LINK[:18] + b"\x7f\xc0\0\0" + LIVE_LINK[22:], "a frame time of 300+nan at 60/1"),
        (LIVE_LINK[:-1], "61 values in 243 bytes, expected 61 in 244"),
        (LIVE_LINK + b"\0", "61 values in 245 bytes, expected 61 in 244"),
        (LIVE_LINK[:-4] + b"\x7f\xc0\0\0", "a value outside the range of weights or angles"),
    ],
)
def test_the_reason_for_a_malformed_live_link_packet(packet: bytes, reason: str) -> None:
    assert reason_of(parse_live_link(packet)) == reason


def test_every_type_of_osc_argument_has_its_length() -> None:
    packed = struct.pack(">ifqdQ", -1, 0.5, 1 << 40, 0.25, 1) + b"\0\0\0\x05blob!\0\0\0" + b"text\0\0\0\0" + bytes(12)
    found = parse_osc(b"/a\0\0" + b",ifhdtbscrmTFN\0\0" + packed)
    assert found == (Message("/a", (-1, 0.5, 1 << 40, 0.25, 1, b"blob!", "text", 0, 0, 0, True, False, None)),)


def test_nested_bundles_are_decoded_in_order() -> None:
    found = parse_osc(bundle(osc("/a"), bundle(osc("/b"), bundle(osc("/c"))), osc("/d")))
    assert [message.address for message in found] == ["/a", "/b", "/c", "/d"]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "0 bytes, not a positive multiple of 4"),
        (b"/a\0", "3 bytes, not a positive multiple of 4"),
        (b"abc\0,\0\0\0", "an address that does not begin with /"),
        (b"/abc", "a string without a final zero byte"),
        (b"/a\0\0f\0\0\0", "no type tags"),
        (b"/a\0\0,f\0\0", "truncated within its arguments"),
        (b"/a\0\0,\0\0\0\0\0\0\0", "4 bytes after the last argument"),
        (b"/a\0\0,b\0\0\0\0\0\x09abcd", "a blob of 9 bytes where 4 are left"),
        (b"/a\0\0,b\0\0\xff\xff\xff\xff", "a blob of -1 bytes where 0 are left"),
        (b"/a\0\0,Q\0\0", "an argument of type 'Q'"),
        (b"#bundle\0\0\0\0\0", "a bundle truncated before its time tag"),
        (b"#bundle\0" + bytes(8) + b"\0\0\0\x08/a\0\0", "an element of 8 bytes where 4 are left"),
        (b"#bundle\0" + bytes(8) + bytes(4), "an element of 0 bytes where 0 are left"),
    ],
)
def test_the_reason_for_a_malformed_osc_packet(packet: bytes, reason: str) -> None:
    assert reason_of(parse_osc(packet)) == reason


def test_too_many_nested_bundles_are_rejected() -> None:
    packet = osc("/a")
    for _ in range(9):
        packet = bundle(packet)
    assert reason_of(parse_osc(packet)) == "more than 8 nested bundles"


def test_vmc_values_are_applied_by_apply_and_stay_valid() -> None:
    stream = VmcDecoder()
    assert stream(osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5)) is None
    assert face_of(stream(osc("/VMC/Ext/Blend/Apply"))).weights[JAW_OPEN] == 0.5
    assert stream(osc("/VMC/Ext/Blend/Val", "EYEBLINK_L", 1.0)) is None
    face = face_of(stream(osc("/VMC/Ext/Blend/Apply")))
    assert (face.weights[JAW_OPEN], face.weights[BLINK_LEFT]) == (0.5, 1)


def test_a_value_after_apply_is_applied_by_the_next_one() -> None:
    stream, apply = VmcDecoder(), osc("/VMC/Ext/Blend/Apply")
    face = face_of(stream(bundle(apply, osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5))))
    assert face.weights[JAW_OPEN] == 0
    assert face_of(stream(apply)).weights[JAW_OPEN] == 0.5


def test_a_malformed_vmc_packet_changes_nothing() -> None:
    stream = VmcDecoder()
    good, bad = osc("/VMC/Ext/Blend/Val", "jawOpen", 0.5), osc("/VMC/Ext/Blend/Val", "jawOpen", float("nan"))
    assert reason_of(stream(bundle(good, bad))) == "/VMC/Ext/Blend/Val without its number"
    assert face_of(stream(osc("/VMC/Ext/Blend/Apply"))).weights[JAW_OPEN] == 0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (osc("/VMC/Ext/Blend/Val", 1, 2), "/VMC/Ext/Blend/Val without a name"),
        (osc("/VMC/Ext/Blend/Val", "jawOpen", 57.0), "'jawOpen' is 57.0, not a valid weight"),
        (osc("/VMC/Ext/Blend/Val", "jawOpen", "x"), "/VMC/Ext/Blend/Val without its number"),
        (osc("/VMC/Ext/Bone/Pos", "Head", 0.0, 1.0), "/VMC/Ext/Bone/Pos without its 7 numbers"),
        (osc("/VMC/Ext/T"), "/VMC/Ext/T without its number"),
    ],
)
def test_the_reason_for_a_malformed_vmc_message(message: bytes, reason: str) -> None:
    assert reason_of(VmcDecoder()(message)) == reason


@pytest.mark.parametrize(
    ("unity", "ours"),
    [([1, 0, 0], [1, 0, 0]), ([0, 1, 0], [0, -1, 0]), ([0, 0, 1], [0, 0, -1])],
    ids=["nod", "to the character's right", "lean"],
)
def test_unity_rotations_are_converted_to_our_axes(unity: list[float], ours: list[float]) -> None:
    turn = Rotation.from_rotvec(0.3 * np.array(unity)).as_quat()
    pose = [osc("/VMC/Ext/Bone/Pos", name, 0.0, 0.0, 0.0, *map(float, turn)) for name in ("JAW", "head")]
    face = face_of(VmcDecoder()(bundle(*pose, osc("/VMC/Ext/Blend/Apply"))))
    np.testing.assert_allclose(face.joint_rot[[ROOT, JAW]], [0.3 * np.array(ours)] * 2, atol=1e-6)


def test_neck_and_head_are_combined_to_the_skulls_rotation() -> None:
    neck, head = np.array([0.1, 0.3, 0.0]), np.array([-0.2, 0.1, 0.3])
    face = face_of(VmcDecoder()(bundle(bone("Neck", neck), bone("Head", head), osc("/VMC/Ext/Blend/Apply"))))
    both = Rotation.from_rotvec(neck) * Rotation.from_rotvec(head)
    np.testing.assert_allclose(face.joint_rot[ROOT], both.as_rotvec(), atol=1e-6)


def test_vmc_without_tracking_has_confidence_0() -> None:
    apply = osc("/VMC/Ext/Blend/Apply")
    assert face_of(VmcDecoder()(bundle(osc("/VMC/Ext/OK", 1, 3, 0, 0), apply))).confidence == 0
    assert face_of(VmcDecoder()(bundle(osc("/VMC/Ext/OK", 1, 3, 0, 1), apply))).confidence == 1


@pytest.mark.parametrize(
    "text", ["mouthLeft&-7|jawOpen&50", "jawOpen-50|mouthLeft--7", " mouthLeft & -7 | JAWOPEN & 50 |"]
)
def test_both_versions_of_ifacialmocap_support_negative_values(text: str) -> None:
    weights = face_of(parse_ifacialmocap(text.encode())).weights
    np.testing.assert_allclose(weights[[JAW_OPEN, ARKIT_52.index("mouthLeft")]], [0.5, -0.07])


def test_ifacialmocap_without_tracking_has_confidence_0() -> None:
    assert face_of(parse_ifacialmocap(b"trackingStatus-0|jawOpen-1|")).confidence == 0


@pytest.mark.parametrize(("x", "y", "z"), [(6.0297494, 2.4403017, 0.25649446), (12.862795, 1.264116, 0.28145725)])
def test_an_eye_of_the_makers_example_looks_down_and_left_without_roll(x: float, y: float, z: float) -> None:
    packet = f"jawOpen-1|leftEye#{x},{y},{z}|".encode()
    eye = Rotation.from_rotvec(face_of(parse_ifacialmocap(packet)).joint_rot[LEFT_EYE]).as_matrix()
    assert abs(eye[0, 1]) < 1e-5
    assert eye[1, 2] < 0 < eye[0, 2]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (b"", "no ARKit expression names"),
        (b"\xff\xfe\xfd", "not UTF-8 text"),
        (b"hello", "an entry 'hello' without a value"),
        (b"foo-3|bar-4", "no ARKit expression names"),
        (b"jawOpen-", "'' instead of a number"),
        (b"jawOpen-nan", "'nan' instead of a number"),
        (b"jawOpen&1e9", "'1e9' instead of a number"),
        (b"jawOpen&1_0", "'1_0' instead of a number"),
        (b"jawOpen-1|=head#1,2,3", "head with 3 numbers, expected 6"),
        (b"jawOpen-1|leftEye#1", "leftEye with 1 numbers, expected 3"),
    ],
)
def test_the_reason_for_a_malformed_ifacialmocap_packet(packet: bytes, reason: str) -> None:
    assert reason_of(parse_ifacialmocap(packet)) == reason


def test_an_invalid_weight_is_rejected_and_unknown_names_are_returned() -> None:
    assert arkit_weights([("jawOpen", 11.0)]) == Malformed("jawOpen is 11, not a valid weight")
    found = arkit_weights([("Joy", 500.0), ("x" * 100, 1.0)])
    assert not isinstance(found, Malformed)
    assert found[1] == ("Joy", "x" * 64)


def face_with(weight: str | None = None) -> Face:
    """A face with rotations of eyes and jaw, and one weight."""
    joints = resting_joints()
    joints[[JAW, LEFT_EYE, RIGHT_EYE]] = 0.1
    weights = np.zeros(len(ARKIT_52), np.float32)
    if weight:
        weights[ARKIT_52.index(weight)] = 0.5
    return Face(weights, joints)


def test_eyes_use_their_angles_until_a_gaze_weight_was_not_0() -> None:
    gaze = GazeDeduplicator()
    eyes = [gaze(face)[LEFT_EYE, 0] for face in (face_with(), face_with("eyeLookUpLeft"), face_with())]
    np.testing.assert_allclose(eyes, [0.1, 0, 0])


def test_the_jaw_uses_its_bone_until_a_jaw_weight_was_not_0() -> None:
    gaze = GazeDeduplicator()
    turned = [gaze(face)[JAW, 0] for face in (face_with("eyeLookUpLeft"), face_with("jawOpen"), face_with())]
    np.testing.assert_allclose(turned, [0.1, 0, 0])
