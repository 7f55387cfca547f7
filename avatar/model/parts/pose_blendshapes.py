"""Pose blendshapes: position and color of Gaussians by the rotation of the head, on top of the expression's.

As the pose correctives of body and head models (SMPL, Loper et al., SIGGRAPH Asia 2015): a collar opens, hair that lies
on the shoulders stays there, and shadow and highlights move when the head turns. At the mean pose of the clip they add
nothing, bit for bit.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.model.avatar import AvatarPart
from avatar.model.blendshapes import CHANNELS
from avatar.model.layout import Layout, TensorLayout
from avatar.model.rig import Rig
from avatar.types import PosedHead, VertexStretch

#: Weights of a pose: rotation from the mean about x, y and z, the squares of the three, and the product of x and y.
TERMS = 7
#: The rotation about an axis that has the weight 1, radians.
TURN = 0.3
#: Channels of the offsets of blendshapes that follow the pose, and their number.
POSITION = slice(0, 3)
COLOR = slice(7, 10)
WIDTH = 6


class PoseBlendshapes(AvatarPart):
    """Bases of the N Gaussians by the rotation of the head."""

    key = entry = "pose_blendshapes"
    title = "the pose blendshapes"
    prefix = "pose_blendshapes."
    layout: ClassVar[Layout] = {"basis": TensorLayout("F16", f"{TERMS} N {WIDTH}", -1e3, 1e3)}

    def __init__(self, basis: Tensor) -> None:
        """Args: basis: [TERMS,N,6] of position (3) and color (3), in the units of the blendshapes."""
        super().__init__()
        self.basis = nn.Parameter(basis)
        #: Whether weights [B,TERMS] and offsets [B,N,6] of the last poses are kept, the offsets with their gradient: a
        #: training steps the basis by them.
        self.keeps_blended = False
        self.blended: tuple[Tensor, Tensor] | None = None
        #: Whether the basis is known to be zero, so that nothing is added: a training saves that time.
        self.is_zero = False

    @torch.no_grad()
    def weights(self, rotation: Tensor, rig: Rig) -> Tensor:
        """Weights [B,TERMS] for rotations of the skull [B,3,3], skull frame -> world, in the range of the training.

        That is an ellipsoid: turns about two axes at once, each as far as the training showed, are rarely in it.
        """
        turn = rig.torso.clamped_features(rotation, torch.zeros_like(rotation[:, 0]))[:, 1:4]
        turn = turn / (TURN * (turn / rig.torso.limit[1:4]).norm(dim=1, keepdim=True).clamp_min(1))
        return torch.cat([turn, turn * turn, turn[:, :1] * turn[:, 1:2]], 1)

    def add_offsets(self, extra: Tensor, head: PosedHead, stretch: VertexStretch | None, rig: Rig) -> Tensor:
        """See `AvatarPart.add_offsets`; all N Gaussians have offsets then."""
        if self.is_zero:
            return extra
        weights = self.weights(head.rotation, rig)
        added = ops.blend(None, self.basis, weights)
        if self.keeps_blended and torch.is_grad_enabled():
            self.blended = weights, added.requires_grad_()
        total: Tensor = _Sum.apply(extra, added)
        return total

    @torch.no_grad()
    def scale_colors(self, factor: Tensor) -> None:
        """See `AvatarPart.scale_colors`."""
        self.basis[..., 3:] *= factor

    @torch.no_grad()
    def mix_channels(self, matrix: Tensor) -> None:
        """See `AvatarPart.mix_channels`."""
        self.basis[..., 3:] = self.basis[..., 3:] @ matrix.T


class _Sum(torch.autograd.Function):
    """Offsets [B,M,CHANNELS] of the first Gaussians plus positions and colors [B,N,6] of all."""

    @staticmethod
    def forward(ctx: Any, extra: Tensor, added: Tensor) -> Tensor:
        ctx.count = extra.shape[1]
        total = added.new_empty(*added.shape[:2], CHANNELS)
        total[:, : ctx.count] = extra
        total[:, ctx.count :] = 0
        total[..., POSITION] += added[..., :3]
        total[..., COLOR] += added[..., 3:]
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grads
        return grad[:, : ctx.count].contiguous(), torch.cat([grad[..., POSITION], grad[..., COLOR]], -1)
