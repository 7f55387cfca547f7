"""What the embedded head's expressions do."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.head import HeadModel, load_head
from avatar.head.generate.indices import LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER

from .measures import MIRROR, expression, mirror_of, normals, outer_faces, region, seen, template

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
def test_every_expression_moves_something_and_leaves_the_collar(head: HeadModel, name: str) -> None:
    move = np.linalg.norm(expression(head, name), axis=1)
    assert 0.05 < move.max() < 5
    assert move[region(head, "torso")].max() < 0.002  # cm, the rounding of the file


def test_an_open_jaw_parts_the_lips_by_three_to_four_centimetres(head: HeadModel) -> None:
    vertices = template(head) + expression(head, "jawOpen")
    assert 3 <= np.linalg.norm(vertices[13] - vertices[14]) <= 4


def test_mouth_close_closes_the_lips_over_an_open_jaw(head: HeadModel) -> None:
    vertices = template(head) + expression(head, "jawOpen") + expression(head, "mouthClose")
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
    vertices = template(head) + weight * expression(head, "eyeBlinkRight")
    centre = head.joint_locations(head.neutral_params().identity)[4].double().numpy() * 100
    edge = vertices[list(LID_UPPER + LID_LOWER)]
    assert np.linalg.norm(edge - centre, axis=1).min() >= CORNEA + 0.02


@pytest.mark.parametrize("name", HEAD.expression_names)
def test_no_visible_triangle_turns_over(head: HeadModel, name: str) -> None:
    """None turns by more than 101 degrees on the way to a weight of 1.

    mouthClose is meant for an open jaw and is judged on one.
    """
    rest, faces, outer = template(head), head.faces.numpy(), outer_faces(head)
    before = normals(rest, faces)
    for weight in (0.25, 0.5, 0.75, 1.0):
        after = normals(seen(head, {name: weight, **({"jawOpen": weight} if name == "mouthClose" else {})}), faces)
        lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
        turned = ((before * after).sum(1) < -0.2 * np.maximum(lengths, 1e-12)) & outer
        assert not turned.any(), f"at weight {weight}: {faces[turned].tolist()}"


def test_eyes_turn_about_their_centres(head: HeadModel) -> None:
    centre = head.joint_locations(head.neutral_params().identity)[3].double().numpy() * 100
    ball = region(head, "left_eyeball")
    vertices = template(head)
    before = np.linalg.norm(vertices[ball] - centre, axis=1)
    after = np.linalg.norm((vertices + expression(head, "eyeLookOutLeft"))[ball] - centre, axis=1)
    assert np.abs(before - after).max() < 0.01
    apex = np.argmax(vertices[ball, 2])
    assert expression(head, "eyeLookOutLeft")[ball][apex, 0] > 0.4  # the left eye looks to the left
