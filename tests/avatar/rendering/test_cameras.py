"""Cameras around a head: position, direction, framing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avatar.data.capture_folder import Capture
from avatar.errors import HeadsplatError
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.model.avatar import Avatar
from avatar.rendering.camera_request import CameraRequest, parse_camera
from avatar.rendering.cameras import Subject, front_camera, look_at, moving_camera, subject_of
from avatar.types import Camera

TIMES = np.linspace(0, 8, 33)


@pytest.fixture(scope="module")
def subject(tiny_avatar: Avatar, tiny: Capture) -> Subject:
    return subject_of(tiny_avatar, tiny.params(range(24)))


def centers(camera: Camera) -> torch.Tensor:
    """Centers [T,3] of the cameras [T]."""
    view = camera.world_to_cam
    return -(view[:, :3, :3].mT @ view[:, :3, 3:])[..., 0]


def pixels(camera: Camera, points: torch.Tensor) -> torch.Tensor:
    """Pixels [T,n,2] of points [n,3]."""
    return camera.project(points.expand(len(camera), -1, -1))


def test_a_camera_looks_at_its_target_the_right_way_up() -> None:
    eye, target = torch.tensor([[0.3, 0.2, 1.0]]), torch.tensor([0.0, 0.1, -0.5])
    view = look_at(eye, target)
    in_camera = view[0, :3, :3] @ target + view[0, :3, 3]
    torch.testing.assert_close(in_camera, torch.tensor([0.0, 0.0, float((target - eye[0]).norm())]), rtol=0, atol=1e-6)
    above = view[0, :3, :3] @ (target + torch.tensor([0.0, 0.1, 0.0])) + view[0, :3, 3]
    assert above[1] < 0  # y points down in the image
    assert torch.det(view[0, :3, :3]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(200, 200), (320, 120), (90, 240)])
def test_front_shows_the_full_head_in_a_frame_of_any_aspect_ratio(subject: Subject, width: int, height: int) -> None:
    camera = front_camera(subject, width, height)
    projected = pixels(camera, subject.head)[0]
    inside = ((projected >= 0) & (projected <= torch.tensor([width, height]))).all(1)
    assert inside.float().mean() > 0.98
    extent = projected.quantile(0.99, 0) - projected.quantile(0.01, 0)
    assert extent[0] > 0.6 * width or extent[1] > 0.4 * height
    assert camera.K[0, 0, 0] == camera.K[0, 1, 1]


def test_front_is_in_front_of_the_mean_face(subject: Subject) -> None:
    away = centers(front_camera(subject, 64, 64))[0] - subject.center
    torch.testing.assert_close(torch.nn.functional.normalize(away, dim=0), subject.forward, rtol=0, atol=1e-5)


def test_an_orbit_swings_to_both_sides_at_constant_distance(subject: Subject) -> None:
    camera = moving_camera(CameraRequest("orbit", 40, 8), subject, TIMES, 64, 64)
    away = centers(camera) - subject.center
    torch.testing.assert_close(away.norm(dim=1), away[0].norm().expand(33), rtol=1e-5, atol=0)
    start = away[0]
    for frame, degrees in ((8, 40.0), (16, 0.0), (24, -40.0), (32, 0.0)):
        turn = axis_angle_to_matrix(torch.tensor([0.0, degrees, 0.0]).deg2rad())
        torch.testing.assert_close(away[frame], turn @ start, rtol=0, atol=1e-5)


def test_an_orbit_of_360_degrees_is_a_full_turn(subject: Subject) -> None:
    away = centers(moving_camera(CameraRequest("orbit", 360, 8), subject, TIMES, 64, 64)) - subject.center
    torch.testing.assert_close(away[16][[0, 2]], -away[0][[0, 2]], rtol=0, atol=1e-5)
    torch.testing.assert_close(away[32], away[0], rtol=0, atol=1e-5)


def test_a_dolly_moves_closer_along_the_axis_and_back(subject: Subject) -> None:
    away = centers(moving_camera(CameraRequest("dolly", 0.5, 8), subject, TIMES, 64, 64)) - subject.center
    torch.testing.assert_close(away[16], 0.5 * away[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(away[32], away[0], rtol=0, atol=1e-5)


def test_camera_texts_are_parsed_with_their_numbers() -> None:
    assert parse_camera("front") == CameraRequest("front")
    assert parse_camera("orbit:40") == CameraRequest("orbit", 40, 8)
    assert parse_camera("dolly:0.5,3") == CameraRequest("dolly", 0.5, 3)
    assert parse_camera("orbit").amount == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("side", "--camera: 'side' is not a camera; give capture, front, orbit, orbit:DEGREES, dolly, or a .json file"),
        ("orbit:far", "'orbit:far' needs one or two numbers after the colon, such as orbit:40"),
        ("orbit:200", "turns by 200 degrees; give 0 to 180 to each side, or 360"),
        ("orbit:10,0", "takes 0 seconds; give 0.1 to 3600"),
        ("dolly:0", "moves to 0 times the distance; give 0.3 to 3"),
        ("gone.json", "gone.json: no such file; check the path"),
    ],
)
def test_camera_texts_that_are_not_valid_are_refused(text: str, message: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        parse_camera(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "request_", [CameraRequest("orbit", 40, 8), CameraRequest("dolly", 0.5, 8)], ids=["orbit", "dolly"]
)
def test_a_moving_camera_is_on_the_device_of_its_subject(subject: Subject, request_: CameraRequest) -> None:
    expected = moving_camera(request_, subject, TIMES, 64, 64)
    front = front_camera(subject, 64, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar.rendering.cameras.front_camera", lambda *_: front)
        with torch.device("meta"):  # a tensor created without a device is on meta and fails in any operation
            found = moving_camera(request_, subject, TIMES, 64, 64)
    assert torch.equal(found.world_to_cam, expected.world_to_cam)
