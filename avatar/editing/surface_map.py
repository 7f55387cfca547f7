"""The surface of a head in its UV layout: which point of the mesh each texel of a square image shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.errors import HeadsplatError
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE

#: Texels per side of the images that marks are painted on.
SIZE = 1024
#: Smallest part of the faces of a head with texture coordinates that have an area in the texture.
_MIN_MAPPED = 0.5


@dataclass(frozen=True)
class SurfaceMap:
    """The points of a head in an image of its UV layout; v = 1 is the top row."""

    size: int  # texels per side
    face: Tensor  # [size,size] int64, -1 where the image shows no face
    bary: Tensor  # [size,size,3]
    outer: Tensor  # [size,size] bool, faces that are neither eyeballs nor the inside of the mouth

    @staticmethod
    def of(head: HeadModel, size: int = SIZE) -> SurfaceMap:
        """The map of `head`.

        Raises:
            HeadsplatError: the head has no texture coordinates.
        """
        if not has_uv(head):
            raise HeadsplatError(
                "paint: the head of the avatar has no texture coordinates; train with the embedded head"
            )
        flat = torch.cat([in_image(head.uv, size), torch.ones(len(head.uv), 1)], 1)
        face, bary, _ = ops.mesh(flat[None].contiguous(), head.uv_faces, torch.eye(3)[None], size, size)
        face = face[0].long()
        inside = head.mask(*INSIDE)[head.faces].all(1)
        return SurfaceMap(size, face, bary[0], (face >= 0) & ~inside[face.clamp_min(0)])

    def points(self, head: HeadModel, vertices: Tensor) -> Tensor:
        """Points [size,size,3] of vertices [V,3]; 0 where there is no face."""
        corners = vertices[head.faces[self.face.clamp_min(0)]]
        return (corners * self.bary[..., None]).sum(-2) * (self.face >= 0)[..., None]


def has_uv(head: HeadModel) -> bool:
    """Whether the head has texture coordinates: those of files without any are all the same."""
    if not len(head.uv):
        return False
    a, b = (head.uv[head.uv_faces][:, 1:] - head.uv[head.uv_faces][:, :1]).unbind(1)
    return bool(((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() > 0).float().mean() > _MIN_MAPPED)


def in_image(uv: Tensor, size: int) -> Tensor:
    """Positions [...,2] in texels of texture coordinates [...,2] whose v points up."""
    return torch.stack([uv[..., 0], 1 - uv[..., 1]], -1) * size
