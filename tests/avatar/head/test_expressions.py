"""The embedded head's expressions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.head import HeadModel, load_head
from avatar.head.anatomy.indices import LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER
from avatar.types import JAW, LEFT_EYE, RIGHT_EYE, HeadParams

from .measures import MIRROR, expression, mirror_of, normals, outer_faces, posed, region, template

CORNEA = 1.20 * 1.045  # cm, the eyeball's radius at its bulge
HEAD = load_head()
SIDED = [name.removesuffix("Right") for name in HEAD.expression_names if name.endswith("Right")]
UNSIDED = [name for name in HEAD.expression_names if not name.endswith(("Left", "Right"))]


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HEAD


def _lip_gaps(vertices: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices[list(LIP_UPPER[3][1:])] - vertices[list(LIP_LOWER[3][1:])], axis=1)


@pytest.fixture(scope="module")
def mirror(head: HeadModel) -> np.ndarray:
    return mirror_of(template(head))[1]


@pytest.mark.parametrize("name", SIDED)
def test_left_is_the_mirror_image_of_right(head: HeadModel, mirror: np.ndarray, name: str) -> None:
    left, right = expression(head, f"{name}Left"), expression(head, f"{name}Right")
    assert np.abs(left - (right * MIRROR)[mirror]).max() < 1e-4  # 1e-6 m


@pytest.mark.parametrize("name", UNSIDED)
def test_unsided_expressions_are_symmetric(head: HeadModel, mirror: np.ndarray, name: str) -> None:
    move = expression(head, name)
    assert np.abs(move - (move * MIRROR)[mirror]).max() < 1e-4


@pytest.mark.parametrize("name", HEAD.expression_names)
def test_every_expression_moves_something_but_not_the_collar(head: HeadModel, name: str) -> None:
    move = np.linalg.norm(expression(head, name), axis=1)
    assert 0.05 < move.max() < 5
    assert move[region(head, "torso")].max() < 0.005  # cm, ringing of the interpolation beyond the jaw


def test_an_open_jaw_separates_the_lips_by_three_to_four_centimeters(head: HeadModel) -> None:
    vertices = template(head) + expression(head, "jawOpen")
    assert 3 <= np.linalg.norm(vertices[13] - vertices[14]) <= 4


def test_mouth_close_closes_the_lips_over_an_open_jaw(head: HeadModel) -> None:
    vertices = posed(head, {"jawOpen": 1.0, "mouthClose": 1.0})
    assert _lip_gaps(vertices).max() <= 0.02


@pytest.mark.parametrize("name", ["mouthRollUpper", "mouthRollLower", "mouthShrugUpper", "mouthShrugLower"])
def test_rolled_and_shrugged_lips_stay_closed(head: HeadModel, name: str) -> None:
    vertices = template(head) + expression(head, name)
    upper, lower = list(LIP_UPPER[3][1:]), list(LIP_LOWER[3][1:])
    assert (vertices[upper, 1] - vertices[lower, 1]).max() <= 0.06


@pytest.mark.parametrize("name", ["eyeBlinkRight", "eyelidRight"])
def test_closed_lids_meet(head: HeadModel, name: str) -> None:
    vertices = template(head) + expression(head, name)
    assert np.linalg.norm(vertices[list(LID_UPPER)] - vertices[list(LID_LOWER)], axis=1).max() <= 0.01


@pytest.mark.parametrize("weight", [0, 0.25, 0.5, 0.75, 1])
def test_lid_edges_clear_the_cornea(head: HeadModel, weight: float) -> None:
    vertices = posed(head, {"eyeBlinkRight": weight})
    center = head.joint_locations(head.neutral_params().identity)[4].double().numpy() * 100
    edge = vertices[list(LID_UPPER + LID_LOWER)]
    assert np.linalg.norm(edge - center, axis=1).min() >= CORNEA + 0.02


@pytest.mark.parametrize("name", HEAD.expression_names)
def test_no_visible_triangle_flips(head: HeadModel, name: str) -> None:
    """None turns by more than 101 degrees on the way to a weight of 1.

    mouthClose is meant for an open jaw and is judged on one.
    """
    rest, faces, outer = template(head), head.faces.numpy(), outer_faces(head)
    before = normals(rest, faces)
    for weight in (0.25, 0.5, 0.75, 1.0):
        after = normals(posed(head, {name: weight, **({"jawOpen": weight} if name == "mouthClose" else {})}), faces)
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        turned = ((before * after).sum(1) < -0.2 * np.maximum(lengths, 1e-12)) & outer
        assert not turned.any(), f"at weight {weight}: {faces[turned].tolist()}"


def test_eyes_rotate_about_their_centers(head: HeadModel) -> None:
    center = head.joint_locations(head.neutral_params().identity)[3].double().numpy() * 100
    ball = region(head, "left_eyeball")
    vertices = template(head)
    before = np.linalg.norm(vertices[ball] - center, axis=1)
    for weight in (0.5, 1.0):
        after = np.linalg.norm(posed(head, {"eyeLookOutLeft": weight})[ball] - center, axis=1)
        assert np.abs(before - after).max() < 1e-4
    apex = np.argmax(vertices[ball, 2])
    assert expression(head, "eyeLookOutLeft")[ball][apex, 0] > 0.4  # the left eye looks to the left


@pytest.mark.parametrize(
    ("name", "joint"), [("jawOpen", JAW), ("jawLeft", JAW), ("eyeLookUpLeft", LEFT_EYE), ("eyeLookInRight", RIGHT_EYE)]
)
def test_an_expression_and_its_joint_agree(head: HeadModel, name: str, joint: int) -> None:
    """The expression at weight 1 is its rest-pose displacement followed by the joint's rotation."""
    index = head.expression_index(name)
    params = head.neutral_params()
    params.joint_rot[0, joint] = head.joint_dirs[joint, :, index]
    shift = head.exprdirs[:, :, index]
    by_joint = head.vertices(params)[0] + shift_by_joint(head, params, shift)
    assert np.abs(posed(head, {name: 1.0}) / 100 - by_joint.numpy()).max() < 1e-6


def shift_by_joint(head: HeadModel, params: HeadParams, shift: torch.Tensor) -> torch.Tensor:
    """A rest-pose displacement [V,3] after the joints' rotations."""
    rotations, _ = head.joint_transforms(params)
    return torch.einsum("vj,jab,vb->va", head.lbs_weights, rotations[0], shift)


def test_the_teeth_open_on_an_arc_about_the_hinge(head: HeadModel) -> None:
    """Halfway, the lower teeth are as far from the hinge as the joint alone leaves them, to the hinge's own slide."""
    teeth = region(head, "teeth_lower")
    hinge = head.joint_locations(head.neutral_params().identity)[JAW].double().numpy() * 100
    reach = [np.linalg.norm(posed(head, {"jawOpen": w})[teeth] - hinge, axis=1) for w in (0.0, 0.5, 1.0)]
    assert np.abs(reach[1] - (reach[0] + reach[2]) / 2).max() < 0.02


def test_half_closed_lids_stay_on_an_arc_about_the_eye(head: HeadModel) -> None:
    """Without the curve the middle of the upper lid would be 0.05 cm or more inside the arc."""
    center = head.joint_locations(head.neutral_params().identity)[RIGHT_EYE].double().numpy() * 100
    upper = list(LID_UPPER[2:-2])
    reach = [np.linalg.norm(posed(head, {"eyeBlinkRight": w})[upper] - center, axis=1) for w in (0.0, 0.5, 1.0)]
    assert np.abs(reach[1] - (reach[0] + reach[2]) / 2).max() < 0.01


def test_tongue_leaves_the_mouth(head: HeadModel) -> None:
    tongue = region(head, "tongue")
    vertices = template(head) + expression(head, "tongueOut")
    assert vertices[tongue, 2].max() > vertices[list(LIP_LOWER[0]), 2].max() + 0.5
