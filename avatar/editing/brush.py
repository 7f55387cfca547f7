"""Paint on the UV layout of a head by place on its surface: the stamp of a brush, make-up, freckles."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from avatar.editing.decals import Canvas
from avatar.editing.paint_file import over
from avatar.editing.style import Mark
from avatar.editing.surface_map import SIZE, SurfaceMap
from avatar.head.hair_regions import smoothstep
from avatar.head.regions import INSIDE
from avatar.model.avatar import Avatar
from avatar.model.resting import resting_vertices

#: Landmarks of the cheeks, of the corners and the middle of the upper lids, and of the tip and bridge of the nose.
_CHEEKS = (50, 280)
_LIDS = ((33, 159, 133), (263, 386, 362))
_NOSE = (4, 6)
_FRECKLES = 90
_BLOCK = 16  # texels along the side of a block of the map
_BEHIND = 0.2  # cosine between the surface under a brush and that under its middle below which it is another side


class PaintSurface:
    """Where each texel of the UV layout is on the resting head."""

    def __init__(self, avatar: Avatar, surface: SurfaceMap) -> None:
        """Args: the avatar; the map of its head."""
        self.head = avatar.head
        self.surface = surface
        self.rest = resting_vertices(avatar, avatar.head)[0]
        self.points = surface.points(self.head, self.rest).numpy() * 1000  # millimeters
        corners = self.rest[self.head.faces]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.normals = torch.nn.functional.normalize(normals, dim=1).numpy()
        inside = self.head.mask(*INSIDE).numpy()[self.head.faces.numpy()].all(1)
        self.paintable = ~inside  # [F] faces that a brush paints
        self.face = surface.face.numpy()
        self.outer = surface.outer.numpy()
        self.shown = (self.face >= 0).astype(np.uint8)  # [SIZE,SIZE] texels that show a face
        blocks = np.where(self.outer[..., None], self.points, np.nan).reshape(SIZE // _BLOCK, _BLOCK, -1, _BLOCK, 3)
        #: Bounds [SIZE / _BLOCK,SIZE / _BLOCK,3] of the points in blocks of texels, in millimeters.
        self._low = np.fmin.reduce(blocks, (1, 3))
        self._high = np.fmax.reduce(blocks, (1, 3))

    def stamp(
        self,
        canvas: Canvas,
        face: int,
        bary: Tensor,
        color: tuple[float, float, float],
        radius: float,
        opacity: float = 1.0,
        hardness: float = 0.8,
    ) -> None:
        """Add a disc on the surface to `canvas`.

        Args:
            canvas: [SIZE,SIZE,4], changed in place.
            face: under the middle of the disc.
            bary: [3] of the middle on that face.
            color: display sRGB, 0..1.
            radius: millimeters.
            opacity: 0..1 in the middle.
            hardness: 0..1, part of the radius from which on the opacity falls.
        """
        middle = (self.rest[self.head.faces[face]] * bary[:, None]).sum(0).numpy() * 1000
        rows, columns = self._within(middle, radius)
        distance = np.linalg.norm(self.points[rows, columns] - middle, axis=1)
        facing = self.normals[self.face[rows, columns]] @ self.normals[face] > _BEHIND
        alpha = opacity * smoothstep(radius, min(hardness, 0.95) * radius, distance) * facing
        if not len(rows):
            return
        stamp = np.zeros((len(rows), 1, 4), np.uint8)
        stamp[..., :3] = np.rint(np.array(color) * 255)
        stamp[..., 0, 3] = np.rint(alpha * 255)
        canvas[rows, columns] = over(canvas[rows, columns][:, None], stamp)[:, 0]

    def _within(self, middle: NDArray[np.floating], radius: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and columns of the outer texels within a box of `radius` millimeters around a point [3]."""
        near = ((self._low < middle + radius) & (self._high > middle - radius)).all(-1)
        first = np.argwhere(near) * _BLOCK
        step = np.arange(_BLOCK)
        rows = np.broadcast_to(first[:, 0, None, None] + step[:, None], (len(first), _BLOCK, _BLOCK))
        columns = np.broadcast_to(first[:, 1, None, None] + step, rows.shape)
        take = (np.abs(self.points[rows, columns] - middle) < radius).all(-1) & self.outer[rows, columns]
        return rows[take], columns[take]

    def mark(self, mark: Mark) -> Canvas:
        """The paint [SIZE,SIZE,4] of a mark of a style."""
        marks = self.head.landmarks(self.rest[None])[0].numpy() * 1000
        weight = {
            "lips": self._lips,
            "blush": lambda: self._blush(marks),
            "eye shadow": lambda: self._shadow(marks),
            "freckles": lambda: self._freckles(marks, mark.seed),
        }[mark.place]()
        canvas = np.zeros((SIZE, SIZE, 4), np.uint8)
        canvas[..., :3] = mark.color
        canvas[..., 3] = np.rint(255 * mark.opacity * weight * self.outer)
        return canvas

    def _lips(self) -> NDArray[np.floating]:
        of_lips = self.head.mask("lips", "lips_inner").float()
        inside = (of_lips[self.head.faces[self.surface.face.clamp_min(0)]] * self.surface.bary).sum(-1).numpy()
        return smoothstep(0.35, 0.75, inside)

    def _blush(self, marks: NDArray[np.floating]) -> NDArray[np.floating]:
        total = np.zeros((SIZE, SIZE), np.float32)
        for index in _CHEEKS:
            away = (self.points - marks[index]) / np.array([22.0, 15.0, 26.0])
            total = np.maximum(total, smoothstep(1.0, 0.15, np.linalg.norm(away, axis=-1)))
        return total

    def _shadow(self, marks: NDArray[np.floating]) -> NDArray[np.floating]:
        total = np.zeros((SIZE, SIZE), np.float32)
        x, y, z = np.moveaxis(self.points, -1, 0)
        for outer, lid, inner in _LIDS:
            width = abs(marks[outer, 0] - marks[inner, 0])
            across = (x - (marks[outer, 0] + marks[inner, 0]) / 2) / (0.75 * width)
            line = marks[lid, 1] - 0.35 * (marks[lid, 1] - (marks[outer, 1] + marks[inner, 1]) / 2) * across**2 * 2
            up = smoothstep(9.0, 2.0, y - line) * smoothstep(-1.5, 0.5, y - line)
            near = smoothstep(35.0, 25.0, np.abs(z - marks[lid, 2]))
            total = np.maximum(total, up * smoothstep(1.0, 0.55, np.abs(across)) * near)
        return total

    def _freckles(self, marks: NDArray[np.floating], seed: int) -> NDArray[np.floating]:
        rng = np.random.default_rng(seed)
        total = np.zeros((SIZE, SIZE), np.float32)
        middle = marks[list(_NOSE)].mean(0)
        near = np.linalg.norm((self.points - middle) / np.array([58.0, 28.0, 60.0]), axis=-1)
        rows, columns = np.nonzero((near < 1) & self.outer & (self.points[..., 1] < marks[33, 1] - 9))
        if not len(rows):
            return total
        chance = (1 - near[rows, columns]) ** 0.5 * (np.abs(self.points[rows, columns, 0] - middle[0]) + 6)
        chosen = rng.choice(len(rows), min(_FRECKLES, len(rows)), replace=False, p=chance / chance.sum())
        for row, column in zip(rows[chosen], columns[chosen], strict=True):
            radius = rng.uniform(0.5, 1.1)
            strength = rng.uniform(0.4, 1.0)
            window = np.s_[max(row - 12, 0) : row + 13, max(column - 12, 0) : column + 13]
            distance = np.linalg.norm(self.points[window] - self.points[row, column], axis=-1)
            total[window] = np.maximum(total[window], strength * smoothstep(radius, 0.4 * radius, distance))
        return total
