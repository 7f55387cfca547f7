"""Cameras about a head: where they are, where they look, what they show."""

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


def eyes(camera: Camera) -> torch.Tensor:
    """Where the cameras [T] are, [T,3]."""
    view = camera.world_to_cam
    return -(view[:, :3, :3].mT @ view[:, :3, 3:])[..., 0]


def pixels(camera: Camera, points: torch.Tensor) -> torch.Tensor:
    """Pixels [T,n,2] of points [n,3]."""
    return camera.project(points.expand(len(camera), -1, -1))


def test_a_camera_looks_at_its_target_the_right_way_up() -> None:
    eye, target = torch.tensor([[0.3, 0.2, 1.0]]), torch.tensor([0.0, 0.1, -0.5])
    view = look_at(eye, target)
    seen = view[0, :3, :3] @ target + view[0, :3, 3]
    torch.testing.assert_close(seen, torch.tensor([0.0, 0.0, float((target - eye[0]).norm())]), rtol=0, atol=1e-6)
    above = view[0, :3, :3] @ (target + torch.tensor([0.0, 0.1, 0.0])) + view[0, :3, 3]
    assert above[1] < 0  # y points down in the picture
    assert torch.det(view[0, :3, :3]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("width", "height"), [(200, 200), (320, 120), (90, 240)])
def test_front_shows_the_whole_head_in_a_picture_of_any_shape(subject: Subject, width: int, height: int) -> None:
    camera = front_camera(subject, width, height)
    seen = pixels(camera, subject.head)[0]
    inside = ((seen >= 0) & (seen <= torch.tensor([width, height]))).all(1)
    assert inside.float().mean() > 0.98
    spread = seen.quantile(0.99, 0) - seen.quantile(0.01, 0)
    assert spread[0] > 0.6 * width or spread[1] > 0.4 * height
    assert camera.K[0, 0, 0] == camera.K[0, 1, 1]


def test_front_is_straight_before_the_mean_face(subject: Subject) -> None:
    away = eyes(front_camera(subject, 64, 64))[0] - subject.center
    torch.testing.assert_close(torch.nn.functional.normalize(away, dim=0), subject.forward, rtol=0, atol=1e-5)


def test_an_orbit_swings_to_both_sides_at_one_distance(subject: Subject) -> None:
    camera = moving_camera(CameraRequest("orbit", 40, 8), subject, TIMES, 64, 64)
    away = eyes(camera) - subject.center
    torch.testing.assert_close(away.norm(dim=1), away[0].norm().expand(33), rtol=1e-5, atol=0)
    start = away[0]
    for frame, degrees in ((8, 40.0), (16, 0.0), (24, -40.0), (32, 0.0)):
        turn = axis_angle_to_matrix(torch.tensor([0.0, degrees, 0.0]).deg2rad())
        torch.testing.assert_close(away[frame], turn @ start, rtol=0, atol=1e-5)


def test_an_orbit_of_360_goes_round(subject: Subject) -> None:
    away = eyes(moving_camera(CameraRequest("orbit", 360, 8), subject, TIMES, 64, 64)) - subject.center
    torch.testing.assert_close(away[16][[0, 2]], -away[0][[0, 2]], rtol=0, atol=1e-5)
    torch.testing.assert_close(away[32], away[0], rtol=0, atol=1e-5)


def test_a_dolly_comes_nearer_along_the_axis_and_goes_back(subject: Subject) -> None:
    away = eyes(moving_camera(CameraRequest("dolly", 0.5, 8), subject, TIMES, 64, 64)) - subject.center
    torch.testing.assert_close(away[16], 0.5 * away[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(away[32], away[0], rtol=0, atol=1e-5)


def test_camera_texts_say_their_numbers() -> None:
    assert parse_camera("front") == CameraRequest("front")
    assert parse_camera("orbit:40") == CameraRequest("orbit", 40, 8)
    assert parse_camera("dolly:0.5,3") == CameraRequest("dolly", 0.5, 3)
    assert parse_camera("orbit").amount == 20


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("side", "--camera: 'side' is no camera; give capture, front, orbit, orbit:DEGREES, dolly, or a .json file"),
        ("orbit:far", "'orbit:far' has no numbers to use; give one or two, such as orbit:40"),
        ("orbit:200", "turns by 200 degrees; give 0 to 180 to each side, or 360"),
        ("orbit:10,0", "takes 0 seconds; give 0.1 to 3600"),
        ("dolly:0", "moves to 0 of the distance; give 0.3 to 3"),
        ("gone.json", "gone.json: no such file; check its path"),
    ],
)
def test_camera_texts_that_cannot_be_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(HeadsplatError) as caught:
        parse_camera(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "request_", [CameraRequest("orbit", 40, 8), CameraRequest("dolly", 0.5, 8)], ids=["orbit", "dolly"]
)
def test_a_moving_camera_is_made_on_its_subjects_device(subject: Subject, request_: CameraRequest) -> None:
    expected = moving_camera(request_, subject, TIMES, 64, 64)
    front = front_camera(subject, 64, 64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("avatar.rendering.cameras.front_camera", lambda *_: front)
        with torch.device("meta"):  # what is made without a device lands there, and mixes with nothing
            found = moving_camera(request_, subject, TIMES, 64, 64)
    assert torch.equal(found.world_to_cam, expected.world_to_cam)
