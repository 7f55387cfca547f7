"""Correction of the tracked pose of the skull, for frames of the capture that the avatar was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix


@dataclass(frozen=True)
class PoseCorrector:
    """A linear map from what the tracker found to the error of its pose.

    Landmarks bias the pose in ways that repeat for one person and one camera: with the expression, with the view, and
    with where the landmarks lie on this face. Training sees the error of its own frames.
    """

    capture: str  # fingerprint of the capture it was learned from
    landmark_mean: Tensor  # [P] of the landmarks in skull axes
    landmark_basis: Tensor  # [P,C] principal directions
    low: Tensor  # [D] limits of the inputs
    high: Tensor  # [D]
    weight: Tensor  # [6,D] to rotation (3, rad) in the skull frame and translation (3, m) in the world

    def features(self, state: Tensor, landmarks: Tensor) -> Tensor:
        """Inputs [B,D] of the map: `state` [B,D-C], and the coordinates of `landmarks` [B,P] along the basis."""
        return torch.cat([state, (landmarks - self.landmark_mean) @ self.landmark_basis], -1)

    def corrected(
        self, features: Tensor, rotation: Tensor, translation: Tensor, known: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Corrected poses of the skull [B,3,3], [B,3].

        Args:
            features: [B,D] inputs of the map.
            rotation: [B,3,3] tracked, skull frame -> world.
            translation: [B,3] meters.
            known: [B] bool, frames with features; the others stay.
        """
        limited = torch.minimum(torch.maximum(features, self.low), self.high)
        change = ops.batch_invariant_matmul(limited, self.weight.T) * known[:, None]
        return rotation @ axis_angle_to_matrix(change[:, :3]), translation + change[:, 3:]
