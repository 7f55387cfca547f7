"""The pose of the torso: from that of the skull by a learned map, or as measured in the image of a driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from avatar.types import TorsoPose

#: Meters of translation in one unit of the torso map's input and output.
TRAVEL_UNIT = 0.1
#: The chest from the torso's pivot, meters, skull frame: the point whose motion is measured.
CHEST = (0.0, -0.06, 0.08)
#: Largest difference from the torso map, meters and radians; more would tear the neck, which training has not shown.
LIMIT = (0.03, 0.03, 0.1)


class TorsoMap(nn.Module):
    """Pose of the torso as a linear map of the pose of the skull, learned with the avatar.

    A phone video shows the pose of the skull but hardly that of the torso. Before training the torso rests at the mean
    pose of the skull; training learns how much of the skull's rotation and translation it follows.
    """

    def __init__(self, mean_rotation: Tensor, mean_translation: Tensor, pivot: Tensor) -> None:
        """
        Args:
            mean_rotation: [3,3] mean of the skull's rotation, skull frame -> world.
            mean_translation: [3] meters, mean of the skull's translation.
            pivot: [3] meters, skull frame, the point about which the torso rotates.
        """
        super().__init__()
        self.register_buffer("mean_rotation", mean_rotation.clone())
        self.register_buffer("mean_translation", mean_translation.clone())
        self.register_buffer("pivot", pivot.clone())
        self.register_buffer("limit", torch.full((7,), 1e3))
        self.weight = nn.Parameter(torch.zeros(6, 7))

    mean_rotation: Tensor
    mean_translation: Tensor
    pivot: Tensor
    limit: Tensor

    def features(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Features [B,7] of skull poses [B,3,3], [B,3]: 1, rotation from the mean (rad), translation from it (dm)."""
        # Contiguous: MKL multiplies one to three frames by a transposed matrix in another order than many frames.
        turn = matrix_to_axis_angle(rotation @ self.mean_rotation.T.contiguous())
        travel = (translation - self.mean_translation) / TRAVEL_UNIT
        return torch.cat([torch.ones_like(turn[:, :1]), turn, travel], -1)

    def learn_limits(self, features: Tensor, slack: float = 1.15) -> None:
        """Clamp later inputs to `slack` times the range of the features [T,7] of the training poses."""
        self.limit.copy_(features.abs().amax(0) * slack + 1e-3)

    def forward(self, rotation: Tensor, translation: Tensor) -> TorsoPose:
        """Poses of the torso for B poses of the skull, rotations [B,3,3] and translations [B,3].

        The bits of a frame do not depend on the other frames of the batch.
        """
        return self.pose(self.motion(rotation, translation))

    def clamped_features(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Features [B,7] of skull poses within the range of those that the map was learned with."""
        return torch.minimum(torch.maximum(self.features(rotation, translation), -self.limit), self.limit)

    def motion(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Motion of the torso [B,6] from its rest for skull poses [B,3,3], [B,3]: rotation (rad), translation (dm)."""
        return self.motion_of(self.clamped_features(rotation, translation))

    def motion_of(self, features: Tensor) -> Tensor:
        """Motion of the torso [B,6] as of `motion`, for `clamped_features` [B,7]."""
        return ops.batch_invariant_matmul(features, self.weight.T)

    def pose(self, motion: Tensor) -> TorsoPose:
        """Poses of the torso for motions [B,6] from its rest."""
        turn = axis_angle_to_matrix(motion[:, :3])
        pivot = self.mean_rotation @ self.pivot + self.mean_translation
        # Not `turn @ arm`: MKL's AVX-512 matrix-vector product sums a few rows in another order than many rows.
        arm = self.mean_translation - pivot
        shift = (turn * arm).sum(-1) + pivot + motion[:, 3:] * TRAVEL_UNIT
        return TorsoPose(turn @ self.mean_rotation, shift, motion)

    def motion_of_pose(self, pose: TorsoPose) -> Tensor:
        """The inverse of `pose`: motions [B,6] from the rest; those that the poses were computed from if known."""
        if pose.motion is not None:
            return pose.motion
        turn = matrix_to_axis_angle(pose.rotation @ self.mean_rotation.T)
        pivot = self.mean_rotation @ self.pivot + self.mean_translation
        turned = (pose.rotation @ self.mean_rotation.T @ (self.mean_translation - pivot)[:, None])[..., 0] + pivot
        return torch.cat([turn, (pose.translation - turned) / TRAVEL_UNIT], -1)


class Torso(Protocol):
    """Knows the torso of B frames better than the torso map of an avatar: a `TorsoPose`, or a `MeasuredTorso`."""

    def pose(self, torso: TorsoMap, rotation: Tensor, translation: Tensor) -> TorsoPose:
        """Poses of the torso.

        Args:
            torso: the torso map of the avatar.
            rotation: [B,3,3] of the skull, skull frame -> world.
            translation: [B,3] meters, of the skull.
        """


class TorsoBelowHead:
    """The torso in another camera's frames: as the torso map has it at the head's mean position, moved to the head.

    The map is limited to the positions of the training, of its camera: a head elsewhere would lose its torso.
    """

    def pose(self, torso: TorsoMap, rotation: Tensor, translation: Tensor) -> TorsoPose:
        """See `Torso`."""
        mean = torso.mean_translation.expand_as(translation)
        pose = torso(rotation, mean)
        return TorsoPose(pose.rotation, pose.translation + translation - mean)


@dataclass(frozen=True, eq=False)
class MeasuredTorso:
    """Motion of the torso in the image from its rest, as far as it is trusted.

    An image does not show how far the torso is turned or leans forward: there the torso map knows more.
    """

    moved: Tensor  # [B,3] of the chest along +x and +y of the world (meters), about +z (radians)
    trust: float  # 0..1, against the torso map

    def equals(self, other: MeasuredTorso | None) -> bool:
        """Whether the other one is the same motion."""
        return other is not None and self.trust == other.trust and torch.equal(self.moved, other.moved)

    def pose(self, torso: TorsoMap, rotation: Tensor, translation: Tensor) -> TorsoPose:
        """See `Torso`."""
        return torso.pose(self.motion(torso, torso.motion(rotation, translation)))

    def motion(self, torso: TorsoMap, mapped: Tensor) -> Tensor:
        """Motion of the torso [B,6] from its rest: position and roll in the image as measured, the rest as mapped.

        Rotations are added as vectors: those of a torso are small.

        Args:
            torso: the torso map of the avatar.
            mapped: [B,6] its motion for the poses of the skull.
        """
        arm = torso.mean_rotation @ torso.pivot.new_tensor(CHEST)
        difference = torso.weight[:, 0] - mapped  # of the map at the mean pose, where the torso rests
        shift = (
            difference[:, 3:5] * TRAVEL_UNIT + torch.linalg.cross(difference[:, :3], arm.expand_as(self.moved))[:, :2]
        )
        limit = torso.pivot.new_tensor(LIMIT)
        change = torch.cat([shift, difference[:, 2:3]], 1) + self.moved.to(limit)
        change = self.trust * limit * torch.tanh(change / limit)
        roll = change[:, 2]
        turned = torch.stack([-roll * arm[1], roll * arm[0]], 1)  # what the roll about the pivot moves the chest by
        result = mapped.clone()
        result[:, 2] += roll
        result[:, 3:5] += (change[:, :2] - turned) / TRAVEL_UNIT
        return result
