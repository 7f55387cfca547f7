"""Where the camera stands: about the head, as far as the front camera or nearer, with the same framing at rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.rendering.cameras import look_at
from avatar.types import Camera

#: Degrees; straight from above or below the picture's up is not defined.
STEEPEST = 85.0
NEAREST, FARTHEST = 0.25, 6.0  # shares of the front camera's distance
WIDEST, LONGEST = 0.3, 5.0  # shares of its focal length
FARTHEST_PAN = 2.0  # meters


@dataclass(frozen=True)
class Orbit:
    """A camera relative to the one straight before the face; all at rest is exactly that one."""

    yaw: float = 0.0  # degrees, to the camera's right round the head
    pitch: float = 0.0  # degrees, up
    distance: float = 1.0  # share of the front camera's
    pan: tuple[float, float] = (0.0, 0.0)  # meters that the point looked at moves to the right and up in the picture
    lens: float = 1.0  # share of the front camera's focal length

    def within(self) -> Orbit:
        """The nearest one that can be: numbers of files and sliders may be anything."""
        return replace(
            self,
            yaw=(self.yaw + 180) % 360 - 180,
            pitch=_clamp(self.pitch, -STEEPEST, STEEPEST),
            distance=_clamp(self.distance, NEAREST, FARTHEST),
            pan=(_clamp(self.pan[0], -FARTHEST_PAN, FARTHEST_PAN), _clamp(self.pan[1], -FARTHEST_PAN, FARTHEST_PAN)),
            lens=_clamp(self.lens, WIDEST, LONGEST),
        )

    def turned(self, right: float, up: float) -> Orbit:
        """The orbit after turning by degrees."""
        return replace(self, yaw=self.yaw + right, pitch=self.pitch + up).within()

    def moved(self, right: float, up: float) -> Orbit:
        """The orbit after panning by meters."""
        return replace(self, pan=(self.pan[0] + right, self.pan[1] + up)).within()

    def nearer(self, factor: float) -> Orbit:
        """The orbit at `factor` times its distance."""
        return replace(self, distance=self.distance * factor).within()

    def with_lens(self, lens: float) -> Orbit:
        """Another focal length from as much farther or nearer, so that the head keeps its size in the picture."""
        lens = _clamp(lens, WIDEST, LONGEST)
        return replace(self, lens=lens, distance=self.distance * lens / self.lens).within()

    def with_field_of_view(self, before: float, degrees: float) -> Orbit:
        """The orbit whose vertical field of view is `degrees` where this one's is `before`."""
        return self.with_lens(self.lens * math.tan(math.radians(before) / 2) / math.tan(math.radians(degrees) / 2))

    def camera(self, front: Camera, center: torch.Tensor) -> Camera:
        """The camera [1].

        Args:
            front: the camera [1] straight before the face, of the picture's size.
            center: [3] meters, world, the point turned about.
        """
        if self == Orbit():
            return front
        pose = front.world_to_cam[0].double()
        middle = center.double()
        eye = -(pose[:3, :3].T @ pose[:3, 3])
        up = middle.new_tensor([0.0, 1.0, 0.0])
        away = axis_angle_to_matrix(math.radians(self.yaw) * up[None])[0] @ (eye - middle)
        side = torch.nn.functional.normalize(torch.linalg.cross(up, away), dim=0)
        away = axis_angle_to_matrix(-math.radians(self.pitch) * side[None])[0] @ away * self.distance
        pose = look_at((middle + away)[None], middle)
        pose[:, 0, 3] -= self.pan[0]
        pose[:, 1, 3] += self.pan[1]
        K = front.K.clone()
        K[:, 0, 0] *= self.lens
        K[:, 1, 1] *= self.lens
        return replace(front, K=K, world_to_cam=pose.to(front.world_to_cam))


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if math.isfinite(value) else low


def field_of_view(camera: Camera) -> float:
    """The vertical one of a camera [1], degrees."""
    return math.degrees(2 * math.atan(camera.height / 2 / float(camera.K[0, 1, 1])))
