"""Which part of a head stretches its Gaussians: where expressions and the jaw move the skin."""

from __future__ import annotations

from dataclasses import fields

import torch
from torch import Tensor, nn

from avatar import ops
from avatar.head.model import HeadModel
from avatar.head.regions import Region
from avatar.types import JAW

#: Vertices that no expression and no opening of the jaw moves farther do not stretch; meters.
MIN_MOTION = 5e-4
#: Rotation of the jaw about x for heads whose jaw is no expression; radians.
JAW_OPEN = 0.3
#: Rigid parts: they move, but do not stretch.
RIGID: tuple[Region, ...] = ("left_eyeball", "right_eyeball", "teeth_upper", "teeth_lower")


def stretching_vertices(head: HeadModel) -> Tensor:
    """Mask [V] of the vertices that an expression alone at weight 1, or the open jaw, moves by MIN_MOTION or more."""
    motion = head.expression_distances()
    motion = motion.amax(1) if motion.shape[1] else motion.new_zeros(len(motion))
    neutral = head.neutral_params(1)
    opened = head.neutral_params(1)
    opened.joint_rot[:, JAW, 0] = JAW_OPEN
    by_jaw = (head.skull_vertices(opened) - head.skull_vertices(neutral))[0].norm(dim=1)
    return (torch.maximum(motion, by_jaw) > MIN_MOTION) & ~head.mask(*RIGID)


class Stretch(nn.Module):
    """The stretch of one person's mesh against its neutral shape, at the vertices that Gaussians need."""

    def __init__(self, head: HeadModel, mask: Tensor, triangles: Tensor) -> None:
        """
        Args:
            head: a baked head, whose template is the neutral shape.
            mask: [V] bool, vertices that stretch.
            triangles: [N,3] int64, of the Gaussians; other vertices are left out, which changes nothing.
        """
        super().__init__()
        used = torch.zeros(len(mask), dtype=torch.bool)
        used[triangles.flatten()] = True
        self.register_buffer("mask", mask.clone(), persistent=False)
        mesh = ops.stretch_mesh(head.v_template, head.faces, mask & used)
        for name, value in vars(mesh).items():
            self.register_buffer(name, value, persistent=False)

    mask: Tensor
    rows: Tensor

    @property
    def mesh(self) -> ops.StretchMesh:
        """The triangles around the vertices that stretch."""
        return ops.StretchMesh(*(getattr(self, field.name) for field in fields(ops.StretchMesh)))

    def forward(self, vertices: Tensor) -> Tensor:
        """Tensors [B,M,6] of vertices [B,V,3] in the skull frame, see `ops.vertex_stretch`."""
        return ops.vertex_stretch(vertices, self.mesh)
