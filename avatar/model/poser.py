"""Poses of an avatar's head for many frames at once, and its mesh one frame at a time.

Besides its mesh a frame needs a few hundred numbers. The cost of computing them is the overhead of each call, so they
are computed for many frames together. The mesh is one native blend over half-precision bases and a rotation of the
vertices that jaw and eyes move.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.model.torso import Torso
from avatar.types import NECK, Bones, HeadParams, PosedHead


@dataclass(frozen=True)
class PosedFrames:
    """T posed frames of an avatar, to be rendered one by one."""

    shape_weights: Tensor  # [T,S] of the head's vertex bases: expressions, their quadratic terms, pose correctives
    joint_turns: Tensor  # [T,3M,3] skull frame, (R - 1)^T of the M joints that rotate in it, stacked
    joint_offsets: Tensor  # [T,M,3] meters; a joint maps x to R x + t
    blendshape_weights: Tensor  # [T,K] of the bases of the Gaussians
    rotation: Tensor  # [T,3,3] skull frame -> world, of the skull
    bones: Bones  # T poses

    def __len__(self) -> int:
        return len(self.rotation)


class Poser:
    """Computes the mesh of one avatar in the skull frame from head parameters.

    Equals `HeadModel.skull_vertices` up to rounding: the bases of a baked head have half precision already.
    """

    def __init__(self, avatar: Avatar) -> None:
        """Args: the avatar; its head is baked."""
        head = avatar.head
        self.avatar = avatar
        bases = torch.cat([head.exprdirs, head.curvedirs, head.posedirs], 2)
        self._bases = bases.permute(2, 0, 1).contiguous().half()
        self._template = head.v_template.contiguous()
        self._joints = slice(NECK + 1, None)  # jaw and eyes: all but root and neck, which move the whole head
        self._skull_frame_mask = head.v_template.new_ones(len(head.parents), 1)
        self._skull_frame_mask[: NECK + 1] = 0
        self._identity = torch.eye(3, device=head.v_template.device)
        weights = head.lbs_weights[:, self._joints]
        self._moving = (weights != 0).any(1).nonzero()[:, 0]
        self._weights = weights[self._moving]

    def of(self, avatar: Avatar) -> Poser:
        """A poser of another avatar; what depends on the head is shared where both have the same."""
        if avatar.head is not self.avatar.head:
            return Poser(avatar)
        result = copy.copy(self)
        result.avatar = avatar
        return result

    @torch.no_grad()
    def poses(self, params: HeadParams, torso: Torso | None = None) -> PosedFrames:
        """Poses of the T frames of `params`; the identity in `params` is ignored: it is baked into the head.

        Args:
            params: T frames.
            torso: the torso in the T frames where it is known; None: from the torso map.

        Raises:
            ValueError: a frame has a NaN or an infinity.
        """
        params.check_finite()
        avatar = self.avatar
        head = self.avatar.head
        count = len(params)
        params = avatar.with_identity(params)
        local = head.joint_rotations(self._with_skull_frame(params))
        travel = torch.nn.functional.pad(params.translation, (0, 0, 0, count))
        turned, moved = head.forward_kinematics(params.identity, local, travel)
        rotation = turned[:count, NECK]
        translation = moved[:count, NECK]
        turns = turned[count:, self._joints] - self._identity
        return PosedFrames(
            self._shape_weights(params.expression, local[count:]),
            turns.mT.flatten(1, 2).contiguous(),
            moved[count:, self._joints].contiguous(),
            avatar.weights(expression_features(params)),
            rotation,
            avatar.rig.bones(rotation, translation, torso),
        )

    def _with_skull_frame(self, params: HeadParams) -> HeadParams:
        """2T frames: the T of `params`, then the same without rotation of root and neck, which is the skull frame.

        In one batch, because rotations of joints cost about the same for one frame and for many.
        """
        joint_rot = torch.cat([params.joint_rot, params.joint_rot * self._skull_frame_mask])
        twice = params.expression, params.translation
        expression, translation = (torch.cat([values, values]) for values in twice)
        return replace(params, expression=expression, joint_rot=joint_rot, translation=translation)

    def _shape_weights(self, expression: Tensor, local: Tensor) -> Tensor:
        """Weights [T,S] of the vertex bases for expressions [T,E] and local joint rotations [T,J,3,3]."""
        head = self.avatar.head
        bent = expression[:, head.curve_columns].clamp(0, 1)
        parts = [expression, 4 * bent * (1 - bent)]
        if head.posedirs.shape[2]:
            parts.append((local[:, 1:] - self._identity).flatten(1))
        return torch.cat(parts, 1)

    @torch.no_grad()
    def head(self, frames: PosedFrames, index: int) -> PosedHead:
        """The head [1] of frame `index`."""
        one = slice(index, index + 1)
        bones = Bones(frames.bones.quats[one], frames.bones.translations[one])
        return PosedHead(self._vertices(frames, index), frames.rotation[one], bones)

    def _vertices(self, frames: PosedFrames, index: int) -> Tensor:
        """Vertices [1,V,3] of frame `index` in the skull frame, meters."""
        vertices = ops.blend(self._template, self._bases, frames.shape_weights[index : index + 1])
        rest = vertices[0].index_select(0, self._moving)
        # The sum over joints of weight ((R - 1) x + t), as two matrix products.
        bent = (self._weights[:, :, None] * rest[:, None]).flatten(1)
        moved = torch.addmm(rest, bent, frames.joint_turns[index]).addmm_(self._weights, frames.joint_offsets[index])
        vertices[0].index_copy_(0, self._moving, moved)
        return vertices
