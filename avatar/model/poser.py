"""Poses of an avatar's head for many frames at once, and its mesh one frame at a time.

What a frame needs besides its mesh are a few hundred numbers, and the price of computing them is in calling: so they
are made for many frames together. The mesh is one native blend over half-precision bases and a turn of what jaw and
eyes move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import matrix_to_quat
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.types import NECK, HeadParams


@dataclass(frozen=True)
class Poses:
    """T frames of an avatar, ready to be drawn one by one."""

    shape_weights: Tensor  # [T,S] of the head's vertex bases: expressions, their bends, pose correctives
    joint_turns: Tensor  # [T,3M,3] skull frame, (R - 1)^T of the M joints that turn in it, one below the other
    joint_offsets: Tensor  # [T,M,3] meters; a joint takes x to R x + t
    blend_weights: Tensor  # [T,K] of the Gaussians' bases
    rotations: Tensor  # [T,2,3,3] skull frame -> world: skull, torso
    quats: Tensor  # [T,2,4] the same, wxyz
    translations: Tensor  # [T,2,3] meters

    def __len__(self) -> int:
        return len(self.quats)


class Poser:
    """From head parameters to the mesh of one avatar in the skull's frame.

    The same numbers as `HeadModel.skull_vertices` to within rounding: a baked head's bases are half precision already.
    """

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar; its head is baked."""
        head = avatar.head
        self.avatar = avatar
        bases = torch.cat([head.exprdirs, head.curvedirs, head.posedirs], 2)
        self._bases = bases.permute(2, 0, 1).contiguous().half()
        self._template = head.v_template.contiguous()
        self._joints = slice(NECK + 1, None)  # all but those of the head itself, root and neck
        self._rested = head.v_template.new_ones(len(head.parents), 1)
        self._rested[: NECK + 1] = 0
        self._still = torch.eye(3, device=head.v_template.device)
        weights = head.lbs_weights[:, self._joints]
        self._moving = (weights != 0).any(1).nonzero()[:, 0]
        self._weights = weights[self._moving]

    @torch.no_grad()
    def poses(self, params: HeadParams) -> Poses:
        """What T frames of `params` ask for; their identity is ignored: the person is baked in."""
        avatar, head, count = self.avatar, self.avatar.head, len(params)
        params = avatar.with_identity(params)
        local = head.joint_rotations(self._with_rested(params))
        travel = torch.nn.functional.pad(params.translation, (0, 0, 0, count))
        turned, moved = head.chained(params.identity, local, travel)
        rotation, translation = turned[:count, NECK], moved[:count, NECK]
        torso_rotation, torso_translation = avatar.rig.torso(rotation, translation)
        rotations = torch.stack([rotation, torso_rotation], 1)
        turns = turned[count:, self._joints] - self._still
        return Poses(
            self._shape_weights(params.expression, local[count:]),
            turns.mT.flatten(1, 2).contiguous(),
            moved[count:, self._joints].contiguous(),
            avatar.blendshapes.weights(expression_features(params)),
            rotations,
            matrix_to_quat(rotations),
            torch.stack([translation, torso_translation], 1),
        )

    def _with_rested(self, params: HeadParams) -> HeadParams:
        """2T frames: the T of `params`, and those once more with the head straight, which is the skull's frame.

        Together, because a joint's rotation costs the same for one frame and for many.
        """
        joint_rot = torch.cat([params.joint_rot, params.joint_rot * self._rested])
        twice = params.expression, params.translation
        expression, translation = (torch.cat([values, values]) for values in twice)
        return replace(params, expression=expression, joint_rot=joint_rot, translation=translation)

    def _shape_weights(self, expression: Tensor, local: Tensor) -> Tensor:
        """Weights [T,S] of the vertex bases for expressions [T,E] and the joints' own rotations [T,J,3,3]."""
        head = self.avatar.head
        bent = expression[:, head.curve_columns].clamp(0, 1)
        parts = [expression, 4 * bent * (1 - bent)]
        if head.posedirs.shape[2]:
            parts.append((local[:, 1:] - self._still).flatten(1))
        return torch.cat(parts, 1)

    @torch.no_grad()
    def vertices(self, poses: Poses, frame: int) -> Tensor:
        """Vertices [1,V,3] of one frame in the skull's frame, meters."""
        vertices = ops.blend(self._template, self._bases, poses.shape_weights[frame : frame + 1])
        rest = vertices[0].index_select(0, self._moving)
        # The sum over joints of weight ((R - 1) x + t), as two products of matrices.
        bent = (self._weights[:, :, None] * rest[:, None]).flatten(1)
        moved = torch.addmm(rest, bent, poses.joint_turns[frame]).addmm_(self._weights, poses.joint_offsets[frame])
        vertices[0].index_copy_(0, self._moving, moved)
        return vertices
