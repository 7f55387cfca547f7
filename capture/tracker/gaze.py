"""Gaze: the iris landmarks intersected with the eyeballs of the head model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from capture.tracker.indices import LEFT_IRIS, RIGHT_IRIS
from capture.tracker.landmark_model import LandmarkModel
from capture.tracker.problem import Pinhole, State

LIMIT = 0.6  # radians, maximum rotation of an eye
_SMOOTH_SECONDS = 0.027  # standard deviation of the kernel; a saccade lasts about 0.05 s


def eye_angles(
    model: LandmarkModel, identity: np.ndarray, camera: Pinhole, states: Sequence[State], points: np.ndarray
) -> np.ndarray:
    """Yaw (to the subject's left) and pitch (up) [T,2] radians of the gaze against straight ahead, mean of the eyes.

    The ray through each iris center intersects the eyeball; where it misses, its point nearest to the eye's center is
    used. NaN where neither iris is seen.

    Args:
        model: landmark model of the head.
        identity: [S].
        camera: of the landmarks.
        states: [T] poses.
        points: landmarks [T,478,3] pixels.
    """
    centers, irises = model.eyes(identity)
    angles = np.zeros((len(states), 2, 2))
    for eye, landmark in enumerate((LEFT_IRIS, RIGHT_IRIS)):
        rest = irises[eye] - centers[eye]
        radius = np.linalg.norm(rest)
        for frame, state in enumerate(states):
            pixel = points[frame, landmark, :2]
            ray = np.array([pixel[0] - camera.cx, camera.cy - pixel[1], -camera.focal])
            ray /= np.linalg.norm(ray)
            center = state.rotation @ centers[eye] + state.translation
            along = ray @ center
            inside = max(along * along - (center @ center - radius * radius), 0.0)
            direction = state.rotation.T @ (ray * (along - np.sqrt(inside)) - center)
            angles[frame, eye] = _angles(direction) - _angles(rest)
    seen = np.isfinite(angles).all(2, keepdims=True)
    mean = np.where(seen, angles, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    return np.where(seen.max(1), np.clip(mean, -LIMIT, LIMIT), np.nan)


def smooth_angles(angles: np.ndarray, openness: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Angles [T,2] averaged over neighbors in `time` [T].

    Closed eyes (openness [T] 0..1) have a low weight, unknown angles (NaN) none.
    """
    seen = np.isfinite(angles).all(1)
    lag = (time[:, None] - time[None]) / _SMOOTH_SECONDS
    kernel = np.exp(-0.5 * lag * lag) * (openness**2 + 1e-3) * seen
    return (kernel @ np.where(seen[:, None], angles, 0.0)) / np.maximum(kernel.sum(1, keepdims=True), 1e-300)


def eye_rotations(angles: np.ndarray) -> np.ndarray:
    """Axis-angle [T,3] that rotates +z to yaw and pitch `angles` [T,2] without torsion (Listing's law)."""
    yaw = angles[:, 0]
    pitch = angles[:, 1]
    toward = np.stack([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)], axis=1)
    axis = np.cross(np.array([0.0, 0.0, 1.0]), toward)
    sine = np.linalg.norm(axis, axis=1, keepdims=True)
    angle = np.arctan2(sine, toward[:, 2:])
    return axis * np.where(sine < 1e-9, 1.0, angle / np.maximum(sine, 1e-12))


def _angles(direction: np.ndarray) -> np.ndarray:
    return np.array([np.arctan2(direction[0], direction[2]), np.arcsin(direction[1] / np.linalg.norm(direction))])
