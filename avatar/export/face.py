"""ARKit's expressions on any head: what each does to the mesh alone, and which weights show given parameters."""

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
    """A mesh at rest and E named displacements: ARKit's 52, and the two lids that headsplat adds.

    A displacement is that of the finished mesh at weight 1, turned joints included (jawOpen alone opens the mouth, chin
    and all). So the joints of an animation turn only by what expressions leave over: `HeadParams.joint_rot`.
    """

    names: tuple[str, ...]
    rest: Tensor  # [V,3] meters, joints unturned
    targets: Tensor  # [E,V,3] meters
    neutral: Tensor  # [F] weights of the head in which `rest` is
    back: Bridge | None  # from the head's weights to those of `names`; None where they are the same

    @staticmethod
    def of(avatar: Avatar) -> ArkitFace:
        """Read it off an avatar's head; where that has no ARKit names, the bridge shows what each looks like on it."""
        head = avatar.head
        if "arkit" in head.capabilities:
            neutral = torch.zeros_like(avatar.neutral)
            rest, targets = _targets(head, neutral, torch.eye(len(neutral)), None)
            return ArkitFace(head.expression_names, rest, targets, neutral, None)
        arkit = load_head()
        count = len(arkit.expression_names)
        weights, joint_rot = load_bridge(arkit, head)(torch.eye(count), arkit.neutral_params(count).joint_rot)
        rest, targets = _targets(head, avatar.neutral, weights, joint_rot)
        return ArkitFace(arkit.expression_names, rest, targets, avatar.neutral, load_bridge(head, arkit))

    def weights(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Weights [T,E] of the targets and joint rotations [T,J,3] left over, for parameters [T] of the head."""
        if self.back is None:
            return params.expression, params.joint_rot
        return self.back(params.expression - self.neutral, params.joint_rot)


def _targets(head: HeadModel, neutral: Tensor, weights: Tensor, joint_rot: Tensor | None) -> tuple[Tensor, Tensor]:
    """Vertices [V,3] at `neutral` [F] and displacements [E,V,3] by weights [E,F] and rotations [E,J,3] on top of it."""
    params = head.neutral_params(len(weights) + 1)
    params.expression[:] = neutral
    params.expression[1:] += weights
    if joint_rot is not None:
        params.joint_rot[1:] = joint_rot
    vertices = head.vertices(params)
    return vertices[0], vertices[1:] - vertices[0]
