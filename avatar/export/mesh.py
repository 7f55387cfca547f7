"""The head mesh for export: one vertex for each pair of position and UV, and vertex colors from renderings."""

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

from .placement import Placement
from .posed import posed

BLACK = (0.0, 0.0, 0.0)
#: Yaw and pitch in degrees of the views that give the colors: near the front, as in videos of people.
_VIEWS = ((0.0, 0.0), (-25.0, 0.0), (25.0, 0.0), (0.0, 15.0), (0.0, -15.0))
_PIXELS = 640  # per side
_DISTANCE, _EXTENT = 0.75, 0.45  # meters from camera to head; meters of a side of the image at the head
_OCCLUSION_DEPTH = 0.003  # meters behind the visible surface from which a vertex is hidden
_MIN_ALPHA = 0.9
_MAX_FILL_ITERATIONS = 60
#: Regions behind closed lips, which keep the head model's colors.
_MOUTH_REGIONS = ("mouth_interior", "teeth_upper", "teeth_lower", "tongue", "lips_inner")


@dataclass(frozen=True)
class SplitSeams:
    """A head's triangles with vertices duplicated along UV seams: M corners for V vertices."""

    vertex: Tensor  # [M] int64, vertex of each corner
    uv: Tensor  # [M,2] 0..1, v points up
    faces: Tensor  # [F,3] int64, corner indices

    @staticmethod
    def of(head: HeadModel) -> SplitSeams:
        """Split the seams of `head`; vertices that no face uses are dropped."""
        pairs = head.faces * len(head.uv) + head.uv_faces
        unique, faces = torch.unique(pairs, return_inverse=True)
        return SplitSeams(unique // len(head.uv), head.uv[unique % len(head.uv)], faces)


@torch.no_grad()
def vertex_colors(avatar: Avatar) -> Tensor:
    """Colors [V,3] sRGB of the neutral expression, sampled from renderings of the avatar.

    Regions behind closed lips keep the head model's colors; other invisible vertices get the colors of their neighbors.
    """
    head, params, placement = avatar.head, posed(avatar), Placement.centered(avatar)
    gaussians, vertices = placement.gaussians(avatar(params)), head.vertices(placement.params(avatar, params))[0]
    normals = vertex_normals(vertices, head.faces)
    total = vertices.new_zeros(len(vertices), 4)
    for yaw, pitch in _VIEWS:
        camera = _camera(yaw, pitch)
        out = render(gaussians, camera, BLACK, with_depth=False)
        rgba = torch.cat([out.rgb[0], out.alpha[0][..., None]], -1)
        total += _sample(rgba, vertices, normals, head.faces, camera)
    known = total[:, 3] > 0
    colors = torch.where(known[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-9), head.colors)
    for name in _MOUTH_REGIONS:
        known |= head.regions.get(name, torch.zeros_like(known))
    return _fill(colors.clamp(0, 1), known, head.faces)


def _camera(yaw: float, pitch: float) -> Camera:
    """A camera [1] that looks at the origin."""
    rotations = axis_angle_to_matrix(torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0]]).deg2rad())
    camera = Camera.facing(_PIXELS * _DISTANCE / _EXTENT, _PIXELS, _PIXELS)
    orbit = torch.eye(4)
    orbit[:3, :3] = (rotations[0] @ rotations[1]).T
    orbit[2, 3] = -_DISTANCE
    return Camera(camera.K, camera.world_to_cam @ orbit, _PIXELS, _PIXELS)


def _sample(rgba: Tensor, vertices: Tensor, normals: Tensor, faces: Tensor, camera: Camera) -> Tensor:
    """Sample the colors of the vertices in one rendering.

    Args:
        rgba: [H,W,4], premultiplied.
        vertices: [V,3] meters.
        normals: [V,3] unit.
        faces: [F,3].
        camera: [1].

    Returns:
        [V,4]: color times weight, and weight: cos^4 of the angle between normal and view direction, 0 if hidden.
    """
    in_camera = camera.to_camera(vertices)
    depth = ops.mesh(in_camera[None].contiguous(), faces, camera.K, _PIXELS, _PIXELS)[2][0]
    pixel = camera.project(vertices)
    inside = ((pixel >= 0) & (pixel < _PIXELS)).all(-1)
    column, row = pixel.long().clamp(0, _PIXELS - 1).unbind(-1)
    color, alpha = rgba[row, column].split([3, 1], -1)
    cosine = -(normals @ camera.world_to_cam[0, :3, :3].T * torch.nn.functional.normalize(in_camera, dim=-1)).sum(-1)
    visible = inside & (in_camera[:, 2] <= depth[row, column] + _OCCLUSION_DEPTH) & (alpha[:, 0] > _MIN_ALPHA)
    weight = (cosine.clamp_min(0) ** 4 * visible)[:, None]
    return torch.cat([weight * color / alpha.clamp_min(_MIN_ALPHA), weight], -1)


def _fill(colors: Tensor, known: Tensor, faces: Tensor) -> Tensor:
    """Give vertices without a known color the mean color of their known neighbors, ring by ring.

    Args:
        colors: [V,3].
        known: [V] bool.
        faces: [F,3].

    Returns:
        [V,3].
    """
    for _ in range(_MAX_FILL_ITERATIONS):
        if bool(known.all()):
            break
        total = torch.zeros(len(colors), 4, dtype=colors.dtype, device=colors.device)
        weighted = torch.cat([colors, torch.ones_like(colors[:, :1])], -1) * known[:, None]
        face_sums = weighted[faces].sum(1)
        for corner in range(3):
            total.index_add_(0, faces[:, corner], face_sums)
        filled = ~known & (total[:, 3] > 0)
        colors = torch.where(filled[:, None], total[:, :3] / total[:, 3:].clamp_min(1e-9), colors)
        known = known | filled
    return colors
