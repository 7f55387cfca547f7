"""ARKit's expressions as morph targets of any head, and their weights for given head parameters."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model.avatar import Avatar
from avatar.motion import Bridge, load_bridge
from avatar.types import HeadParams


@dataclass(frozen=True)
class ArkitFace:
    """A neutral mesh and E named morph targets: ARKit's 52 expressions and the two eyelid expressions of headsplat.

    A target is the displacement of the skinned mesh at weight 1, joint rotations included: jawOpen alone opens the
    mouth and moves the chin. So the joints of an animation have only the rotations that are not in the expressions
    (`HeadParams.joint_rot`).
    """

    names: tuple[str, ...]
    neutral_mesh: Tensor  # [V,3] meters, joints not rotated
    targets: Tensor  # [E,V,3] meters
    neutral: Tensor  # [F] weights of the head for `neutral_mesh`
    to_arkit: Bridge | None  # from the head's weights to those of `names`; None if they are the same

    @staticmethod
    def of(avatar: Avatar) -> ArkitFace:
        """The targets of an avatar's head; for a head without ARKit's names they come from the bridge."""
        head = avatar.head
        if "arkit" in head.capabilities:
            neutral = torch.zeros_like(avatar.neutral)
            neutral_mesh, targets = _targets(head, neutral, torch.eye(len(neutral)), None)
            return ArkitFace(head.expression_names, neutral_mesh, targets, neutral, None)
        arkit = load_head()
        count = len(arkit.expression_names)
        weights, joint_rot = load_bridge(arkit, head)(torch.eye(count), arkit.neutral_params(count).joint_rot)
        neutral_mesh, targets = _targets(head, avatar.neutral, weights, joint_rot)
        return ArkitFace(arkit.expression_names, neutral_mesh, targets, avatar.neutral, load_bridge(head, arkit))

    def weights(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Weights [T,E] of the targets and remaining joint rotations [T,J,3], for parameters [T] of the head."""
        if self.to_arkit is None:
            return params.expression, params.joint_rot
        return self.to_arkit(params.expression - self.neutral, params.joint_rot)


def _targets(head: HeadModel, neutral: Tensor, weights: Tensor, joint_rot: Tensor | None) -> tuple[Tensor, Tensor]:
    """Neutral vertices and the displacements of E targets.

    Args:
        head: the head model.
        neutral: [F] weights.
        weights: [E,F] added to `neutral`, a row for each target.
        joint_rot: [E,J,3] axis-angle radians; None: none.

    Returns:
        [V,3] and [E,V,3], meters.
    """
    params = head.neutral_params(len(weights) + 1)
    params.expression[:] = neutral
    params.expression[1:] += weights
    if joint_rot is not None:
        params.joint_rot[1:] = joint_rot
    vertices = head.vertices(params)
    return vertices[0], vertices[1:] - vertices[0]
