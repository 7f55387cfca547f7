"""The motion of an avatar's torso where that of its driver is measured in an image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.model.rig import TRAVEL_UNIT, TorsoMap

#: The chest from the torso's pivot, meters, skull frame: the point whose motion is measured.
CHEST = (0.0, -0.06, 0.08)
#: Largest difference from the torso map, meters and radians; more would tear the neck, which training has not shown.
LIMIT = (0.03, 0.03, 0.1)


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
