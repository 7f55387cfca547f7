"""Reference of the stretch of a mesh, and the record of its triangles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Values of a symmetric tensor: xx, xy, xz, yy, yz, zz.
TENSOR_SIZE = 6
#: A neutral triangle whose edges, or height above its first edge, are shorter has no stretch; meters.
MIN_SIZE = 1e-6
#: Squared area, in units of the neutral area, below which a triangle's plane is not known.
FLAT_AREA2 = 1e-8
_PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


@dataclass(frozen=True)
class StretchMesh:
    """The triangles around the M vertices of a mesh that stretch, prepared for `vertex_stretch`."""

    faces: Tensor  # [F,3] int64 vertex indices
    inverse: Tensor  # [F,3] 1/meters, inverse of the neutral edges in the triangle's frame: 00, 01, 11
    weights: Tensor  # [F,3] weight of the face in the mean at each of its corners, 0 where that vertex does not stretch
    starts: Tensor  # [V+1] int64, first entry of each vertex in `corners`
    corners: Tensor  # [3F] int64, 3 face + corner, by vertex
    rows: Tensor  # [V] int64 row of each vertex in the result, -1 where it does not stretch
    vertices: Tensor  # [M] int64, the vertex of each row

    def tensors(self) -> tuple[Tensor, ...]:
        """All tensors, in the order of the fields."""
        return self.faces, self.inverse, self.weights, self.starts, self.corners, self.rows, self.vertices


def stretch_mesh(template: Tensor, faces: Tensor, stretches: Tensor) -> StretchMesh:
    """The triangles around the vertices that stretch, with their neutral areas as weights.

    Args:
        template: [V,3] meters, neutral vertices.
        faces: [T,3] int64.
        stretches: [V] bool, the vertices that stretch.
    """
    neutral = template.double()[faces]
    first = neutral[:, 1] - neutral[:, 0]
    second = neutral[:, 2] - neutral[:, 0]
    length = first.norm(dim=1).clamp_min(1e-30)
    along = (first * second).sum(1) / length
    height = torch.linalg.cross(first, second).norm(dim=1) / length
    used = (stretches[faces].any(1) & (length > MIN_SIZE) & (height > MIN_SIZE)).nonzero()[:, 0]
    length = length[used]
    along = along[used]
    height = height[used]
    chosen = faces[used]
    count = len(template)
    corners = chosen.flatten()
    areas = (length * height / 2)[:, None].expand(-1, 3).flatten()
    total = torch.zeros(count, dtype=torch.float64).index_add_(0, corners, areas)
    moving = stretches & (total > 0)
    rows = torch.where(moving, moving.cumsum(0) - 1, -1)
    return StretchMesh(
        faces=chosen.contiguous(),
        inverse=torch.stack([1 / length, -along / (length * height), 1 / height], 1).to(template),
        weights=torch.where(moving[corners], areas / total[corners], 0.0).view(-1, 3).to(template),
        starts=torch.cat([corners.new_zeros(1), torch.bincount(corners, minlength=count).cumsum(0)]),
        corners=corners.argsort(stable=True),
        rows=rows,
        vertices=moving.nonzero()[:, 0],
    )


def vertex_stretch(vertices: Tensor, mesh: StretchMesh) -> Tensor:
    """Reference of `avatar.ops.vertex_stretch`, with the same arguments."""
    corners = vertices[:, mesh.faces]  # [B,F,3 corners,3]
    inverse = mesh.inverse.to(vertices)
    weights = mesh.weights.to(vertices)
    first = corners[:, :, 1] - corners[:, :, 0]
    second = corners[:, :, 2] - corners[:, :, 0]
    axes = torch.stack([first * inverse[:, :1], first * inverse[:, 1:2] + second * inverse[:, 2:]], -1)  # F [B,F,3,2]
    normal = torch.linalg.cross(axes[..., 0], axes[..., 1])
    squared = (normal * normal).sum(-1)[..., None, None]
    plane = torch.eye(3).to(vertices) - normal[..., None] * normal[..., None, :] / (squared + FLAT_AREA2)
    bounded = torch.linalg.inv(7 * torch.eye(2).to(vertices) + axes.mT @ axes)
    tensors = (32 * axes @ bounded @ axes.mT - 4 * plane) / 7
    packed = torch.stack([tensors[..., i, j] for i, j in _PAIRS], -1)  # [B,F,6]
    shares = (weights[..., None] * packed[:, :, None]).flatten(1, 2)  # [B,3F,6]
    means = vertices.new_zeros(len(vertices), vertices.shape[1], TENSOR_SIZE)
    return means.index_add(1, mesh.faces.flatten(), shares)[:, mesh.vertices]


def tensors_at(tensors: Tensor, rows: Tensor, triangles: Tensor, bary: Tensor) -> Tensor:
    """Tensors [B,N,3,3] at points of triangles [N,3] from those of the vertices [B,M,6]; zero for vertices without."""
    padded = torch.cat([tensors, tensors.new_zeros(len(tensors), 1, TENSOR_SIZE)], 1)
    packed = (bary.to(tensors)[:, :, None] * padded[:, rows[triangles]]).sum(2)
    order = [_PAIRS.index((min(i, j), max(i, j))) for i in range(3) for j in range(3)]
    return packed[..., order].unflatten(-1, (3, 3))
