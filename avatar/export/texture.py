"""The texture of an exported mesh: the colors of the avatar at the texture coordinates of its head.

Skin, hair and shoulders have the colors of renderings of the avatar, fitted so that the mesh renders alike; eyeballs
and the inside of the mouth have those of its mesh layer, which no rendering shows whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from avatar import ops
from avatar.head.model import HeadModel
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.parts.mesh_layer import NODE_WEIGHTS

from .inside_colors import NODE_TRIANGLES, InsideColors
from .mesh import SurfacePoints, colors_of_vertices, seen_colors, vertex_colors, views_of
from .texture_fit import fitted

SIZE = 2048  # pixels per side
#: The texture has this many times the pixels of the colors of renderings, along each axis: more than those show.
_REDUCTION = 2
#: Weight of the colors of the vertices relative to those of pixels that a camera faces: only what no view shows has
#: the former, without an edge.
_VERTEX_WEIGHT = 0.02
#: Smallest part of the faces of a head with texture coordinates that have an area in the texture.
_MIN_MAPPED = 0.5


def has_texture(head: HeadModel) -> bool:
    """Whether the head has texture coordinates: those of files without any are all the same."""
    if not len(head.uv):
        return False
    corners = head.uv[head.uv_faces]
    a, b = (corners[:, 1:] - corners[:, :1]).unbind(1)
    return bool(((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).abs() > 0).float().mean() > _MIN_MAPPED)


def mesh_colors(avatar: Avatar) -> Tensor:
    """The texture [S,S,3] of the head of an avatar, or the colors [V,3] of its vertices where it has no coordinates."""
    return texture(avatar) if has_texture(avatar.head) else vertex_colors(avatar)


@torch.no_grad()
def texture(avatar: Avatar, size: int = SIZE) -> Tensor:
    """The texture of the head of an avatar in its neutral expression.

    Args:
        avatar: the avatar, whose head has texture coordinates (`has_texture`).
        size: pixels per side, even.

    Returns:
        [size,size,3] sRGB 0..1, rows downward: v = 1 of the head is the top. Pixels of no face have the color of the
        nearest one, so that filtering does not mix in another.
    """
    head = avatar.head
    inside = InsideColors.of(avatar)
    image = _enlarged(_skin(avatar, inside is not None, size // _REDUCTION), size)
    covered = _Pixels.of(_in_texture(head.uv, size), head.uv_faces, size)
    if inside is not None:
        _draw(image, inside, head, size)
    return _filled(image, covered.rows)


def _skin(avatar: Avatar, has_inside: bool, size: int) -> Tensor:
    """What renderings show, [size,size,3]; eyeballs and the inside of the mouth only unless `has_inside`."""
    head = avatar.head
    pixels = _Pixels.of(_in_texture(head.uv, size), head.uv_faces, size)
    points = SurfacePoints(head.faces[pixels.face], pixels.bary)
    views = views_of(avatar)
    seen = seen_colors(views, points)
    if has_inside:
        seen[head.mask(*INSIDE)[points.corners].all(1)] = 0
    image = torch.zeros(size, size, 3)
    of_vertices = points.of(colors_of_vertices(avatar, views))
    image.view(-1, 3)[pixels.rows] = (seen[:, :3] + _VERTEX_WEIGHT * of_vertices) / (seen[:, 3:] + _VERTEX_WEIGHT)
    shown = ~head.mask(*INSIDE)[head.faces].all(1) if has_inside else torch.ones(len(head.faces), dtype=torch.bool)
    return _filled(fitted(image, views, head, shown), pixels.rows)


@dataclass(frozen=True)
class _Pixels:
    """The P pixels of an image whose centers are inside of a triangle."""

    rows: Tensor  # [P] int64, y size + x
    face: Tensor  # [P] int64
    bary: Tensor  # [P,3]

    @staticmethod
    def of(points: Tensor, faces: Tensor, size: int) -> _Pixels:
        """Args: points [N,2] pixels, faces [F,3] of these points, pixels per side."""
        flat = torch.cat([points, torch.ones_like(points[:, :1])], 1)
        face, bary, _ = ops.mesh(flat[None].contiguous(), faces, torch.eye(3)[None], size, size)
        rows = (face.flatten() >= 0).nonzero()[:, 0]
        return _Pixels(rows, face.flatten()[rows].long(), bary.reshape(-1, 3)[rows])


def _in_texture(uv: Tensor, size: int) -> Tensor:
    """Positions [U,2] in pixels of texture coordinates [U,2] whose v points up."""
    return torch.stack([uv[:, 0], 1 - uv[:, 1]], 1) * size


def _draw(image: Tensor, inside: InsideColors, head: HeadModel, size: int) -> None:
    """Draw the colors of the layer over `image` [size,size,3]."""
    index = {tuple(corners): row for row, corners in enumerate(head.faces.tolist())}
    of_head = torch.tensor([index[tuple(corners)] for corners in inside.faces.tolist()], dtype=torch.int64)
    corners = _in_texture(head.uv, size)[head.uv_faces[of_head]]
    places = torch.einsum("nk,fkc->fnc", NODE_WEIGHTS, corners).flatten(0, 1)
    first = torch.arange(len(corners))[:, None, None] * len(NODE_WEIGHTS)
    triangles = (first + NODE_TRIANGLES).flatten(0, 1)
    pixels = _Pixels.of(places, triangles, size)
    image.view(-1, 3)[pixels.rows] = SurfacePoints(triangles[pixels.face], pixels.bary).of(inside.nodes.flatten(0, 1))


def _enlarged(image: Tensor, size: int) -> Tensor:
    """An image [h,h,3] at [size,size,3], bilinear."""
    planes = torch.nn.functional.interpolate(image.permute(2, 0, 1)[None], (size, size), mode="bilinear")
    return planes[0].permute(1, 2, 0).contiguous()


def _filled(image: Tensor, covered: Tensor) -> Tensor:
    """An image [h,h,3] whose pixels other than `covered` [P] have the color of the nearest of those."""
    if not len(covered):
        return image
    empty = np.ones(image.shape[:2], bool)
    empty.reshape(-1)[covered.numpy()] = False
    rows, columns = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return image[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
