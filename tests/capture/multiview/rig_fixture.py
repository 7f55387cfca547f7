"""Cameras around the synthetic head of landmark_fixture, and their observations of it."""

from __future__ import annotations

import numpy as np

from avatar.geometry.numpy_rotations import exp_rotation
from capture.multiview.rig import FLIP, CameraObservation, RigCamera
from capture.multiview.track import TimeSteps
from capture.tracker.indices import LEFT_IRIS, RIGHT_IRIS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State

#: Position of the head of `make_states`.
CENTER = np.array([0.0, 0.0, -0.8])


def make_cameras(*yaws: float, distance: float = 0.8, focal: float = 900.0) -> list[RigCamera]:
    """Cameras at `yaws` degrees around the head, looking at it; yaw 0 is FACING_CAMERA at the origin."""
    cameras = []
    for k, yaw in enumerate(np.radians(yaws)):
        back = exp_rotation(np.array([-0.1 * k, yaw, 0.0]))  # columns: the camera's axes (y up, z back) in the world
        position = CENTER + distance * back[:, 2]
        cameras.append(RigCamera(Pinhole(focal + 40 * k, 256.0 + 5 * k, 256.0), back.T, -back.T @ position))
    return cameras


def matrix(camera: RigCamera) -> tuple[np.ndarray, np.ndarray]:
    """K [3,3] and world_to_cam [4,4] of the camera."""
    p = camera.pinhole
    return np.array([[p.focal, 0, p.cx], [0, p.focal, p.cy], [0, 0, 1.0]]), camera.world_to_cam


def observe(
    model: LandmarkModel,
    identity: np.ndarray,
    cameras: list[RigCamera],
    states: list[State],
    noise: float,
    seed: int = 1,
) -> TimeSteps:
    """Observations of the states by all cameras at 30 fps, with `noise` pixels of error."""
    rng = np.random.default_rng(seed)
    _, irises = model.eyes(identity)
    observations = []
    for state in states:
        skull = np.zeros((478, 3))
        skull[:468] = model.posed_landmarks(identity, state.expression)
        for eye, start in enumerate((LEFT_IRIS, RIGHT_IRIS)):
            skull[start : start + 5] = irises[eye]
        seen = []
        for index, camera in enumerate(cameras):
            local = camera.to_camera(state)
            world = skull @ local.rotation.T + local.translation
            points = np.zeros((478, 3))
            points[:, :2] = (
                camera.pinhole.project(world) + rng.normal(0, noise, (478, 2))
                if noise
                else (camera.pinhole.project(world))
            )
            points[:, 2] = -(world[:, 2] - local.translation[2]) * camera.pinhole.focal / -local.translation[2]
            seen.append(CameraObservation(index, points, np.zeros(478)))
        observations.append(tuple(seen))
    return TimeSteps(tuple(observations), np.arange(len(states)) / 30)


__all__ = ["CENTER", "FLIP", "make_cameras", "matrix", "observe"]
