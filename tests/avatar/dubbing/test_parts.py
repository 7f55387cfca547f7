"""The replaced part of a face: which parameters change, and where on the head it is."""

from __future__ import annotations

import pytest
import torch

from avatar.dubbing.parts import Part, replaced_columns, vertex_weights, with_part
from avatar.head import load_head
from avatar.types import JAW, LEFT_EYE, NECK, RIGHT_EYE, ROOT, HeadParams

HEAD = load_head()


def params(value: float) -> HeadParams:
    neutral = HEAD.neutral_params(3)
    return HeadParams(
        neutral.identity, neutral.expression + value, neutral.joint_rot + value, neutral.translation + value
    )


@pytest.mark.parametrize(("part", "joints"), [("mouth", [JAW]), ("face", [JAW, LEFT_EYE, RIGHT_EYE])])
def test_the_part_comes_from_the_face_and_the_rest_from_the_film(part: Part, joints: list[int]) -> None:
    film, face = params(0.1), params(0.4)
    new = with_part(HEAD, film, face, part, torch.ones(3))
    replaced = replaced_columns(HEAD, part)
    assert torch.equal(new.expression[:, replaced], face.expression[:, replaced])
    assert torch.equal(new.expression[:, ~replaced], film.expression[:, ~replaced])
    kept = [joint for joint in range(5) if joint not in joints]
    assert {ROOT, NECK} <= set(kept) and torch.equal(new.joint_rot[:, kept], film.joint_rot[:, kept])
    assert torch.allclose(new.joint_rot[:, joints], face.joint_rot[:, joints], atol=1e-5)
    assert torch.equal(new.translation, film.translation)


def test_a_mouth_leaves_brows_lids_and_gaze() -> None:
    names = [
        name for name, replaced in zip(HEAD.expression_names, replaced_columns(HEAD, "mouth"), strict=True) if replaced
    ]
    assert {"jawOpen", "mouthClose", "tongueOut"} < set(names)
    assert not any(name.startswith(("brow", "eye")) for name in names)


def test_without_strength_and_with_the_same_face_every_bit_stays() -> None:
    film, face = params(0.1), params(0.4)
    for new in (
        with_part(HEAD, film, face, "face", torch.zeros(3)),
        with_part(HEAD, film, film, "face", torch.ones(3)),
    ):
        assert torch.equal(new.expression, film.expression) and torch.equal(new.joint_rot, film.joint_rot)


def test_a_mask_has_mouth_and_chin_and_ends_before_eyes_and_shoulders() -> None:
    weight, inside = vertex_weights(HEAD, "mouth")
    assert weight[HEAD.mask("lips", "tongue")].min() == 1
    assert weight[HEAD.mask("left_eyeball", "right_eyeball", "scalp", "left_ear")].max() < 0.05
    assert weight[HEAD.mask("boundary")].max() == 0
    assert inside[HEAD.mask("teeth_upper", "lips")].min() == 1 and inside[HEAD.mask("left_eyeball")].max() == 0
    of_face = vertex_weights(HEAD, "face")
    assert of_face[0][HEAD.mask("left_eyeball", "lips")].min() == 1 and torch.equal(of_face[1], inside)
    assert (of_face[0] >= weight - 1e-6).all()
