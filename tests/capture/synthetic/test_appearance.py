"""Glasses of the procedural people, and their shape outside the span of the head model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.head import load_head
from capture.synthetic import APPEARANCES, SyntheticOptions, SyntheticScene
from capture.synthetic.glasses import Glasses
from capture.synthetic.person import Person

APPEARANCE = replace(APPEARANCES["vera"], hair=replace(APPEARANCES["vera"].hair, strands=200))


@pytest.fixture(scope="module")
def person() -> Person:
    return Person(APPEARANCE)


def test_glasses_are_tubes_with_outward_faces(person: Person) -> None:
    glasses = Glasses(person, (0.1, 0.1, 0.1))
    edges = np.concatenate([glasses.faces[:, [a, b]] for a, b in ((0, 1), (1, 2), (2, 0))])
    ordered = {(int(a), int(b)) for a, b in edges}
    open_edges = [edge for edge in ordered if edge[::-1] not in ordered]
    assert len(ordered) == len(edges)  # no edge occurs twice in the same direction
    assert len(open_edges) == 6 * 8  # bridge and temples have open ends inside rims and behind ears
    corners = glasses.rest[glasses.faces]
    volume = np.einsum("fc,fc->f", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert volume > 0


def test_glasses_are_in_front_of_the_eyes_and_move_with_the_skull(person: Person) -> None:
    glasses = Glasses(person, (0.1, 0.1, 0.1))
    eyes = person.landmarks[[159, 386, 145, 374]]
    front = glasses.rest[glasses.rest[:, 2] > eyes[:, 2].max()]
    assert len(front) > 0.5 * len(glasses.rest)
    rotation = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]], np.float32)
    posed = glasses.pose(rotation, np.array([0.1, 0.2, 0.3], np.float32))
    np.testing.assert_allclose((posed - [0.1, 0.2, 0.3]) @ rotation * 100, glasses.rest, atol=1e-4)


def test_expressions_do_not_intersect_the_rims(person: Person) -> None:
    glasses = Glasses(person, (0.1, 0.1, 0.1))
    names = person.head.expression_names
    identity = np.tile(np.eye(3, dtype=np.float32), (5, 1, 1)), np.zeros((5, 3), np.float32)
    rims = glasses.rest[: 2 * 56 * 8] * np.float32(0.01)
    for stem in ("mouthSmile", "cheekSquint", "browDown"):
        expression = np.array([0.9 * name.startswith(stem) for name in names], np.float32)
        skin = person.vertices(expression, *identity)[person.region("face", "eyelids")]
        nearest = np.linalg.norm(skin[None, :, :2] - rims[:, None, :2], axis=-1).argmin(1)
        assert np.median(rims[:, 2] - skin[nearest, 2]) > 0.003


def test_a_crooked_mouth_is_outside_the_span_of_the_expressions(person: Person) -> None:
    head, straight = load_head(), Person(replace(APPEARANCE, crooked=0.0))
    identity = np.tile(np.eye(3, dtype=np.float32), (5, 1, 1)), np.zeros((5, 3), np.float32)
    expression = np.zeros(len(head.expression_names), np.float32)
    expression[head.expression_index("jawOpen")] = 1
    offset = torch.from_numpy(person.vertices(expression, *identity) - straight.vertices(expression, *identity))
    assert 0.0015 < offset.norm(dim=1).max() < 0.003  # meters
    skin = head.regions["face"] | head.regions["lips"]
    basis = head.exprdirs[skin].reshape(-1, head.exprdirs.shape[2])
    target = offset[skin].reshape(-1)
    residual = target - basis @ torch.linalg.lstsq(basis, target[:, None]).solution[:, 0]
    assert residual.norm() > 0.2 * target.norm()


def test_glasses_can_be_added_to_a_person_without(sparse: str) -> None:
    options = SyntheticOptions(person=sparse, width=96, height=128, frames=1, noise=0.0)
    bare, wearing = (SyntheticScene(replace(options, glasses=on)).frame(0).astype(int) for on in (False, True))
    changed = np.abs(bare - wearing).max(-1) > 25
    assert 0.003 < changed.mean() < 0.08
