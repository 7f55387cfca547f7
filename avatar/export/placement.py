"""The axes of what is exported: meters, the origin between the eyes of the mean pose, the face looking along +z.

An avatar lives where its person was filmed, half a meter before the camera and turned a little. One fixed rigid motion
brings the mean pose of its head upright to the origin, the same for every frame, so that numbered files move as filmed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import matrix_to_axis_angle, matrix_to_quat, quat_multiply
from avatar.model.avatar import Avatar
from avatar.types import NECK, ROOT, Gaussians, HeadParams


@dataclass(frozen=True)
class Place:
    """A rigid motion `x -> rotation x + translation` of world points."""

    rotation: Tensor  # [3,3]
    translation: Tensor  # [3] meters

    @staticmethod
    def centered(avatar: Avatar) -> Place:
        """The motion that brings the avatar's mean head upright to the origin."""
        torso = avatar.rig.torso
        back = torso.mean_rotation.T
        return Place(back, -back @ torso.mean_translation)

    def then(self, turn: Tensor) -> Place:
        """This motion followed by the rotation `turn` [3,3]."""
        return Place(turn @ self.rotation, turn @ self.translation)

    def splats(self, gaussians: Gaussians) -> Gaussians:
        """Gaussians [B,N] moved: places, rotations and what they look like from where."""
        turn = matrix_to_quat(self.rotation).expand_as(gaussians.quats)
        sh = gaussians.sh if gaussians.sh.shape[2] == 1 else ops.rotate_sh(gaussians.sh, turn.contiguous())
        means = gaussians.means @ self.rotation.T + self.translation
        return replace(gaussians, means=means, quats=quat_multiply(turn, gaussians.quats), sh=sh)

    def params(self, avatar: Avatar, params: HeadParams) -> HeadParams:
        """Parameters [T] whose head stands where this motion brings that of `params`, its bust turned as the torso is.

        Trackers turn the root, shoulders and all. Here the root turns with the avatar's torso, the neck makes up for
        it, and the root is shifted so that the head stays exactly where it is.
        """
        params = avatar.with_identity(params)
        head = avatar.head
        rotation, offset = head.skull_pose(params)
        torso = self.rotation @ avatar.rig.torso(rotation, offset)[0]
        skull = self.rotation @ rotation
        neck = head.joint_locations(params.identity)[NECK]
        shift = offset @ self.rotation.T + self.translation + skull @ neck - torso @ neck
        joint_rot = params.joint_rot.clone()
        joint_rot[:, ROOT] = matrix_to_axis_angle(torso)
        joint_rot[:, NECK] = matrix_to_axis_angle(torso.mT @ skull)
        return replace(params, joint_rot=joint_rot, translation=head.root_translation(params.identity, torso, shift))


def upside_down() -> Tensor:
    """Half a turn about z [3,3]: y points down, the face still looks along +z."""
    return torch.diag(torch.tensor([-1.0, -1.0, 1.0]))
