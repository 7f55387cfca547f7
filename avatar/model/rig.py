"""Gaussians bound to triangles of the mesh and skinned to two rigid bones, the skull and the torso."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quat
from avatar.model.stretch import Stretch

#: Meters of translation in one unit of the torso map's input and output.
TRAVEL_UNIT = 0.1


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

    def forward(self, rotation: Tensor, translation: Tensor) -> tuple[Tensor, Tensor]:
        """Torso poses [B,3,3], [B,3] (points of the skull frame -> world) for skull poses [B,3,3], [B,3].

        The bits of a frame do not depend on the other frames of the batch.
        """
        return self.pose(self.motion(rotation, translation))

    def motion(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """Motion of the torso [B,6] from its rest for skull poses [B,3,3], [B,3]: rotation (rad), translation (dm)."""
        features = self.features(rotation, translation)
        return ops.batch_invariant_matmul(
            torch.minimum(torch.maximum(features, -self.limit), self.limit), self.weight.T
        )

    def pose(self, motion: Tensor) -> tuple[Tensor, Tensor]:
        """Torso poses [B,3,3], [B,3] for motions [B,6] from its rest."""
        turn = axis_angle_to_matrix(motion[:, :3])
        pivot = self.mean_rotation @ self.pivot + self.mean_translation
        # Not `turn @ arm`: MKL's AVX-512 matrix-vector product sums a few rows in another order than many rows.
        arm = self.mean_translation - pivot
        shift = (turn * arm).sum(-1) + pivot + motion[:, 3:] * TRAVEL_UNIT
        return turn @ self.mean_rotation, shift

    def motion_of_pose(self, rotation: Tensor, translation: Tensor) -> Tensor:
        """The inverse of `pose`: motions [B,6] from the rest for torso poses [B,3,3], [B,3]."""
        turn = matrix_to_axis_angle(rotation @ self.mean_rotation.T)
        pivot = self.mean_rotation @ self.pivot + self.mean_translation
        turned = (rotation @ self.mean_rotation.T @ (self.mean_translation - pivot)[:, None])[..., 0] + pivot
        return torch.cat([turn, (translation - turned) / TRAVEL_UNIT], -1)


class Rig(nn.Module):
    """The fixed part of the binding: triangle, barycentric coordinates and skinning weight of each Gaussian."""

    def __init__(self, triangles: Tensor, bary: Tensor, skin: Tensor, torso: TorsoMap) -> None:
        """
        Args:
            triangles: [N,3] int, vertex indices of the triangle of each Gaussian.
            bary: [N,3] barycentric coordinates of the binding point.
            skin: [N] 0..1, skinning weight of the torso (0 skull, 1 torso).
            torso: gives the pose of the torso where it is not known.
        """
        super().__init__()
        self.register_buffer("triangles", triangles.to(torch.int64).contiguous())
        self.register_buffer("bary", bary.contiguous())
        self.register_buffer("skin", skin.contiguous())
        self.torso = torso
        self.stretch: Stretch | None = None  # None in avatars of older files: Gaussians keep their size

    triangles: Tensor
    bary: Tensor
    skin: Tensor

    def __len__(self) -> int:
        return len(self.skin)

    def stretched(self, vertices: Tensor) -> Tensor | None:
        """Stretch tensors [B,S,6] of skull-frame vertices [B,V,3], for `place`; None where nothing stretches."""
        return None if self.stretch is None else self.stretch(vertices)

    def place(
        self,
        vertices: Tensor,
        offsets: Tensor,
        quats: Tensor,
        scales: Tensor,
        rotation: Tensor,
        translation: Tensor,
        torso: tuple[Tensor, Tensor] | None = None,
        tensors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """World means [B,N,3], quaternions [B,N,4] and scales [B,N,3] of local Gaussians.

        Args:
            vertices: [B,V,3] skull-frame vertices, meters.
            offsets: [B,N,3] meters, in the frame of each triangle.
            quats: [B,N,4] wxyz, relative to the frame of the triangle.
            scales: [B,N,3] meters.
            rotation: [B,3,3] skull frame -> world.
            translation: [B,3] meters, origin of the skull frame in the world.
            torso: pose of the torso [B,3,3], [B,3] where it is known; None: from the torso map.
            tensors: from `stretched` where they are known.
        """
        torso_rotation, torso_translation = self.torso(rotation, translation) if torso is None else torso
        rotations = torch.stack([matrix_to_quat(rotation), matrix_to_quat(torso_rotation)], 1)
        translations = torch.stack([translation, torso_translation], 1)
        return self.bind(vertices, offsets, quats, scales, rotations, translations, tensors)

    def bind(
        self,
        vertices: Tensor,
        offsets: Tensor,
        quats: Tensor,
        scales: Tensor,
        rotations: Tensor,
        translations: Tensor,
        tensors: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`place` for bones given as unit quaternions [B,2,4] and translations [B,2,3]: skull, torso."""
        binding = vertices, self.triangles, self.bary, offsets, quats, self.skin, rotations, translations
        if self.stretch is None:
            return *ops.bind(*binding), scales
        tensors = self.stretch(vertices) if tensors is None else tensors
        return ops.bind_stretched(*binding, scales, tensors, self.stretch.rows)
