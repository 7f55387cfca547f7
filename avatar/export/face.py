"""ARKit's expressions on any head: what each does to the mesh alone, and which weights show given parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar.head import load_head
from avatar.head.model import HeadModel
from avatar.model import Avatar
from avatar.motion import Bridge, load_bridge
from avatar.records import HeadParams


@dataclass(frozen=True)
class ArkitFace:
    """A mesh at rest and E named displacements: ARKit's 52, and the two lids that headsplat adds.

    A displacement is that of the finished mesh at weight 1, turned joints included (jawOpen alone opens the mouth, chin
    and all). So the joints of an animation turn only by what expressions leave over: `HeadParams.joint_rot`.
    """

    names: tuple[str, ...]
    rest: Tensor  # [V,3] metres, joints unturned
    targets: Tensor  # [E,V,3] metres
    neutral: Tensor  # [F] weights of the head in which `rest` is
    back: Bridge | None  # from the head's weights to those of `names`; None where they are the same

    @staticmethod
    def of(avatar: Avatar) -> ArkitFace:
        """Read it off an avatar's head; where that has no ARKit names, the bridge shows what each looks like on it."""
        head = avatar.head
        if "arkit" in head.capabilities:
            neutral = torch.zeros_like(avatar.neutral)
            targets = _stacked(head, neutral, torch.eye(len(neutral)), None)
            return ArkitFace(head.expression_names, head.v_template, targets, neutral, None)
        arkit = load_head()
        count = len(arkit.expression_names)
        weights, joint_rot = load_bridge(arkit, head)(torch.eye(count), arkit.neutral_params(count).joint_rot)
        targets = _stacked(head, avatar.neutral, weights, joint_rot)
        rest = _alone(head, avatar.neutral[None], None)[0]
        return ArkitFace(arkit.expression_names, rest, targets, avatar.neutral, load_bridge(head, arkit))

    def weights(self, params: HeadParams) -> tuple[Tensor, Tensor]:
        """Weights [T,E] of the targets and joint rotations [T,J,3] left over, for parameters [T] of the head."""
        if self.back is None:
            return params.expression, params.joint_rot
        return self.back(params.expression - self.neutral, params.joint_rot)


def _stacked(head: HeadModel, neutral: Tensor, weights: Tensor, joint_rot: Tensor | None) -> Tensor:
    """Displacements [E,V,3] by weights [E,F] on top of `neutral` [F], a row at a time (each needs a whole mesh)."""
    rest = _alone(head, neutral[None], None)[0]
    rows = range(len(weights))
    turned = [None if joint_rot is None else joint_rot[row : row + 1] for row in rows]
    return torch.stack([_alone(head, neutral + weights[row : row + 1], turned[row])[0] - rest for row in rows])


def _alone(head: HeadModel, weights: Tensor, joint_rot: Tensor | None) -> Tensor:
    """Vertices [1,V,3] of a face at the origin."""
    params = replace(head.neutral_params(), expression=weights)
    return head.vertices(params if joint_rot is None else replace(params, joint_rot=joint_rot))
