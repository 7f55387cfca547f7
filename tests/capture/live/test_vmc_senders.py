"""VMC of ordinary senders: presets of VRM models in place of ARKit's names, and frames without Apply."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head.arkit import ARKIT_52
from capture.live.protocols.packet_face import Face, Malformed
from capture.live.protocols.vmc import VmcDecoder
from tests.support.face_sender import bundle, osc

VRM_0 = ("A", "I", "U", "E", "O", "Blink", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Fun")
VRM_1 = ("aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft", "blinkRight", "happy", "angry", "sad", "relaxed")
APPLY = osc("/VMC/Ext/Blend/Apply")


def val(name: str, value: float) -> bytes:
    """The message of a value."""
    return osc("/VMC/Ext/Blend/Val", name, value)


def face_of(found: Face | Malformed | None) -> Face:
    """The face; fails without one."""
    assert isinstance(found, Face), found
    return found


def weights_of(**values: float) -> dict[str, float]:
    """The ARKit weights that are not 0, of a packet with these values and Apply."""
    face = face_of(VmcDecoder()(bundle(*(val(name, value) for name, value in values.items()), APPLY)))
    return {name: float(weight) for name, weight in zip(ARKIT_52, face.weights, strict=True) if weight}


@pytest.mark.parametrize(("old", "new"), list(zip(VRM_0, VRM_1, strict=True)))
def test_a_preset_of_vrm_0_and_its_name_in_vrm_1_move_the_same_face(old: str, new: str) -> None:
    assert weights_of(**{old: 1.0}) == weights_of(**{new: 1.0}) == weights_of(**{new.upper(): 1.0})
    assert weights_of(**{old: 1.0})
    assert weights_of(**{old: 0.5}) == pytest.approx({k: v / 2 for k, v in weights_of(**{old: 1.0}).items()})


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("A", {"jawOpen"}),
        ("U", {"mouthPucker"}),
        ("Blink", {"eyeBlinkLeft", "eyeBlinkRight"}),
        ("Blink_R", {"eyeBlinkRight"}),
        ("Joy", {"mouthSmileLeft", "mouthSmileRight"}),
        ("Sorrow", {"browInnerUp", "mouthFrownLeft"}),
        ("surprised", {"eyeWideLeft", "browOuterUpRight"}),
        ("LookLeft", {"eyeLookOutLeft", "eyeLookInRight"}),
    ],
)
def test_a_preset_moves_the_expressions_of_its_meaning(preset: str, expected: set[str]) -> None:
    assert expected <= set(weights_of(**{preset: 1.0}))


def test_presets_add_up_to_at_most_1_and_two_blinks_are_one() -> None:
    assert weights_of(A=1.0, O=1.0)["jawOpen"] == 1
    assert weights_of(Blink=0.5, Blink_L=0.5)["eyeBlinkLeft"] == 0.5
    assert weights_of(Joy=-1.0) == {}


def test_presets_are_not_used_beside_weights_of_arkits_names() -> None:
    assert weights_of(Joy=1.0, jawOpen=0.25) == {"jawOpen": 0.25}


def test_presets_are_used_beside_names_of_arkit_that_are_always_0() -> None:
    """A model has ARKit's shapes and a sender without them, or one shape of the same name."""
    assert weights_of(A=1.0, tongueOut=0.0) == weights_of(A=1.0)


def test_presets_are_used_again_after_a_model_of_arkits_names_was_replaced() -> None:
    decode = VmcDecoder()
    decode(bundle(val("jawOpen", 0.25), val("cheekPuff", 1.0), APPLY))
    faces = [face_of(decode(bundle(val("A", 1.0), APPLY))) for _ in range(130)]
    assert faces[0].weights[ARKIT_52.index("cheekPuff")] == 1
    assert dict(zip(ARKIT_52, faces[-1].weights.tolist(), strict=True))["jawOpen"] == pytest.approx(0.7)
    assert faces[-1].weights[ARKIT_52.index("cheekPuff")] == 0
    assert face_of(decode(bundle(val("A", 0.0), APPLY))).weights.max() == 0  # nothing of the first model remains


def test_arkits_weights_that_are_held_are_not_replaced_by_presets_at_rest() -> None:
    decode = VmcDecoder()
    decode(bundle(val("jawOpen", 0.25), val("Joy", 0.0), APPLY))
    faces = [face_of(decode(bundle(val("Joy", 0.0), APPLY))) for _ in range(300)]
    assert faces[-1].weights[ARKIT_52.index("jawOpen")] == 0.25


def test_names_that_are_no_presets_are_reported() -> None:
    face = face_of(VmcDecoder()(bundle(val("A", 1.0), val("Cry", 1.0), val("neutral", 1.0), APPLY)))
    assert face.ignored == ("Cry",)


def jaws(*packets: bytes) -> list[float]:
    """jawOpen of the faces in packets of one sender."""
    decode = VmcDecoder()
    faces = [decode(packet) for packet in packets]
    return [float(face.weights[ARKIT_52.index("jawOpen")]) for face in faces if isinstance(face, Face)]


def test_bundles_without_apply_end_where_a_name_comes_again() -> None:
    frames = [bundle(val("jawOpen", value), val("eyeBlinkLeft", 0.0)) for value in (0.125, 0.25, 0.5, 0.75)]
    assert jaws(*frames) == [0.25, 0.5]  # the first frame may be incomplete, the last one has not ended


def test_single_messages_without_apply_end_at_the_next_timestamp() -> None:
    packets = []
    for number, value in enumerate((0.125, 0.25, 0.5, 0.75)):
        packets += [osc("/VMC/Ext/T", number / 30), val("jawOpen", value), val("eyeBlinkLeft", 0.0)]
    decode = VmcDecoder()
    faces = [face for face in map(decode, packets) if isinstance(face, Face)]
    np.testing.assert_allclose([face.weights[ARKIT_52.index("jawOpen")] for face in faces], [0.25, 0.5])
    assert [face.source_time for face in faces] == pytest.approx([1 / 30, 2 / 30])


def test_a_sender_of_apply_completes_faces_by_nothing_else() -> None:
    packets = [val("jawOpen", 0.25), APPLY, val("jawOpen", 0.5), osc("/VMC/Ext/T", 1.0), val("jawOpen", 0.75)]
    assert jaws(*packets, val("jawOpen", 1.0)) == [0.25]
