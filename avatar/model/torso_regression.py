"""The pose of the torso from its motion in the image, for frames of the capture that the avatar was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.model.torso import TorsoMap

#: Confidence of the motion up to which only the torso map counts, and from which on it does not count.
_DISTRUST, _TRUST = 0.5, 0.8


@dataclass(frozen=True)
class TorsoRegression:
    """A linear map from the torso's motion in the image (`torso_motion` of a capture) to its motion from the rest.

    The motion in the image is relative to a frame of one capture, so it has a meaning for that capture only.
    """

    capture: str  # fingerprint of that capture
    weight: Tensor  # [6,7] from 1 and the motion in the image (6) to the units of TorsoMap
    limit: Tensor  # [7] absolute limits of the inputs

    @staticmethod
    def features(image_motion: Tensor) -> Tensor:
        """Inputs [B,7] of the map: 1 and the motion in the image [B,6], face heights."""
        return torch.cat([torch.ones_like(image_motion[:, :1]), image_motion], -1)

    def motion(self, image_motion: Tensor) -> Tensor:
        """Motion of the torso [B,6] from its rest (units of TorsoMap) for its motion in the image [B,6]."""
        features = self.features(image_motion)
        return ops.batch_invariant_matmul(
            torch.minimum(torch.maximum(features, -self.limit), self.limit), self.weight.T
        )

    def blended_motion(
        self, torso: TorsoMap, image_motion: Tensor, confidence: Tensor, rotation: Tensor, translation: Tensor
    ) -> Tensor:
        """Motion of the torso [B,6] from its rest: measured where that is certain, elsewhere that of the torso map.

        Args:
            torso: the map of the same avatar.
            image_motion: [B,6] face heights.
            confidence: [B] 0..1.
            rotation: [B,3,3] of the skull, to the world.
            translation: [B,3] meters, of the skull.
        """
        trust = ((confidence - _DISTRUST) / (_TRUST - _DISTRUST)).clamp(0, 1)[:, None]
        return torch.lerp(torso.motion(rotation, translation), self.motion(image_motion), trust)
