"""Transform from the world of an external calibration to meters and y up, estimated from the head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import mean_rotation
from avatar.geometry.similarity import fit_similarity
from capture.multiview.rig import CameraObservation, RigCamera
from capture.multiview.track import TimeSteps
from capture.tracker.indices import STABLE_LANDMARKS
from capture.tracker.landmark_model import LandmarkModel

#: Common units (per meter); an estimate within this factor of one is that unit: heads differ by less.
_UNITS = {"metres": 1.0, "centimetres": 100.0, "millimetres": 1000.0}
_NEAR = 1.18
#: The axes of the world are kept where the head is within these angles of y up and of facing +z.
_UPRIGHT = np.cos(np.radians(30))
_FORWARD = np.cos(np.radians(60))
#: Median deviation of the log scale over time steps beyond which the cameras contradict each other.
_MAX_SPREAD = 0.15


@dataclass(frozen=True)
class Similarity:
    """External world -> ours: `x -> rotation x / scale + shift`, meters."""

    scale: float  # external units per meter
    rotation: np.ndarray  # [3,3]
    shift: np.ndarray  # [3] meters
    unit: str  # "metres", "centimetres", "millimetres", "unknown" or "assumed metres"
    measured: float | None  # external units per meter from the size of the mean head; heads differ by some percent

    def transform_camera(self, camera: RigCamera) -> RigCamera:
        """The camera in our world."""
        rotation = camera.rotation @ self.rotation.T
        return RigCamera(camera.pinhole, rotation, camera.translation / self.scale - rotation @ self.shift)

    def to_dict(self) -> dict[str, Any]:
        """The entry of capture.json."""
        return {
            "scale": self.scale,
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
            "unit": self.unit,
            "measured_scale": self.measured,
            "convention": "old world -> meters: x -> rotation x / scale + shift",
        }


def assumed_meters() -> Similarity:
    """The identity, for a single camera, which cannot determine the unit."""
    return Similarity(1.0, np.eye(3), np.zeros(3), "assumed metres", None)


def triangulate(
    cameras: Sequence[RigCamera], observations: Sequence[CameraObservation], rows: np.ndarray
) -> np.ndarray:
    """World positions [n,3] of the landmarks `rows` [n] seen by two cameras or more (linear least squares)."""
    equations = []
    right = []
    for observation in observations:
        camera = cameras[observation.camera]
        pinhole = camera.pinhole
        pixels = observation.points[rows, :2]
        # x = -u z and y = v z in the axes of the camera (y up, looking along -z)
        across = np.stack([(pixels[:, 0] - pinhole.cx), (pinhole.cy - pixels[:, 1])], axis=1) / pinhole.focal
        for axis in (0, 1):
            equations.append(camera.rotation[axis] + across[:, axis, None] * camera.rotation[2])
            right.append(-camera.translation[axis] - across[:, axis] * camera.translation[2])
    a = np.stack(equations, 1)
    b = np.stack(right, 1)
    normal = np.einsum("nki,nkj->nij", a, a)
    result: np.ndarray = np.linalg.solve(normal, np.einsum("nki,nk->ni", a, b)[..., None])[..., 0]
    return result


def find_similarity(
    model: LandmarkModel, cameras: Sequence[RigCamera], steps: TimeSteps, name: str, max_steps: int = 60
) -> Similarity:
    """The transform that brings the world of the cameras to meters, y up, the face along +z.

    Args:
        model: landmark model of the head; the size of its mean is the reference.
        cameras: in the external world.
        steps: training time steps.
        name: of the source, for messages.
        max_steps: maximum number of time steps to use.

    Raises:
        HeadsplatError: the cameras contradict each other, or do not face the head.
    """
    several = [seen for seen in steps.observations if len({observation.camera for observation in seen}) > 1]
    chosen = [
        several[k]
        for k in np.unique(np.linspace(0, len(several) - 1, min(max_steps, len(several))).round().astype(int))
    ]
    scales = []
    rotations = []
    positions = []
    for seen in chosen:
        points = triangulate(cameras, seen, STABLE_LANDMARKS)
        _check_ahead(cameras, seen, points, name)
        rotation, scale = fit_similarity(model.base[STABLE_LANDMARKS], points)
        scales.append(scale)
        rotations.append(rotation)
        positions.append(points.mean(0) - scale * rotation @ model.base[STABLE_LANDMARKS].mean(0))
    measured = float(np.median(scales))
    spread = float(np.median(np.abs(np.log(np.maximum(scales, 1e-12) / max(measured, 1e-12)))))
    if not measured > 0 or spread > _MAX_SPREAD:
        raise HeadsplatError(
            f"{name}: the cameras contradict each other (the head's size varies by {spread:.0%}); check them, "
            "or add --solve-cameras to estimate the cameras from the face"
        )
    unit = next((unit for unit, size in _UNITS.items() if abs(np.log(measured / size)) < np.log(_NEAR)), "unknown")
    scale = _UNITS.get(unit, measured)
    mean = mean_rotation(torch.from_numpy(np.stack(rotations))).numpy()
    if mean[1, 1] > _UPRIGHT and mean[2, 2] > _FORWARD:
        return Similarity(scale, np.eye(3), np.zeros(3), unit, measured)
    return Similarity(scale, mean.T, -mean.T @ np.median(positions, axis=0) / scale, unit, measured)


def _check_ahead(
    cameras: Sequence[RigCamera], seen: Sequence[CameraObservation], points: np.ndarray, name: str
) -> None:
    depths = [-(points @ cameras[s.camera].rotation[2] + cameras[s.camera].translation[2]) for s in seen]
    if np.median(depths) <= 0:
        raise HeadsplatError(
            f"{name}: the head would be behind the cameras; the matrices must be camera-to-world in OpenGL axes "
            "(x right, y up, z back), or add --solve-cameras to estimate the cameras from the face"
        )
