"""Marks painted on the UV layout of a head, as small flat Gaussians on its surface.

The Gaussians of an avatar are too coarse for the edge of a mark. Each cell of a quadtree over the painted image becomes
one Gaussian with the size of the cell on the mesh, bound to the triangle there; cells are large where the paint is even
and small at its edges. They lie at the mean depth at which the skin is rendered and follow what the Gaussians around
learned to do under expressions. Those in front of them take the color of the paint (`avatar.editing.paint_occlusion`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree
from scipy.special import spence
from torch import Tensor

from avatar.editing.paint_occlusion import Veil
from avatar.editing.surface_map import SIZE, SurfaceMap, in_image
from avatar.geometry.rotations import quat_to_matrix, triangle_frames
from avatar.model.avatar import Avatar
from avatar.model.blendshapes import expression_features
from avatar.model.gaussian_set import GaussianSet, with_gaussians
from avatar.model.parts.mesh_layer import NODE_WEIGHTS, MeshLayer
from avatar.model.resting import resting_vertices
from avatar.model.stretch import Stretch
from avatar.types import Binding, LocalGaussians

Canvas = NDArray[np.uint8]  # [SIZE,SIZE,4] RGBA, straight alpha
#: At most so many Gaussians are added; a mark that needs more gets larger cells.
MAX_DECALS = 16_000
_LARGEST = 8  # texels along the side of a cell
#: Difference of levels, 0 to 255, within a cell and its neighbors that still is even paint.
_EVEN = 20
#: Texels along the side of a tile, and around it that its cells depend on; texels between two heights, and
#: their smoothing in such steps.
_TILE = 64
_RIM = 16
_STEP = 8
_BLUR = 1.5
_FINE = 3e-4  # meters of the filter of an avatar from which on cells of one texel would show no more
_FAINT = 3  # levels of alpha up to which nothing is painted
#: Standard deviation of a Gaussian in sides of its cell, and its thickness in meters.
_SIGMA = 0.5
_THICKNESS = 2e-5
#: Heights over the mesh in meters that a mark may have.
_LOWEST = -0.006
_HIGHEST = 0.005
#: Gaussians that are compared with a mark, those whose motion it takes, and their reach in meters.
_AROUND = 160
_NEIGHBORS = 12
_REACH = 0.004
_FRONT = 0.006  # meters over the mesh from which on a Gaussian is glasses or hair, which may hide a mark


@dataclass(frozen=True)
class _Cells:
    """D cells of the quadtree."""

    row: NDArray[np.int64]  # [D] of the texel in the middle
    column: NDArray[np.int64]
    side: NDArray[np.int64]  # texels
    color: NDArray[np.float32]  # [D,4] RGBA 0..1


@dataclass
class _Tile:
    """A square of the canvas with its surroundings."""

    content: bytes  # of the canvas
    cells: _Cells
    marks: GaussianSet | None = None  # of the cells, once they are needed


class Painter:
    """Paints on one avatar again and again: what a stroke does not touch is kept from the call before."""

    def __init__(self, avatar: Avatar, surface: SurfaceMap | None = None) -> None:
        """Args: the avatar; the surface of its head, if it is known. Raises HeadsplatError without coordinates."""
        self.avatar = avatar
        self.surface = SurfaceMap.of(avatar.head) if surface is None else surface
        self._outer = self.surface.outer.numpy()
        self._own = GaussianSet.of(avatar)
        self._rest, self._means = resting_vertices(avatar, avatar.head)
        self._frames = triangle_frames(self._rest[avatar.rig.triangles])
        self._weights = _resting_weights(avatar)
        self._trees = cKDTree(self._means.numpy()), cKDTree(self._means[: avatar.blendshapes.count].numpy())
        self._height = self._height_map()
        self._veil = Veil(avatar, self.surface, self._rest, self._means, self._frames, _FRONT)
        self._veil.set_height(self._height, _STEP)
        self._tiles: dict[tuple[int, int, int], _Tile] = {}
        self._stretch: Stretch | None = None

    @torch.no_grad()
    def painted(self, canvas: Canvas) -> Avatar:
        """A copy of the avatar with the marks of `canvas`; its own Gaussians in front of them take their color.

        All others are the same, bit for bit.

        Args:
            canvas: [SIZE,SIZE,4] uint8 RGBA in the UV layout of the head, straight alpha.
        """
        smallest = 2 if self.avatar.sampling.filter_scale > _FINE else 1
        tiles = self._tiles_of(canvas, smallest)
        while sum(len(tile.cells.row) for tile in tiles) > MAX_DECALS:
            smallest *= 2
            tiles = self._tiles_of(canvas, smallest)
        for tile in tiles:
            if tile.marks is None:
                tile.marks = self._decals(tile.cells)
        sets = [tile.marks for tile in tiles if tile.marks is not None]
        own = self._veil.painted(self._own, canvas)
        result = with_gaussians(self.avatar, GaussianSet.joined([own, *sets]), self._stretch)
        self._stretch = result.rig.stretch
        _paint_texels(result, canvas, self.surface)
        return result

    def _tiles_of(self, canvas: Canvas, smallest: int) -> list[_Tile]:
        """The tiles with paint, whose cells have sides of at least `smallest` texels."""
        found = []
        blocks = (canvas[..., 3] > _FAINT).reshape(SIZE // _TILE, _TILE, SIZE // _TILE, _TILE).any((1, 3))
        for row, column in np.argwhere(blocks):
            key = int(row), int(column), smallest
            part = _part(canvas, *key[:2])
            content = part.tobytes()
            if key not in self._tiles or self._tiles[key].content != content:
                cells = _cells(part, _part(self._outer[..., None], *key[:2])[..., 0], smallest)
                at = replace(cells, row=cells.row + row * _TILE, column=cells.column + column * _TILE)
                self._tiles[key] = _Tile(content, at)
            found.append(self._tiles[key])
        return found

    def _decals(self, cells: _Cells) -> GaussianSet:
        """The Gaussians of the cells."""
        head = self.avatar.head
        where = (cells.row, cells.column)
        face = self.surface.face[where]
        bary = self.surface.bary[where]
        triangles = head.faces[face]
        frames = triangle_frames(self._rest[triangles])
        points = (self._rest[triangles] * bary[..., None]).sum(1)
        height = torch.from_numpy(
            map_coordinates(self._height, (np.stack(where) - 3.5) / _STEP, order=1, mode="nearest")
        )
        raised = points + height[:, None] * frames[..., 2]
        basis, resting = self._motion(raised, frames)
        offsets = -resting
        offsets[:, 2] += height
        scales, quats, area = _footprints(self.avatar, face, torch.from_numpy(cells.side))
        alpha = _opacities(cells.color[:, 3], area, self.avatar.sampling.widened(scales)[:, :2])
        torso = self.avatar.rig.skin[torch.from_numpy(self._trees[0].query(points.numpy())[1])]
        colors = torch.from_numpy(cells.color[:, :3]).float()
        local = LocalGaussians(offsets, quats, scales.log(), alpha.logit(), colors)
        return GaussianSet(Binding(triangles, bary, torso), local, basis)

    def _motion(self, points: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Basis [K,D,11] of points [D,3] from the moving Gaussians around, and what it adds at rest [D,3] meters."""
        avatar = self.avatar
        own = self._own.basis
        moving = own.shape[1]
        basis = own.new_zeros(len(own), len(points), own.shape[2])
        if moving and len(points):
            count = min(_NEIGHBORS, moving)
            distance, near = self._trees[1].query(points.numpy(), k=[*range(1, count + 1)])
            rows = torch.from_numpy(near)
            weight = torch.from_numpy(np.exp(-((distance / _REACH) ** 2))).float()
            weight = weight * avatar.logit_opacities[rows].sigmoid()
            # Far from all of them the skin does not move against the mesh.
            share = weight / weight.sum(1, keepdim=True).clamp_min(0.05)
            turn = frames.mT[:, None] @ self._frames[rows]
            basis[..., :3] = torch.einsum("dn,dnij,kdnj->kdi", share, turn, own[:, rows, :3])
        resting = torch.einsum("k,kdc->dc", self._weights, basis[..., :3])
        return basis, resting * avatar.blendshapes.units[:3]

    @torch.no_grad()
    def _height_map(self) -> NDArray[np.float32]:
        """Meters [SIZE / _STEP,SIZE / _STEP] over the mesh at which marks lie, at every _STEP-th texel."""
        middle = slice(_STEP // 2, None, _STEP)
        face = self.surface.face[middle, middle]
        bary = self.surface.bary[middle, middle]
        take = self.surface.outer[middle, middle]
        summed = np.zeros((*face.shape, 2), np.float32)
        if take.any():
            triangles = self.avatar.head.faces[face[take]]
            points = (self._rest[triangles] * bary[take][..., None]).sum(1)
            normals = triangle_frames(self._rest[triangles])[..., 2]
            summed[take.numpy()] = _heights(
                self.avatar, self._trees[0], self._means, self._frames, points, normals
            ).numpy()
        # Weighted: where there is little skin, the height is that of the skin around.
        height, weight = np.moveaxis(gaussian_filter(summed, (_BLUR, _BLUR, 0)), -1, 0)
        smooth: NDArray[np.float32] = (height / np.maximum(weight, 1e-4)).clip(_LOWEST, _HIGHEST)
        return smooth


def _resting_weights(avatar: Avatar) -> Tensor:
    """Blendshape weights [K] of the resting face."""
    params = avatar.head.neutral_params(1)
    params.expression[:] = avatar.neutral
    return avatar.weights(expression_features(params))[0].detach()


def _part(values: NDArray[Any], row: int, column: int) -> NDArray[Any]:
    """The tile [_TILE + 2 _RIM,_TILE + 2 _RIM,C] of an image [SIZE,SIZE,C] with its surroundings, 0 outside of it."""
    at = [slice(max(index * _TILE - _RIM, 0), (index + 1) * _TILE + _RIM) for index in (row, column)]
    part = values[at[0], at[1]]
    before = [max(_RIM - index * _TILE, 0) for index in (row, column)]
    after = [_TILE + 2 * _RIM - size - first for size, first in zip(part.shape[:2], before, strict=True)]
    return np.pad(part, (*zip(before, after, strict=True), (0, 0)))


def _cells(canvas: Canvas, outer: NDArray[np.bool_], smallest: int) -> _Cells:
    """The cells of a tile with its surroundings; rows and columns count from the tile's corner."""
    premultiplied = canvas.astype(np.float32)
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    premultiplied *= outer[..., None]
    left = outer & (premultiplied[..., 3] > _FAINT)
    left[:_RIM] = False
    left[-_RIM:] = False
    left[:, :_RIM] = False
    left[:, -_RIM:] = False
    found = []
    side = max(_LARGEST, smallest)
    while side >= smallest and left.any():
        blocks = len(canvas) // side
        shape = (blocks, side, blocks, side)
        take = left.reshape(shape).any((1, 3))
        if side > smallest:
            window = np.ones((3 * side, 3 * side), np.uint8)
            spread = cv2.dilate(premultiplied, window) - cv2.erode(premultiplied, window)
            middle = spread[side // 2 :: side, side // 2 :: side].max(-1)
            take &= (middle <= _EVEN) & left.reshape(shape).all((1, 3))
        weight = outer.astype(np.float32).reshape(shape).sum((1, 3))
        mean = premultiplied.reshape(*shape, 4).sum((1, 3)) / np.maximum(weight, 1)[..., None] / 255
        row, column = np.nonzero(take)
        found.append((row * side + side // 2, column * side + side // 2, np.full(len(row), side), mean[row, column]))
        left &= ~np.kron(take, np.ones((side, side), bool))
        side //= 2
    if not found:
        found = [(np.zeros(0, np.int64),) * 3 + (np.zeros((0, 4), np.float32),)]
    row, column, sides, color = (np.concatenate(parts) for parts in zip(*found, strict=True))
    keep = outer[row, column] & (color[:, 3] * 255 > _FAINT)
    color = color[keep]
    color[:, :3] /= np.maximum(color[:, 3:], 1e-6)
    return _Cells(row[keep] - _RIM, column[keep] - _RIM, sides[keep], color)


def _opacities(alpha: NDArray[np.floating], spacing: Tensor, scales: Tensor) -> Tensor:
    """Opacities [D] with which Gaussians that overlap cover by `alpha` [D].

    With D Gaussians per area, whose standard deviations are s and t, exp(-2 pi s t D Li2(opacity)) of the light passes:
    the integral of log(1 - opacity exp(-r^2 / 2)) over the plane is -2 pi Li2(opacity).

    Args:
        alpha: [D] 0..1.
        spacing: [D] square meters for each Gaussian.
        scales: [D,2] meters, as they are rendered.
    """
    known = np.linspace(0, 0.99, 400)
    passed = -np.log1p(-np.minimum(alpha, 0.995)) * (spacing / (2 * math.pi * scales.prod(1))).numpy()
    opacity = np.interp(passed, spence(1 - known), known)
    return torch.from_numpy(opacity).float().clamp(1e-4, 0.99)


def _footprints(avatar: Avatar, face: Tensor, side: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scales [D,3] meters, rotations [D,4] in their triangles and areas [D] of cells of `side` [D] texels on faces [D].

    Renderings widen every Gaussian by the filter of the avatar; the scales are less by that.
    """
    head = avatar.head
    corners = head.v_template[head.faces[face]]
    uv = in_image(head.uv[head.uv_faces[face]], SIZE)
    edges = corners[:, 1:] - corners[:, :1]  # [D,2,3]
    jacobian = torch.linalg.solve(uv[:, 1:] - uv[:, :1], edges)  # [D,2 texel axes,3]
    plane = jacobian @ triangle_frames(corners)[..., :2]  # [D,2,2 in the plane]
    values, axes = torch.linalg.eigh(plane.mT @ plane * side.float()[:, None, None] ** 2)
    values = values.clamp_min(1e-12)
    half = torch.atan2(axes[:, 1, 0], axes[:, 0, 0]) / 2
    wide = (values * _SIGMA**2 - avatar.sampling.filter_scale**2).clamp_min(_THICKNESS**2).sqrt()
    quats = torch.stack([half.cos(), 0 * half, 0 * half, half.sin()], 1)
    return torch.cat([wide, torch.full_like(half, _THICKNESS)[:, None]], 1), quats, values.prod(1).sqrt()


def _heights(avatar: Avatar, tree: cKDTree, means: Tensor, frames: Tensor, points: Tensor, normals: Tensor) -> Tensor:
    """Heights over the mesh in meters, summed by blend weight along the normals of points [D,3], and the sum: [D,2]."""
    around = min(_AROUND, len(means))
    near = torch.from_numpy(tree.query(points.numpy(), k=[*range(1, around + 1)])[1])
    away = means[near] - points[:, None]
    over = (away * normals[:, None]).sum(-1)
    turn = frames @ quat_to_matrix(torch.nn.functional.normalize(avatar.quats, dim=-1))
    scales = avatar.sampling.widened(avatar.log_scales.exp())
    sideways = away - over[..., None] * normals[:, None]
    local = (turn.mT[near] @ sideways[..., None])[..., 0] / scales[near]
    along = (turn.mT[near] @ normals[:, None, :, None].expand(*near.shape, 3, 1))[..., 0] / scales[near]
    distance = local.square().sum(-1) - (local * along).sum(-1).square() / along.square().sum(-1).clamp_min(1e-12)
    alpha = avatar.logit_opacities[near].sigmoid() * torch.exp(-0.5 * distance)
    alpha = torch.where(over.abs() < _FRONT, alpha.clamp_max(0.99), 0.0)
    over, order = over.sort(1, descending=True)
    passed = torch.cumsum((1 - (alpha := alpha.gather(1, order))).log(), 1).exp()
    weight = alpha * passed / (1 - alpha)
    return torch.stack([(weight * over).sum(1), weight.sum(1)], 1)


@torch.no_grad()
def _paint_texels(avatar: Avatar, canvas: Canvas, surface: SurfaceMap) -> None:
    """Color the texels of eyeballs and of the inside of the mouth."""
    layer = avatar.part(MeshLayer)
    head = avatar.head
    if layer is None:
        return
    painted_faces = torch.zeros(len(head.faces), dtype=torch.bool)
    faces = surface.face[torch.from_numpy(canvas[..., 3] > _FAINT) & ~surface.outer]
    painted_faces[faces[faces >= 0]] = True
    if not painted_faces.any():
        return
    index = {tuple(corners): row for row, corners in enumerate(head.faces.tolist())}
    face = torch.tensor([index[tuple(corners)] for corners in layer.mesh.faces.tolist()])
    uv = torch.einsum("nk,fkc->fnc", NODE_WEIGHTS, head.uv[head.uv_faces[face]])
    place = in_image(uv, len(canvas)).long().clamp(0, len(canvas) - 1)
    colors = torch.from_numpy(canvas)[place[..., 1], place[..., 0]].float() / 255  # [F,15,4]
    colors[~painted_faces[face]] = 0
    values = torch.zeros(len(layer.start), 4)
    values[layer.mesh.texel_ids.flatten()] = colors.flatten(0, 1)
    if (values[:, 3] > 0).any():
        layer.delta.add_(values[:, 3:] * (values[:, :3] - layer.texels()))
