"""The line where the lips meet: in a front view, where the skin weight of the jaw jumps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avatar.errors import HeadsplatError
from avatar.head.anatomy import base
from avatar.head.anatomy.indices import (
    FACE_POINTS,
    LIP_LOWER,
    LIP_UPPER,
    LOWER_LIP_MIDDLE,
    UPPER_LIP_MIDDLE,
)
from avatar.head.sheets import View, rasterize_view
from avatar.types import JAW

from .anatomy import Anatomy
from .surface import Floats, Ints

LIP_MIDDLES = (UPPER_LIP_MIDDLE, LOWER_LIP_MIDDLE)
_PIXELS = 768
_EXTENT = 0.1
_MIN_JUMP = 0.25  # of the jaw's skin weight between two vertically adjacent pixels
_MIN_WIDTH = 0.015  # meters along which the lips must meet


@dataclass(frozen=True)
class LipLine:
    """The edges of the lips where they meet, by increasing x."""

    upper: Floats  # [N,3] meters
    lower: Floats  # [N,3]

    @property
    def middle(self) -> Floats:
        """The point [3] between the lips at the middle of the mouth."""
        near = np.abs(self.upper[:, 0] - np.median(self.upper[:, 0])).argmin()
        return (self.upper[near] + self.lower[near]) / 2

    def at(self, x: Floats, is_upper: bool) -> Floats:
        """Points [M,3] of an edge at the coordinates `x` [M]."""
        edge = self.upper if is_upper else self.lower
        return np.stack([np.interp(x, edge[:, 0], edge[:, axis]) for axis in range(3)], -1)


def find_lips(body: Anatomy, weights: Floats, mouth: Floats) -> LipLine:
    """Trace the line between the lips.

    Args:
        body: the mesh with a shut mouth.
        weights: [V,5] skin weights.
        mouth: [N,3] boundary of the skin inside the mouth, meters.

    Returns:
        The line.

    Raises:
        HeadsplatError: the jaw's skin weight jumps nowhere.
    """
    x, y, _ = (float(value) for value in mouth.mean(0))
    view = View(center=(x, y, 0.0), extent=_EXTENT)
    vertices = torch.from_numpy(body.vertices).float()
    _, face, bary = rasterize_view(torch.from_numpy(body.faces), vertices, view, _PIXELS)
    corners = body.faces[face[0].numpy()]
    bary_weights = bary[0].double().numpy()[..., None]
    is_skin = (face[0] >= 0).numpy() & body.skin[corners[..., 0]]
    points = (body.vertices[corners] * bary_weights).sum(2)
    jaw = (weights[corners, JAW][..., None] * bary_weights).sum(2)[..., 0]
    both = is_skin[:-1] & is_skin[1:] & (np.abs(points[:-1, :, 1] - y) < 0.02)
    jump = np.where(both, jaw[1:] - jaw[:-1], 0)
    row = jump.argmax(0)
    columns = np.flatnonzero(jump.max(0) > _MIN_JUMP)
    upper = points[row[columns], columns]
    lower = points[row[columns] + 1, columns]
    if not len(columns) or np.ptp(upper[:, 0]) < _MIN_WIDTH:
        raise HeadsplatError("the head's lips do not meet at the mouth's opening; give a FLAME head with a shut mouth")
    order = np.argsort(upper[:, 0], kind="stable")
    return LipLine(upper[order], lower[order])


def both_sides(row: tuple[int, ...]) -> Ints:
    """Landmarks of a row of a lip without its corner, and their mirror images."""
    right = np.array(row[1:])
    return np.unique(np.concatenate([right, base.load().mirror[right]]))


def landmark_groups(body: Anatomy, weights: Floats) -> list[tuple[Ints, Ints]]:
    """Groups of the 468 landmarks and the faces on which they may lie: upper lip, lower lip, all other skin."""
    jaw = weights[body.faces[body.visible], JAW].mean(1)
    groups = []
    rest = np.ones(FACE_POINTS, bool)
    for rows, faces in ((LIP_UPPER, body.visible[jaw < 0.5]), (LIP_LOWER, body.visible[jaw >= 0.5])):
        lip = np.concatenate([both_sides(row) for row in rows])
        rest[lip] = False
        groups.append((lip, faces))
    return [*groups, (np.flatnonzero(rest), body.visible)]
