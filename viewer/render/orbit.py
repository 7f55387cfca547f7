"""An orbit camera around the head, relative to the front camera."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.rendering.cameras import look_at
from avatar.types import Camera

#: Degrees; directly above or below the head the image's up direction is not defined.
MAX_PITCH = 85.0
# fractions of the front camera's distance
MIN_DISTANCE = 0.25
MAX_DISTANCE = 6.0
# fractions of its focal length
MIN_LENS = 0.3
MAX_LENS = 5.0
MAX_PAN = 2.0  # meters


@dataclass(frozen=True)
class Orbit:
    """A camera relative to the front camera, which the defaults give exactly."""

    yaw: float = 0.0  # degrees, around the head to the camera's right
    pitch: float = 0.0  # degrees, up
    distance: float = 1.0  # fraction of the front camera's
    pan: tuple[float, float] = (0.0, 0.0)  # meters that the center of rotation moves to the right and up in the image
    lens: float = 1.0  # fraction of the front camera's focal length

    def clamp(self) -> Orbit:
        """The nearest valid orbit: numbers from files and sliders may have any value."""
        return replace(
            self,
            yaw=(self.yaw + 180) % 360 - 180,
            pitch=_clamp(self.pitch, -MAX_PITCH, MAX_PITCH),
            distance=_clamp(self.distance, MIN_DISTANCE, MAX_DISTANCE),
            pan=(_clamp(self.pan[0], -MAX_PAN, MAX_PAN), _clamp(self.pan[1], -MAX_PAN, MAX_PAN)),
            lens=_clamp(self.lens, MIN_LENS, MAX_LENS),
        )

    def rotate_by(self, right: float, up: float) -> Orbit:
        """The orbit after a rotation by degrees."""
        return replace(self, yaw=self.yaw + right, pitch=self.pitch + up).clamp()

    def pan_by(self, right: float, up: float) -> Orbit:
        """The orbit after a pan by meters."""
        return replace(self, pan=(self.pan[0] + right, self.pan[1] + up)).clamp()

    def scale_distance(self, factor: float) -> Orbit:
        """The orbit at `factor` times its distance."""
        return replace(self, distance=self.distance * factor).clamp()

    def with_lens(self, lens: float) -> Orbit:
        """The orbit with another focal length and a distance at which the head keeps its size in the image."""
        lens = _clamp(lens, MIN_LENS, MAX_LENS)
        return replace(self, lens=lens, distance=self.distance * lens / self.lens).clamp()

    def with_field_of_view(self, before: float, degrees: float) -> Orbit:
        """The orbit with a vertical field of view of `degrees`, where this one's is `before`."""
        return self.with_lens(self.lens * math.tan(math.radians(before) / 2) / math.tan(math.radians(degrees) / 2))

    def camera(self, front: Camera, center: torch.Tensor) -> Camera:
        """The camera [1].

        Args:
            front: the front camera [1], of the image's size.
            center: [3] meters, world, the center of rotation.

        Returns:
            The camera [1]; `front` itself for the default orbit.
        """
        if self == Orbit():
            return front
        pose = front.world_to_cam[0].double()
        target = center.double()
        eye = -(pose[:3, :3].T @ pose[:3, 3])
        up = target.new_tensor([0.0, 1.0, 0.0])
        offset = axis_angle_to_matrix(math.radians(self.yaw) * up[None])[0] @ (eye - target)
        side = torch.nn.functional.normalize(torch.linalg.cross(up, offset), dim=0)
        offset = axis_angle_to_matrix(-math.radians(self.pitch) * side[None])[0] @ offset * self.distance
        pose = look_at((target + offset)[None], target)
        pose[:, 0, 3] -= self.pan[0]
        pose[:, 1, 3] += self.pan[1]
        K = front.K.clone()
        K[:, 0, 0] *= self.lens
        K[:, 1, 1] *= self.lens
        return replace(front, K=K, world_to_cam=pose.to(front.world_to_cam))


def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high) if math.isfinite(value) else low


def field_of_view(camera: Camera) -> float:
    """The vertical field of view of a camera [1], degrees."""
    return math.degrees(2 * math.atan(camera.height / 2 / float(camera.K[0, 1, 1])))
