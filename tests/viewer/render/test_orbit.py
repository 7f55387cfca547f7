"""The orbit camera: the front camera by default, always one that looks at the head."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from avatar.rendering.cameras import look_at
from avatar.types import Camera
from viewer.render.orbit import MAX_DISTANCE, MAX_LENS, MAX_PITCH, MIN_DISTANCE, MIN_LENS, Orbit, field_of_view

CENTER = torch.tensor([0.02, 0.05, -0.08])


def front_camera() -> Camera:
    pose = look_at(CENTER[None] + torch.tensor([[0.05, 0.02, 0.9]]), CENTER)
    K = torch.tensor([[[700.0, 0, 256], [0, 700, 300], [0, 0, 1]]])
    return Camera(K, pose, 512, 512)


def seen(camera: Camera, point: torch.Tensor) -> torch.Tensor:
    """Camera coordinates of a point."""
    return camera.world_to_cam[0, :3, :3] @ point + camera.world_to_cam[0, :3, 3]


orbits = st.builds(
    lambda *v: Orbit(v[0], v[1], v[2], (v[3], v[4]), v[5]).clamp(),
    st.floats(-400, 400),
    st.floats(-100, 100),
    st.floats(0, 9),
    st.floats(-3, 3),
    st.floats(-3, 3),
    st.floats(0, 9),
)


def test_the_default_is_the_front_camera() -> None:
    front = front_camera()
    assert Orbit().camera(front, CENTER) is front


def test_a_tiny_yaw_is_close_to_the_front_camera() -> None:
    front = front_camera()
    camera = Orbit(yaw=1e-6).camera(front, CENTER)
    torch.testing.assert_close(camera.world_to_cam, front.world_to_cam, atol=1e-5, rtol=0)


@given(orbits)
def test_every_orbit_is_a_rigid_camera_that_looks_at_the_center(orbit: Orbit) -> None:
    front = front_camera()
    camera = orbit.camera(front, CENTER)
    rotation = camera.world_to_cam[0, :3, :3].double()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-5, rtol=0)
    center = seen(camera, CENTER)
    distance = float(seen(front, CENTER).norm()) * orbit.distance
    expected = torch.tensor([-orbit.pan[0], orbit.pan[1], distance])
    torch.testing.assert_close(center, expected, atol=2e-4, rtol=1e-4)


def test_positive_yaw_is_to_the_cameras_right_and_positive_pitch_up() -> None:
    front = front_camera()
    eyes = {}
    for name, orbit in (("front", Orbit()), ("right", Orbit(yaw=30)), ("up", Orbit(pitch=30))):
        pose = orbit.camera(front, CENTER).world_to_cam[0]
        eyes[name] = -pose[:3, :3].T @ pose[:3, 3]
    assert eyes["right"][0] > eyes["front"][0] + 0.3
    assert eyes["up"][1] > eyes["front"][1] + 0.3


def test_the_lens_keeps_the_heads_size() -> None:
    front = front_camera()
    longer = Orbit().with_field_of_view(field_of_view(front), 12.0)
    camera = longer.camera(front, CENTER)
    assert field_of_view(camera) == pytest.approx(12.0, abs=1e-3)
    size = camera.K[0, 0, 0] / seen(camera, CENTER)[2]
    assert size == pytest.approx(float(front.K[0, 0, 0] / seen(front, CENTER)[2]), rel=1e-4)


@given(orbits, st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_all_values_stay_within_bounds(orbit: Orbit, right: float, up: float, factor: float) -> None:
    moves = orbit.rotate_by(right, up), orbit.pan_by(right, up), orbit.scale_distance(factor), orbit.with_lens(factor)
    for moved in moves:
        assert -180 <= moved.yaw <= 180 and abs(moved.pitch) <= MAX_PITCH
        assert MIN_DISTANCE <= moved.distance <= MAX_DISTANCE and MIN_LENS <= moved.lens <= MAX_LENS


def test_values_that_are_not_finite_become_finite() -> None:
    orbit = replace(Orbit(), pitch=math.nan, distance=math.inf, lens=-math.inf).clamp()
    assert all(math.isfinite(value) for value in (orbit.yaw, orbit.pitch, orbit.distance, orbit.lens))
