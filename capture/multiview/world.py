"""The unit and the axes of somebody else's world: what makes them meters and y up, found from the head itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.geometry.rotations import mean_rotation
from avatar.geometry.similarity import fit_similarity
from capture.multiview.rig import RigCamera, Sighting
from capture.multiview.track import Moments
from capture.tracker.indices import RIGID
from capture.tracker.landmark_model import LandmarkModel

#: Units people use (per meter); an estimate this near (as a factor) means one of them: heads differ by less.
_UNITS, _NEAR = {"metres": 1.0, "centimetres": 100.0, "millimetres": 1000.0}, 1.18
#: The world's axes are kept where the head stands within these angles of y up and of looking along +z.
_UPRIGHT, _FORWARD = np.cos(np.radians(30)), np.cos(np.radians(60))
#: Median deviation of the moments' scales beyond which the cameras do not agree with each other.
_DISAGREE = 0.15


@dataclass(frozen=True)
class Similarity:
    """Old world -> ours: `x -> rotation x / scale + shift`, meters."""

    scale: float  # old units in a meter
    rotation: np.ndarray  # [3,3]
    shift: np.ndarray  # [3] meters
    unit: str  # "metres", "centimetres", "millimetres", "unknown" or "assumed metres"
    measured: float | None  # old units in a meter by the mean head; people's heads differ by some percent

    def camera(self, old: RigCamera) -> RigCamera:
        """The camera in our world."""
        rotation = old.rotation @ self.rotation.T
        return RigCamera(old.pinhole, rotation, old.translation / self.scale - rotation @ self.shift)

    def to_dict(self) -> dict[str, Any]:
        """As capture.json states it."""
        return {
            "scale": self.scale,
            "rotation": self.rotation.tolist(),
            "shift": self.shift.tolist(),
            "unit": self.unit,
            "measured_scale": self.measured,
            "convention": "old world -> meters: x -> rotation x / scale + shift",
        }


def assumed_meters() -> Similarity:
    """The world as it is, where one camera alone cannot tell its unit."""
    return Similarity(1.0, np.eye(3), np.zeros(3), "assumed metres", None)


def triangulate(cameras: Sequence[RigCamera], sightings: Sequence[Sighting], rows: np.ndarray) -> np.ndarray:
    """World positions [n,3] of the landmarks `rows` [n] seen by two cameras or more (linear least squares)."""
    equations, right = [], []
    for sighting in sightings:
        camera = cameras[sighting.camera]
        pinhole = camera.pinhole
        pixels = sighting.points[rows, :2]
        # x = -u z and y = v z in the camera's own axes (y up, looking along -z)
        across = np.stack([(pixels[:, 0] - pinhole.cx), (pinhole.cy - pixels[:, 1])], axis=1) / pinhole.focal
        for axis in (0, 1):
            equations.append(camera.rotation[axis] + across[:, axis, None] * camera.rotation[2])
            right.append(-camera.translation[axis] - across[:, axis] * camera.translation[2])
    a, b = np.stack(equations, 1), np.stack(right, 1)
    normal = np.einsum("nki,nkj->nij", a, a)
    result: np.ndarray = np.linalg.solve(normal, np.einsum("nki,nk->ni", a, b)[..., None])[..., 0]
    return result


def find_similarity(
    model: LandmarkModel, cameras: Sequence[RigCamera], moments: Moments, name: str, most: int = 60
) -> Similarity:
    """What brings the cameras' world to meters, y up, the face along +z.

    Args:
        model: landmark model of the head: its mean is the yardstick.
        cameras: in their own world.
        moments: training moments.
        name: of the source, for messages.
        most: moments looked at.

    Raises:
        HeadsplatError: the cameras contradict each other, or look away from the head.
    """
    several = [seen for seen in moments.sightings if len({sighting.camera for sighting in seen}) > 1]
    chosen = [
        several[k] for k in np.unique(np.linspace(0, len(several) - 1, min(most, len(several))).round().astype(int))
    ]
    scales, rotations, places = [], [], []
    for seen in chosen:
        points = triangulate(cameras, seen, RIGID)
        _check_ahead(cameras, seen, points, name)
        rotation, scale = fit_similarity(model.base[RIGID], points)
        scales.append(scale)
        rotations.append(rotation)
        places.append(points.mean(0) - scale * rotation @ model.base[RIGID].mean(0))
    measured = float(np.median(scales))
    spread = float(np.median(np.abs(np.log(np.maximum(scales, 1e-12) / max(measured, 1e-12)))))
    if not measured > 0 or spread > _DISAGREE:
        raise HeadsplatError(
            f"{name}: the cameras contradict each other (the head's size varies by {spread:.0%}); check them, "
            "or add --solve-cameras to find the cameras from the face"
        )
    unit = next((unit for unit, size in _UNITS.items() if abs(np.log(measured / size)) < np.log(_NEAR)), "unknown")
    scale = _UNITS.get(unit, measured)
    mean = mean_rotation(torch.from_numpy(np.stack(rotations))).numpy()
    if mean[1, 1] > _UPRIGHT and mean[2, 2] > _FORWARD:
        return Similarity(scale, np.eye(3), np.zeros(3), unit, measured)
    return Similarity(scale, mean.T, -mean.T @ np.median(places, axis=0) / scale, unit, measured)


def _check_ahead(cameras: Sequence[RigCamera], seen: Sequence[Sighting], points: np.ndarray, name: str) -> None:
    depths = [-(points @ cameras[s.camera].rotation[2] + cameras[s.camera].translation[2]) for s in seen]
    if np.median(depths) <= 0:
        raise HeadsplatError(
            f"{name}: the head would be behind the cameras; the matrices must be camera-to-world in OpenGL axes "
            "(x right, y up, z back), or add --solve-cameras to find the cameras from the face"
        )
