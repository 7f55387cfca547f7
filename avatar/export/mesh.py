"""The head's mesh as other programs want it: one vertex for each pair of place and texture coordinate, and colors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.rendering.render import render
from avatar.types import Camera

from .placement import Place
from .posed import posed

BLACK = (0.0, 0.0, 0.0)
#: The person is looked at from the front and a little from the sides, where videos show them: yaw, pitch in degrees.
_VIEWS = ((0.0, 0.0), (-25.0, 0.0), (25.0, 0.0), (0.0, 15.0), (0.0, -15.0))
_PIXELS, _DISTANCE, _EXTENT = 640, 0.75, 0.45  # a side; meters from the head; meters that a picture shows at the head
_BEHIND = 0.003  # meters behind the mesh's surface at which a vertex is hidden
_OPAQUE = 0.9
_SPREADS = 60
#: Closed lips hide these: they keep the head model's colors.
_INSIDE = ("mouth_interior", "teeth_upper", "teeth_lower", "tongue", "lips_inner")


@dataclass(frozen=True)
class Seams:
    """A head's triangles with texture seams cut open: M corners stand for V vertices."""

    vertex: Tensor  # [M] int64, whose place a corner has
    uv: Tensor  # [M,2] 0..1, v from the bottom up
    faces: Tensor  # [F,3] int64, rows of the corners

    @staticmethod
    def of(head: HeadModel) -> Seams:
        """Cut `head`: vertices that nothing uses are left out."""
        pairs = head.faces * len(head.uv) + head.uv_faces
        kinds, faces = torch.unique(pairs, return_inverse=True)
        return Seams(kinds // len(head.uv), head.uv[kinds % len(head.uv)], faces)


@torch.no_grad()
def vertex_colors(avatar: Avatar) -> Tensor:
    """Colors [V,3] sRGB of the person's resting face, taken from pictures of the avatar.

    Behind closed lips the head model's colors stay; what else no picture shows takes its neighbors'.
    """
    head, params, place = avatar.head, posed(avatar), Place.centered(avatar)
    gaussians, vertices = place.splats(avatar(params)), head.vertices(place.params(avatar, params))[0]
    normals = vertex_normals(vertices, head.faces)
    total = vertices.new_zeros(len(vertices), 4)
    for yaw, pitch in _VIEWS:
        camera = _camera(yaw, pitch)
        out = render(gaussians, camera, BLACK, with_depth=False)
        seen = torch.cat([out.rgb[0], out.alpha[0][..., None]], -1)
        total += _sampled(seen, vertices, normals, head.faces, camera)
    known = total[:, 3] > 0
    colors = torch.where(known[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-9), head.colors)
    for name in _INSIDE:
        known |= head.regions.get(name, torch.zeros_like(known))
    return _spread(colors.clamp(0, 1), known, head.faces)


def _camera(yaw: float, pitch: float) -> Camera:
    """A camera [1] that looks at the origin."""
    turn = axis_angle_to_matrix(torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0]]).deg2rad())
    camera = Camera.facing(_PIXELS * _DISTANCE / _EXTENT, _PIXELS, _PIXELS)
    around = torch.eye(4)
    around[:3, :3] = (turn[0] @ turn[1]).T
    around[2, 3] = -_DISTANCE
    return Camera(camera.K, camera.world_to_cam @ around, _PIXELS, _PIXELS)


def _sampled(picture: Tensor, vertices: Tensor, normals: Tensor, faces: Tensor, camera: Camera) -> Tensor:
    """Colors times weights, and weights [V,4]: how squarely a vertex is seen in `picture` [H,W,4], 0 where not."""
    seen = camera.to_camera(vertices)
    depth = ops.mesh(seen[None].contiguous(), faces, camera.K, _PIXELS, _PIXELS)[2][0]
    pixel = camera.project(vertices)
    inside = ((pixel >= 0) & (pixel < _PIXELS)).all(-1)
    column, row = pixel.long().clamp(0, _PIXELS - 1).unbind(-1)
    color, alpha = picture[row, column].split([3, 1], -1)
    squarely = -(normals @ camera.world_to_cam[0, :3, :3].T * torch.nn.functional.normalize(seen, dim=-1)).sum(-1)
    shown = inside & (seen[:, 2] <= depth[row, column] + _BEHIND) & (alpha[:, 0] > _OPAQUE)
    weight = (squarely.clamp_min(0) ** 4 * shown)[:, None]
    return torch.cat([weight * color / alpha.clamp_min(_OPAQUE), weight], -1)


def _spread(colors: Tensor, known: Tensor, faces: Tensor) -> Tensor:
    """Colors [V,3] in which a vertex not `known` [V] has the mean of its known neighbors, ring after ring."""
    for _ in range(_SPREADS):
        if bool(known.all()):
            break
        total = torch.zeros(len(colors), 4, dtype=colors.dtype, device=colors.device)
        valued = torch.cat([colors, torch.ones_like(colors[:, :1])], -1) * known[:, None]
        around = valued[faces].sum(1)
        for corner in range(3):
            total.index_add_(0, faces[:, corner], around)
        reached = ~known & (total[:, 3] > 0)
        colors = torch.where(reached[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-9), colors)
        known = known | reached
    return colors
