"""Colors of the mesh layer's eyeballs and inside of the mouth, for exported meshes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import NODE_STEPS, NODE_WEIGHTS, MeshLayer

from .posed import posed

#: `jawOpen` of the pose whose light the inside of the mouth has: an exported mesh has the same colors in every pose.
_OPEN = 0.5


@dataclass(frozen=True)
class InsideColors:
    """Colors at the 15 nodes of the faces of a layer that are eyeballs or the inside of the mouth, skin left out."""

    faces: Tensor  # [F,3] int64 vertices
    nodes: Tensor  # [F,15,3] sRGB, nodes in the order of `ops.TEXEL_NODES`

    @staticmethod
    @torch.no_grad()
    def of(avatar: Avatar) -> InsideColors | None:
        """The colors in the light of an open mouth and of open eyes; None for an avatar without a layer.

        Reflections on the irises are left out: they move with the camera.
        """
        layer = avatar.part(MeshLayer)
        if layer is None:
            return None
        rows = avatar.head.mask(*INSIDE)[layer.mesh.faces].all(1)
        faces = layer.mesh.faces[rows]
        texels = layer.texels()[layer.mesh.texel_ids[rows]]
        shade = torch.einsum("nk,fk->fn", NODE_WEIGHTS, open_shade(avatar, layer)[faces])
        return InsideColors(faces, texels * shade[..., None])

    def at_vertices(self, colors: Tensor) -> Tensor:
        """Mask [V] of the vertices of the faces; `colors` [V,3] take the colors there."""
        known = torch.zeros(len(colors), dtype=torch.bool)
        for corner in range(3):
            node = int((NODE_WEIGHTS[:, corner] == 1).nonzero())
            colors[self.faces[:, corner]] = self.nodes[:, node]
            known[self.faces[:, corner]] = True
        return known


@torch.no_grad()
def open_shade(avatar: Avatar, layer: MeshLayer) -> Tensor:
    """Factor [V] of the colors of the layer of `avatar` in the light of an open mouth and of open eyes."""
    return layer.shade(avatar.head.skull_vertices(posed(avatar, {"jawOpen": _OPEN})))[0]


_NUMBER = {node: k for k, node in enumerate(ops.TEXEL_NODES)}
#: The triangles [16,3] between the nodes of a face, in each of which its color is linear.
NODE_TRIANGLES = torch.tensor(
    [[_NUMBER[i, j], _NUMBER[i + 1, j], _NUMBER[i, j + 1]] for i, j in _NUMBER if i + j < NODE_STEPS]
    + [[_NUMBER[i + 1, j + 1], _NUMBER[i, j + 1], _NUMBER[i + 1, j]] for i, j in _NUMBER if i + j < NODE_STEPS - 1]
)
