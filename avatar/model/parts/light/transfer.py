"""How the Gaussians and the mesh of an avatar respond to light: baked shadows of its resting head."""

from __future__ import annotations

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from avatar import ops
from avatar.head.regions import Region
from avatar.head.shading import vertex_normals
from avatar.model.avatar import Avatar
from avatar.model.parts.light.harmonics import TERMS, open_transfer, sphere
from avatar.model.parts.mesh_layer import MOUTH
from avatar.model.resting import resting_vertices
from avatar.reference.sh import sh_basis

_DIRECTIONS = 128  # in which shadows are traced
# of a depth image; meters that it covers, and to its camera
_PIXELS = 256
_RADIUS = 0.36
_DISTANCE = 4.0
_LIFT = 0.003  # meters along its normal that a point is moved before the depth test
#: Part of the mean light that comes from a direction which the head itself hides: skin lights skin.
BOUNCE = 0.45
#: Meters from the mesh at which a Gaussian starts to have a normal of its own, and has only that: over the scalp, and
#: elsewhere, where training moves skin along the view.
_OVER_SCALP = (0.006, 0.014)
_ELSEWHERE = (0.020, 0.030)
_NEIGHBORS = 64  # of a Gaussian off the mesh
_CLOUD = 6000  # Gaussians among which they are sought
#: Meters above clothes and hair from which shadows of the head on them are traced: the mesh may lie in front of them.
_CLEAR = 0.015
#: Regions of the mesh that clothes cover.
_COVERED: tuple[Region, ...] = ("torso", "neck", "boundary")
#: How alike hair and cloth are lit from all sides.
_SOFT = 0.2
_CENTER = (0.0, -0.08)  # y and z of the middle of the head, skull frame, meters


class Shadows:
    """Depth images of a mesh from many directions."""

    def __init__(self, vertices: Tensor, faces: Tensor) -> None:
        """Args: vertices [V,3] meters, faces [F,3]."""
        self._directions = sphere(_DIRECTIONS).float()
        side = torch.nn.functional.normalize(torch.linalg.cross(self._directions, self._directions.roll(1, 1)), dim=1)
        up = torch.linalg.cross(side, self._directions)
        self._frames = torch.stack([side, up, -self._directions], 1)
        self._center = (vertices.amin(0) + vertices.amax(0)) / 2
        self._focal = _PIXELS * _DISTANCE / (2 * _RADIUS)
        K = torch.tensor([[self._focal, 0, _PIXELS / 2], [0, self._focal, _PIXELS / 2], [0, 0, 1]])
        placed = self._place(vertices).contiguous()
        depth = ops.mesh(placed, faces, K.expand(_DIRECTIONS, 3, 3).contiguous(), _PIXELS, _PIXELS)[2]
        self._depth = depth.flatten(1)

    def _place(self, points: Tensor) -> Tensor:
        return (points - self._center) @ self._frames.transpose(1, 2) + torch.tensor([0, 0, _DISTANCE])

    def hidden(self, points: Tensor, normals: Tensor) -> Tensor:
        """Whether the mesh hides each direction from `points` [N,3] with unit `normals` [N,3]: 0 or 1, [M,N]."""
        at = self._place(points + _LIFT * normals)
        pixel = (at[..., :2] / at[..., 2:] * self._focal + _PIXELS / 2).long()
        inside = ((pixel >= 0) & (pixel < _PIXELS)).all(-1)
        pixel = pixel.clamp(0, _PIXELS - 1)
        front = self._depth.gather(1, pixel[..., 1] * _PIXELS + pixel[..., 0])
        return (inside & (front > 0) & (at[..., 2] > front + _LIFT / 2)).float()

    def taken(self, points: Tensor, normals: Tensor) -> Tensor:
        """What the shadows take from the transfer of these points, [N,9], with the light of the surfaces there."""
        weight = self.hidden(points, normals) * (self._directions @ normals.T).clamp(min=0) * (4 / _DIRECTIONS)
        taken = weight.T @ sh_basis(self._directions, TERMS)
        taken[:, 0] *= 1 - BOUNCE
        return taken


@torch.no_grad()
def surface_transfer(avatar: Avatar) -> Tensor:
    """Transfer [V,9] of the vertices of the resting head, skull frame; inside the mouth that of the lips."""
    vertices, _ = resting_vertices(avatar, avatar.head)
    return mesh_transfer(vertices, avatar)


def mesh_transfer(vertices: Tensor, avatar: Avatar) -> Tensor:
    """`surface_transfer` for vertices [V,3] of the head, meters."""
    faces = avatar.head.faces
    normals = vertex_normals(vertices, faces)
    taken = _smooth(Shadows(vertices, faces).taken(vertices, normals), faces)
    transfer = open_transfer(normals) - taken
    mouth, lips = (avatar.head.mask(*names) for names in (MOUTH, ("lips",)))
    if mouth.any() and lips.any():
        transfer[mouth] = transfer[lips].mean(0)
    return transfer


@torch.no_grad()
def gaussian_transfer(avatar: Avatar, surface: Tensor, chosen: Tensor | None = None) -> Tensor:
    """Transfer [N,9] of the Gaussians: that of the mesh on it, and of their own neighborhood off it.

    Those that move with expressions are skin, wherever training has put them.

    Args:
        avatar: on the host.
        surface: [V,9] of `surface_transfer`.
        chosen: [n] int, Gaussians whose transfer [n,9] is computed; None: of all.
    """
    rig = avatar.rig
    transfer = (surface[rig.triangles] * rig.bary[..., None]).sum(1)
    scalp = avatar.head.mask("scalp", "hair_cap")[rig.triangles[:, 0]]
    near, far = (torch.where(scalp, *limits) for limits in zip(_OVER_SCALP, _ELSEWHERE, strict=True))
    own = ((avatar.offsets.norm(dim=1) - near) / (far - near)).clamp(0, 1)
    own[: avatar.blendshapes.count] = 0
    own = torch.maximum(own, (2 * rig.skin).clamp(max=1))  # clothes are not where the mesh of the torso is
    rows = (own > 0).nonzero()[:, 0] if chosen is None else chosen[own[chosen] > 0]
    if len(rows) > _NEIGHBORS:
        transfer[rows] = torch.lerp(transfer[rows], _cloud_transfer(avatar, rows), own[rows, None])
    return transfer if chosen is None else transfer[chosen]


def _cloud_transfer(avatar: Avatar, rows: Tensor) -> Tensor:
    """Transfer [n,9] of the Gaussians `rows` [n], from the shape of the cloud around each; neighbors are alike."""
    vertices, means = resting_vertices(avatar, avatar.head)
    points = means[rows]
    normals = _smoothed_points(points, _cloud_normals(means, avatar.logit_opacities > 0, rows))
    normals = torch.nn.functional.normalize(normals, dim=1)
    covered = avatar.head.mask(*_COVERED)
    head = avatar.head.faces[~covered[avatar.head.faces].any(1)]
    taken = Shadows(vertices, head).taken(points + _CLEAR * normals, normals)
    return _smoothed_points(points, open_transfer(normals, _SOFT) - taken)


def _smoothed_points(points: Tensor, values: Tensor) -> Tensor:
    """Values [n,C] averaged over the neighbors of each point [n,3]."""
    _, near = cKDTree(points.numpy()).query(points.numpy(), k=_NEIGHBORS)
    return values[torch.from_numpy(near)].mean(1)


def _cloud_normals(means: Tensor, visible: Tensor, rows: Tensor) -> Tensor:
    """Normals [n,3] of the Gaussians `rows` [n]: across the flattest extent of their neighbors, away from the head."""
    seen = visible.nonzero()[:, 0] if int(visible.sum()) > _NEIGHBORS else torch.arange(len(means))
    cloud = means[seen[:: max(1, len(seen) // _CLOUD)]]
    points = means[rows]
    y, z = _CENTER
    away = points - torch.stack([torch.zeros_like(points[:, 0]), points[:, 1].clamp(max=y), z + 0 * points[:, 2]], 1)
    away = torch.nn.functional.normalize(away + points.new_tensor([0.0, 0.0, 0.05]), dim=1)
    _, near = cKDTree(cloud.numpy()).query(points.numpy(), k=min(_NEIGHBORS, len(cloud)))
    around = cloud[torch.from_numpy(near).reshape(len(points), -1)]
    around = around - around.mean(1, keepdim=True)
    values, vectors = torch.linalg.eigh(around.transpose(1, 2) @ around)
    flat = 1 - values[:, :1] / values[:, 1:2].clamp_min(1e-12)
    axis = vectors[..., 0]
    axis = torch.where((axis * away).sum(1, keepdim=True) < 0, -axis, axis)
    return torch.nn.functional.normalize(torch.lerp(away, axis, flat), dim=1)


def _smooth(values: Tensor, faces: Tensor) -> Tensor:
    """Values [V,C] averaged twice over the faces at each vertex: depth images have the size of pixels."""
    for _ in range(2):
        around = torch.zeros_like(values)
        count = values.new_full((len(values), 1), 1e-6)
        means = values[faces].mean(1)
        for corner in range(3):
            around.index_add_(0, faces[:, corner], means)
            count.index_add_(0, faces[:, corner], torch.ones_like(means[:, :1]))
        values = around / count
    return values
