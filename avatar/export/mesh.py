"""The head mesh for export: one vertex for each pair of position and UV, and vertex colors from renderings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from avatar import ops
from avatar.geometry.rotations import axis_angle_to_matrix
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE, Region
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.rendering.render import render
from avatar.types import Camera, Gaussians

from .inside_colors import InsideColors
from .placement import Placement
from .posed import posed

BLACK = (0.0, 0.0, 0.0)
#: Yaw and pitch in degrees of the views that give the colors: near the front, as in videos of people.
_VIEWS = ((0.0, 0.0), (-25.0, 0.0), (25.0, 0.0), (0.0, 15.0), (0.0, -15.0))
_PIXELS = 640  # per side
_DISTANCE = 0.75  # meters from camera to head
_EXTENT = 0.45  # meters of a side of the image at the head
_OCCLUSION_DEPTH = 0.003  # meters behind the visible surface from which a vertex is hidden
_MIN_ALPHA = 0.9
#: Weight of a vertex from which on renderings know its color: less is a view along the surface.
_MIN_WEIGHT = 1e-6
_MAX_FILL_ITERATIONS = 60
_CHUNK = 1 << 16  # points sampled at a time
#: Regions behind closed lips, which keep the head model's colors.
_MOUTH_REGIONS: tuple[Region, ...] = ("mouth_interior", "teeth_upper", "teeth_lower", "tongue", "lips_inner")


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


@dataclass(frozen=True)
class SurfacePoints:
    """P points on triangles of a head."""

    corners: Tensor  # [P,3] int64 vertices
    bary: Tensor  # [P,3]

    def of(self, values: Tensor) -> Tensor:
        """Values [P,C] at the points, from those of the vertices [V,C]."""
        return (values[self.corners] * self.bary[..., None]).sum(1)


@torch.no_grad()
def vertex_colors(avatar: Avatar) -> Tensor:
    """Colors [V,3] sRGB of the neutral expression, sampled from renderings of the avatar.

    Eyeballs and the regions behind closed lips have the colors of the mesh layer, or those of the head model without
    one; other invisible vertices get the colors of their neighbors.
    """
    head = avatar.head
    vertices = torch.arange(len(head.v_template))[:, None].expand(-1, 3)
    total = seen_colors(avatar, SurfacePoints(vertices, torch.tensor([[1.0, 0.0, 0.0]]).expand(len(vertices), 3)))
    known = total[:, 3] > _MIN_WEIGHT
    colors = torch.where(known[:, None], total[:, :3] / total[:, 3:].clamp_min(_MIN_WEIGHT), head.colors)
    known |= head.mask(*_MOUTH_REGIONS)
    inside = InsideColors.of(avatar)
    if inside is not None:
        known = (known & ~head.mask(*INSIDE)) | inside.at_vertices(colors)
    return _fill(colors.clamp(0, 1), known, head.faces)


@torch.no_grad()
def seen_colors(avatar: Avatar, points: SurfacePoints) -> Tensor:
    """Sums [P,4] over renderings of the neutral expression: color sRGB at points of the mesh times weight, and weight.

    The weight in a view is cos^4 of the angle between normal and view direction; where all are 0, no view shows it.
    """
    head = avatar.head
    params = posed(avatar)
    placement = replace(Placement.centered(avatar), scale=1.0)  # colors have no size
    gaussians = placement.gaussians(avatar(params))
    vertices = head.vertices(placement.params(avatar, params))[0]
    normals = vertex_normals(vertices, head.faces)
    views = [_View.of(gaussians, vertices, head.faces, _camera(yaw, pitch)) for yaw, pitch in _VIEWS]
    found = []
    for corners, bary in zip(points.corners.split(_CHUNK), points.bary.split(_CHUNK), strict=True):
        part = SurfacePoints(corners, bary)
        found.append(sum((view.sample(part.of(vertices), part.of(normals)) for view in views), torch.zeros(1, 4)))
    return torch.cat(found)


@dataclass(frozen=True)
class _View:
    """A rendering of Gaussians and the depth of their mesh."""

    camera: Camera  # [1]
    rgba: Tensor  # [H,W,4], premultiplied
    depth: Tensor  # [H,W] meters

    @staticmethod
    def of(gaussians: Gaussians, vertices: Tensor, faces: Tensor, camera: Camera) -> _View:
        """Render Gaussians, and the depth of their mesh.

        Args:
            gaussians: [1,N].
            vertices: [V,3] meters, world.
            faces: [F,3].
            camera: [1], of _PIXELS x _PIXELS.
        """
        out = render(gaussians, camera, BLACK, with_depth=False)
        rgba = torch.cat([out.rgb[0], out.alpha[0][..., None]], -1)
        in_camera = camera.to_camera(vertices)[None].contiguous()
        return _View(camera, rgba, ops.mesh(in_camera, faces, camera.K, _PIXELS, _PIXELS)[2][0])

    def sample(self, points: Tensor, normals: Tensor) -> Tensor:
        """Sample the colors of points [P,3] in meters with normals [P,3].

        Returns:
            [P,4]: color times weight, and weight: cos^4 of the angle between normal and view direction, 0 if hidden.
        """
        camera = self.camera
        in_camera = camera.to_camera(points)
        pixel = camera.project(points)
        inside = ((pixel >= 0) & (pixel < _PIXELS)).all(-1)
        column, row = pixel.long().clamp(0, _PIXELS - 1).unbind(-1)
        color, alpha = self.rgba[row, column].split([3, 1], -1)
        normals = torch.nn.functional.normalize(normals, dim=-1) @ camera.world_to_cam[0, :3, :3].T
        cosine = -(normals * torch.nn.functional.normalize(in_camera, dim=-1)).sum(-1)
        hidden = in_camera[:, 2] > self.depth[row, column] + _OCCLUSION_DEPTH
        weight = (cosine.clamp_min(0) ** 4 * (inside & ~hidden & (alpha[:, 0] > _MIN_ALPHA)))[:, None]
        return torch.cat([weight * color / alpha.clamp_min(_MIN_ALPHA), weight], -1)


def _camera(yaw: float, pitch: float) -> Camera:
    """A camera [1] that looks at the origin."""
    rotations = axis_angle_to_matrix(torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0]]).deg2rad())
    camera = Camera.facing(_PIXELS * _DISTANCE / _EXTENT, _PIXELS, _PIXELS)
    orbit = torch.eye(4)
    orbit[:3, :3] = (rotations[0] @ rotations[1]).T
    orbit[2, 3] = -_DISTANCE
    return Camera(camera.K, camera.world_to_cam @ orbit, _PIXELS, _PIXELS)


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
