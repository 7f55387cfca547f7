"""Where an avatar is in a scene: from the world of its capture to that of the scene."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_quat, quat_multiply
from avatar.model.avatar import Avatar
from avatar.rendering.cameras import HEAD_CENTER, Subject
from avatar.types import Gaussians, PosedLayer


@dataclass(frozen=True, eq=False)
class Placement:
    """A similarity transform: a point x of the avatar's world is at scale * rotation x + translation in the scene."""

    rotation: Tensor  # [3,3]
    translation: Tensor  # [3] meters
    scale: float = 1.0

    @staticmethod
    def of(avatar: Avatar, position: tuple[float, float, float], yaw: float, scale: float) -> Placement:
        """The head at its mean pose is at a place, and faces a direction.

        Args:
            avatar: the avatar.
            position: of the center of its head in the scene, meters.
            yaw: degrees about the vertical; 0: the face looks along +z, 90: along +x, which is its left.
            scale: of its size.
        """
        torso = avatar.rig.torso
        center = torso.mean_rotation @ torso.mean_translation.new_tensor(HEAD_CENTER) + torso.mean_translation
        heading = math.atan2(float(torso.mean_rotation[0, 2]), float(torso.mean_rotation[2, 2]))
        turn = axis_angle_to_matrix(center.new_tensor([[0.0, math.radians(yaw) - heading, 0.0]]))[0]
        return Placement(turn, center.new_tensor(position) - scale * (turn @ center), scale)

    def points(self, points: Tensor) -> Tensor:
        """Points [...,3] of the avatar's world in the scene, meters."""
        return self.scale * (points @ self.rotation.T) + self.translation

    def inverse(self, points: Tensor) -> Tensor:
        """Points [...,3] of the scene in the avatar's world, meters."""
        return (points - self.translation) @ self.rotation / self.scale

    def seen_from(self, other: Placement) -> Placement:
        """The placement in the world of another avatar, which is placed by `other`."""
        return Placement(other.rotation.T @ self.rotation, other.inverse(self.translation), self.scale / other.scale)

    @property
    def turn(self) -> float:
        """Degrees by which the scene turns the avatar's world about the vertical."""
        return math.degrees(math.atan2(float(self.rotation[0, 2]), float(self.rotation[2, 2])))

    def to(self, device: torch.device) -> Placement:
        """This placement on a device."""
        return Placement(self.rotation.to(device), self.translation.to(device), self.scale)

    def subject(self, subject: Subject) -> Subject:
        """What cameras frame of the avatar, in the scene."""
        points = (self.points(each) for each in (subject.center, subject.head, subject.torso))
        center, head, torso = points
        return Subject(center, self.rotation @ subject.forward, head, torso)

    def quats(self, quats: Tensor) -> Tensor:
        """Rotations [...,4] (unit, wxyz) of the avatar's world in the scene."""
        return quat_multiply(matrix_to_quat(self.rotation[None])[0].expand_as(quats), quats)

    def gaussians(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians [1,N] of the avatar's world, and their layer, in the scene."""
        directed = gaussians.sh.shape[2] > 1
        turn = matrix_to_quat(self.rotation[None])[:, None].expand_as(gaussians.quats)
        return replace(
            gaussians,
            means=self.points(gaussians.means).contiguous(),
            quats=self.quats(gaussians.quats),
            scales=gaussians.scales * self.scale,
            sh=ops.rotate_sh(gaussians.sh, turn.contiguous()) if directed else gaussians.sh,
            layer=None if gaussians.layer is None else self._layer(gaussians.layer),
        )

    def _layer(self, layer: PosedLayer) -> PosedLayer:
        placed = replace(
            layer, rotation=self.rotation @ layer.rotation, translation=self.points(layer.translation)
        )  # fmt: skip
        if self.scale == 1:
            return placed
        reflections = layer.reflections
        if reflections is not None:
            reflections = replace(
                reflections, centers=reflections.centers * self.scale, radii=reflections.radii * self.scale
            )
        return replace(
            placed,
            vertices=layer.vertices * self.scale,
            mesh=replace(layer.mesh, fades=layer.mesh.fades * self.scale),
            reflections=reflections,
        )
