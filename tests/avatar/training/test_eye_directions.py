"""The angle between the eyes is measured from the irises and turns the eyeballs of the baked head."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import bake_identity
from avatar.model.parts.mesh_layer import MeshLayer
from avatar.training.eye_directions import LIMIT, eye_angle, with_eye_directions
from avatar.types import LEFT_EYE, RIGHT_EYE
from tests.support.tiny import tiny_capture


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    return tiny_capture(tmp_path_factory.mktemp("eyes") / "capture", size=256)


def person(capture: Capture) -> HeadModel:
    return bake_identity(load_head(), torch.from_numpy(np.asarray(capture.track["identity"], np.float32)))


def seen_with(capture: Capture, degrees: float) -> Capture:
    """`capture` with landmarks of a person whose eyes diverge by `degrees` more."""
    head, params = person(capture), capture.params(range(len(capture)))
    params = replace(params, identity=torch.zeros(0))
    vertices, (rotation, translation) = head.skull_vertices(params), head.skull_pose(params)
    joints = head.joint_locations(torch.zeros(0))
    for name, joint, sign in (("left_eyeball", LEFT_EYE, 1), ("right_eyeball", RIGHT_EYE, -1)):
        turn = axis_angle_to_matrix(torch.tensor([0.0, math.radians(sign * degrees / 2), 0.0]))
        eye = head.regions[name]
        vertices[:, eye] = (vertices[:, eye] - joints[joint]) @ turn.T + joints[joint]
    world = head.landmarks(vertices) @ rotation.transpose(1, 2) + translation[:, None]
    camera = capture.camera(256, range(len(capture)))
    landmarks = np.concatenate([camera.project(world).numpy(), np.zeros((len(capture), 478, 1))], 2)
    return replace(capture, track=dict(capture.track) | {"landmarks": landmarks.astype(np.float32)})


@pytest.mark.parametrize("degrees", [-6.0, 0.0, 5.0])
def test_the_angle_of_the_landmarks_is_found_and_then_gone(capture: Capture, degrees: float) -> None:
    head, seen = person(capture), seen_with(capture, degrees)
    found = eye_angle(seen, capture.train_indices, head)
    assert found is not None and np.degrees(found) == pytest.approx(degrees, abs=0.3)
    turned = with_eye_directions(seen, capture.train_indices, head)
    assert np.degrees(eye_angle(seen, capture.train_indices, turned) or 0.0) == pytest.approx(0, abs=0.05)
    eyes = head.regions["left_eyeball"] | head.regions["right_eyeball"]
    torch.testing.assert_close(turned.v_template[~eyes], head.v_template[~eyes])
    # Both eyes still share their texels.
    layers = [MeshLayer(each) for each in (head, turned)]
    assert len(layers[0].start) == len(layers[1].start)


def test_an_impossible_angle_is_limited(capture: Capture) -> None:
    head, seen = person(capture), seen_with(capture, 30.0)
    assert eye_angle(seen, capture.train_indices, head) == pytest.approx(LIMIT)


def test_small_or_closed_eyes_and_heads_without_eyes_change_nothing(capture: Capture) -> None:
    head, seen = person(capture), seen_with(capture, 5.0)
    small = replace(seen, track=dict(seen.track) | {"landmarks": seen.track["landmarks"] * 0.1})
    closed = seen.track["landmarks"].copy()
    closed[:, [159, 386]] = closed[:, [145, 374]]
    for other in (small, replace(seen, track=dict(seen.track) | {"landmarks": closed})):
        assert with_eye_directions(other, capture.train_indices, head) is head
    blind = replace(head, regions={name: mask for name, mask in head.regions.items() if "eyeball" not in name})
    assert with_eye_directions(seen, capture.train_indices, blind) is blind
