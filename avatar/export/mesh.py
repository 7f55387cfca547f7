"""The head mesh for export: one vertex for each pair of position and UV, and vertex colors from renderings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
#: Faces beside the resting one, each in the first views: they show lids, and skin in the folds of lips and brows.
_FACES: tuple[dict[str, float], ...] = (
    {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0},
    {"jawOpen": 0.6},
    {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8},
    {"browInnerUp": 0.8, "browOuterUpLeft": 0.8, "browOuterUpRight": 0.8},
)
_FACE_VIEWS = 3
_FACE_WEIGHT = 0.3  # of such a face relative to the resting one
_WELL_SEEN = 0.3  # weight of a point in the views of the resting face from which on no other gives its color
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
    return colors_of_vertices(avatar, views_of(avatar))


def colors_of_vertices(avatar: Avatar, views: Sequence[View]) -> Tensor:
    """As `vertex_colors`, with the views of the avatar."""
    head = avatar.head
    vertices = torch.arange(len(head.v_template))[:, None].expand(-1, 3)
    total = seen_colors(views, SurfacePoints(vertices, torch.tensor([[1.0, 0.0, 0.0]]).expand(len(vertices), 3)))
    known = total[:, 3] > _MIN_WEIGHT
    colors = torch.where(known[:, None], total[:, :3] / total[:, 3:].clamp_min(_MIN_WEIGHT), head.colors)
    known |= head.mask(*_MOUTH_REGIONS)
    inside = InsideColors.of(avatar)
    if inside is not None:
        known = (known & ~head.mask(*INSIDE)) | inside.at_vertices(colors)
    return _fill(colors.clamp(0, 1), known, head.faces)


@torch.no_grad()
def views_of(avatar: Avatar) -> list[View]:
    """The renderings that give the colors: of the resting face, and of those that show what it hides."""
    placement = Placement.unscaled(avatar)
    views = []
    for face in ({}, *_FACES):
        params = posed(avatar, face)
        vertices = avatar.head.vertices(placement.params(avatar, params))[0]
        gaussians = placement.gaussians(avatar(params))
        for yaw, pitch in _VIEWS[:_FACE_VIEWS] if face else _VIEWS:
            camera = orbiting_camera(yaw, pitch, _PIXELS)
            views.append(View.of(gaussians, vertices, avatar.head.faces, camera, resting=not face))
    return views


@torch.no_grad()
def seen_colors(views: Sequence[View], points: SurfacePoints) -> Tensor:
    """Sums [P,4] over views: color sRGB at points of the mesh times weight, and weight.

    The weight in a view is cos^4 of the angle between normal and view direction times that of the view; if all are 0,
    no view shows the point.
    """
    faces = {id(view.vertices): view for view in views}
    found = []
    for corners, bary in zip(points.corners.split(_CHUNK), points.bary.split(_CHUNK), strict=True):
        total = torch.zeros(len(corners), 4)
        for face in faces.values():
            rows = slice(None) if face.resting else (total[:, 3] < _WELL_SEEN).nonzero()[:, 0]
            part = face.on_mesh(SurfacePoints(corners[rows], bary[rows]))
            total[rows] += torch.stack([view.sample(*part) for view in views if view.vertices is face.vertices]).sum(0)
        found.append(total)
    return torch.cat(found)


@dataclass(frozen=True)
class View:
    """A rendering of Gaussians, and the mesh under them."""

    camera: Camera  # [1]
    rgba: Tensor  # [H,W,4], premultiplied
    face: Tensor  # [H,W] int32 triangle of the mesh, -1: none
    bary: Tensor  # [H,W,3]
    depth: Tensor  # [H,W] meters
    vertices: Tensor  # [V,3] meters, world
    normals: Tensor  # [V,3]
    resting: bool  # whether the face is; others count less, and only where the resting one shows little

    @property
    def weight(self) -> float:
        """Of the view relative to others."""
        return 1.0 if self.resting else _FACE_WEIGHT

    @staticmethod
    def of(gaussians: Gaussians, vertices: Tensor, faces: Tensor, camera: Camera, *, resting: bool) -> View:
        """Render Gaussians, and their mesh.

        Args:
            gaussians: [1,N].
            vertices: [V,3] meters, world.
            faces: [F,3].
            camera: [1], of _PIXELS x _PIXELS.
            resting: whether the face is.
        """
        out = render(gaussians, camera, BLACK, with_depth=False)
        normals = vertex_normals(vertices, faces)
        rgba = torch.cat([out.rgb[0], out.alpha[0][..., None]], -1)
        in_camera = camera.to_camera(vertices)[None].contiguous()
        face, bary, depth = ops.mesh(in_camera, faces, camera.K, camera.width, camera.height)
        return View(camera, rgba, face[0], bary[0], depth[0], vertices, normals, resting)

    def on_mesh(self, points: SurfacePoints) -> tuple[Tensor, Tensor]:
        """Places [P,3] in meters, world, and unit normals [P,3] of points of the mesh."""
        return points.of(self.vertices), torch.nn.functional.normalize(points.of(self.normals), dim=-1)

    def sample(self, places: Tensor, normals: Tensor) -> Tensor:
        """Colors times weight, and weight [P,4], of points [P,3] with normals [P,3]; 0 where they are hidden."""
        pixel = self.camera.project(places)
        inside = ((pixel >= 0) & (pixel < _PIXELS)).all(-1)
        column, row = pixel.long().clamp(0, _PIXELS - 1).unbind(-1)
        hidden = self.camera.to_camera(places)[:, 2] > self.depth[row, column] + _OCCLUSION_DEPTH
        return self.weighted(places, normals, self.rgba[row, column]) * (inside & ~hidden)[:, None]

    def weighted(self, places: Tensor, normals: Tensor, rgba: Tensor) -> Tensor:
        """Colors times weight, and weight [P,4], of points [P,3] that are seen as `rgba` [P,4], premultiplied.

        The weight is that of the view times cos^4 of the angle between normal and view direction, 0 where the Gaussians
        are not opaque.
        """
        color, alpha = rgba.split([3, 1], -1)
        towards = torch.nn.functional.normalize(self.camera.to_camera(places), dim=-1)
        cosine = -(normals @ self.camera.world_to_cam[0, :3, :3].T * towards).sum(-1)
        weight = (self.weight * cosine.clamp_min(0) ** 4 * (alpha[:, 0] > _MIN_ALPHA))[:, None]
        return torch.cat([weight * color / alpha.clamp_min(_MIN_ALPHA), weight], -1)


def orbiting_camera(yaw: float, pitch: float, size: int) -> Camera:
    """A camera [1] of size x size pixels that looks at the origin, from `yaw` to the person's left, `pitch` above."""
    rotations = axis_angle_to_matrix(torch.tensor([[0.0, yaw, 0.0], [pitch, 0.0, 0.0]]).deg2rad())
    camera = Camera.facing(size * _DISTANCE / _EXTENT, size, size)
    orbit = torch.eye(4)
    orbit[:3, :3] = (rotations[0] @ rotations[1]).T
    orbit[2, 3] = -_DISTANCE
    return Camera(camera.K, camera.world_to_cam @ orbit, size, size)


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
