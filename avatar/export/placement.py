"""Axes of exported files: meters, origin between the eyes in the mean pose, the face looks along +z.

The world position of an avatar is where the person was filmed, about half a meter in front of the camera and slightly
rotated. One rigid transform moves the mean pose of the head upright to the origin, and one factor gives the head its
true size. Both are the same for every frame, so that the head moves in numbered files as it did in the motion.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import matrix_to_axis_angle, matrix_to_quat, quat_multiply
from avatar.model.avatar import Avatar
from avatar.types import NECK, ROOT, Gaussians, HeadParams, PosedLayer


@dataclass(frozen=True)
class Placement:
    """The similarity transform `x -> scale (rotation x + translation)` of world points."""

    rotation: Tensor  # [3,3]
    translation: Tensor  # [3] meters of the avatar
    scale: float = 1.0  # true meters of a meter in the avatar

    @staticmethod
    def centered(avatar: Avatar) -> Placement:
        """The transform of the avatar's mean head pose to the origin, upright and in true size."""
        torso = avatar.rig.torso
        inverse = torso.mean_rotation.T
        return Placement(inverse, -inverse @ torso.mean_translation, avatar.true_size.scale)

    @staticmethod
    def unscaled(avatar: Avatar) -> Placement:
        """The same in meters of the avatar: for renderings, whose colors have no size."""
        return replace(Placement.centered(avatar), scale=1.0)

    def rotated(self, rotation: Tensor) -> Placement:
        """This transform followed by `rotation` [3,3]."""
        return Placement(rotation @ self.rotation, rotation @ self.translation, self.scale)

    def gaussians(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians [B,N] transformed: means, rotations, spherical harmonics, and the layer behind them."""
        quat = matrix_to_quat(self.rotation).expand_as(gaussians.quats)
        sh = gaussians.sh if gaussians.sh.shape[2] == 1 else ops.rotate_sh(gaussians.sh, quat.contiguous())
        means = self.points(gaussians.means)
        layer = None if gaussians.layer is None else self._layer(gaussians.layer)
        return replace(
            gaussians, means=means, quats=quat_multiply(quat, gaussians.quats), scales=self.lengths(gaussians.scales),
            sh=sh, layer=layer,
        )  # fmt: skip

    def points(self, points: Tensor) -> Tensor:
        """World points [...,3] transformed."""
        return self.lengths(points @ self.rotation.T + self.translation)

    def lengths(self, lengths: Tensor) -> Tensor:
        """Meters of the avatar as true meters."""
        return lengths if self.scale == 1 else lengths * self.scale

    def _layer(self, layer: PosedLayer) -> PosedLayer:
        eyes = layer.reflections
        if eyes is not None:
            eyes = replace(eyes, centers=self.lengths(eyes.centers), radii=self.lengths(eyes.radii))
        return replace(
            layer, vertices=self.lengths(layer.vertices), rotation=self.rotation @ layer.rotation,
            translation=self.points(layer.translation), reflections=eyes,
        )  # fmt: skip

    def params(self, avatar: Avatar, params: HeadParams) -> HeadParams:
        """Parameters [T] whose head has the rotated and moved pose of `params`; the bust follows the avatar's torso.

        Parameters have no size: multiply the vertices by `scale`.

        Trackers rotate the root, shoulders included. Here the root has the rotation of the avatar's torso, the neck has
        the difference, and the root is translated so that the head pose is exact.
        """
        params = avatar.with_identity(params)
        head = avatar.head
        rotation, offset = head.skull_pose(params)
        torso = self.rotation @ avatar.rig.torso(rotation, offset).rotation
        skull = self.rotation @ rotation
        neck = head.joint_locations(params.identity)[NECK]
        shift = offset @ self.rotation.T + self.translation + skull @ neck - torso @ neck
        joint_rot = params.joint_rot.clone()
        joint_rot[:, ROOT] = matrix_to_axis_angle(torso)
        joint_rot[:, NECK] = matrix_to_axis_angle(torso.mT @ skull)
        return replace(params, joint_rot=joint_rot, translation=head.root_translation(params.identity, torso, shift))


def turned_around() -> Tensor:
    """Rotation [3,3] by 180 degrees about y: y still points up, the face looks along -z."""
    return torch.diag(torch.tensor([-1.0, 1.0, -1.0]))


def upside_down() -> Tensor:
    """Rotation [3,3] by 180 degrees about z: y points down, the face still looks along +z."""
    return torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
