"""Glasses: two rims, a bridge and two temples, fixed to the skull, without lenses."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from capture.synthetic.appearance import Color
from capture.synthetic.person import Person
from capture.synthetic.skin import LOWER_LIDS, UPPER_LIDS, Texels
from capture.synthetic.texels import TexelGrid

Array = NDArray[np.floating]

_SIDES = 8  # of a tube's cross section
_RIM_POINTS = 56
# radii of the tubes, cm
_RIM = 0.17
_BRIDGE = 0.13
_TEMPLE = 0.16
_HALF_WIDTH = 2.55  # of a rim
_HALF_HEIGHT = 2.05  # cm
_LID_DISTANCE = 1.85  # cm from the lids to the rims
_EAR_TOPS = (127, 356)  # MediaPipe's landmarks of the face's edge at the height of the eyes, right and left


class Glasses:
    """Geometry [V,3] and texels of the glasses of one person, in the rest pose of the head, cm."""

    def __init__(self, person: Person, color: Color) -> None:
        self._color = np.array(color, np.float32)
        landmarks = person.landmarks
        rims = []
        tubes = []
        for upper, lower, side in zip(UPPER_LIDS, LOWER_LIDS, (-1.0, 1.0), strict=True):
            center = landmarks[[*upper, *lower]].mean(0) + np.array([0.15 * side, -0.15, _LID_DISTANCE])
            rims.append(_rim(center, side))
            tubes.append(_tube(rims[-1], _RIM, closed=True))
        tubes.append(_tube(_bridge(_furthest(rims[0], 1.0), _furthest(rims[1], -1.0)), _BRIDGE))
        for rim, edge, side in zip(rims, _EAR_TOPS, (-1.0, 1.0), strict=True):
            tubes.append(_tube(_temple(_furthest(rim, side), landmarks[edge], side), _TEMPLE))
        starts = np.cumsum([0] + [len(vertices) for vertices, _ in tubes])
        self.rest = np.concatenate([vertices for vertices, _ in tubes]).astype(np.float32)  # [V,3] cm
        self.faces = np.concatenate([faces + start for (_, faces), start in zip(tubes, starts[:-1], strict=True)])

    def pose(self, rotation: Array, offset: Array) -> Array:
        """Vertices [V,3] meters, world, for the skull transform `x -> rotation x + offset` (meters)."""
        return (self.rest * np.float32(0.01)) @ rotation.T + offset

    def paint(self, grid: TexelGrid) -> Texels:
        """Texels of glossy acetate."""
        count = len(self.faces) * grid.per_face
        zero = np.zeros(count, np.float32)
        no_bump = np.zeros((count, 3), np.float32)
        albedo = np.tile(self._color, (count, 1))
        return Texels(albedo, zero + np.float32(0.5), zero + np.float32(0.25), no_bump, zero, zero)


def _rim(center: Array, side: float) -> Array:
    """The center line [N,3] of a rim: a rounded box bent around the face, its lower edge nearer to the cheek."""
    angle = np.linspace(0, 2 * np.pi, _RIM_POINTS, endpoint=False)
    x, y = (np.sign(value) * np.abs(value) ** 0.72 for value in (np.cos(angle), np.sin(angle)))
    outward = x * side
    height = _HALF_HEIGHT * (1 + 0.10 * outward * (y > 0))
    z = 0.12 * y - 0.28 * np.clip(outward + 0.3, 0, None) ** 2
    return center + np.stack([_HALF_WIDTH * x, height * y, z], 1)


def _furthest(rim: Array, side: float) -> Array:
    """The point [3] of a rim furthest to one side, a little above the center."""
    extent = side * rim[:, 0] + 0.4 * (rim[:, 1] - rim[:, 1].mean())
    return rim[np.argmax(extent)]


def _bridge(right: Array, left: Array) -> Array:
    """The center line [N,3] of the bridge between two points of the rims."""
    along = np.linspace(0, 1, 9)[:, None]
    arch = np.sin(np.pi * along) * np.array([0, 0.28, 0.35])
    return right * (1 - along) + left * along + arch


def _temple(hinge: Array, edge: Array, side: float) -> Array:
    """The center line [N,3] from the rim past the edge of the face over the ear and down behind it."""
    beside = np.array([edge[0] + 0.55 * side, hinge[1] + 0.05, edge[2] + 0.6])
    over_ear = np.array([edge[0] + 0.75 * side, hinge[1] - 0.1, edge[2] - 3.6])
    behind = np.array([edge[0] + 0.45 * side, hinge[1] - 2.6, edge[2] - 5.2])
    corner = hinge + np.array([0.45 * side, 0, -0.5])
    stations = np.stack([hinge, corner, beside, over_ear, behind])
    steps = [np.linspace(a, b, 6, endpoint=False) for a, b in itertools.pairwise(stations)]
    return np.concatenate([*steps, stations[-1:]])


def _tube(line: Array, radius: float, *, closed: bool = False) -> tuple[Array, NDArray[np.int64]]:
    """Vertices and triangles of a tube about a polyline [N,3], the outside counter-clockwise."""
    extended = np.concatenate([line[-1:], line, line[:1]] if closed else [line[:1], line, line[-1:]])
    tangent = extended[2:] - extended[:-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    aside = np.cross(tangent, [0.12, 0.31, 0.94])
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    upward = np.cross(tangent, aside)
    angle = np.arange(_SIDES) * (2 * np.pi / _SIDES)
    ring = np.cos(angle)[None, :, None] * aside[:, None] + np.sin(angle)[None, :, None] * upward[:, None]
    vertices = line[:, None] + radius * ring
    rows = np.arange(len(line) if closed else len(line) - 1)
    row, column = np.meshgrid(rows, np.arange(_SIDES), indexing="ij")
    below = (row + 1) % len(line)
    right = (column + 1) % _SIDES
    corners = [row * _SIDES + column, row * _SIDES + right, below * _SIDES + right, below * _SIDES + column]
    first, second = (np.stack([corners[k] for k in order], -1).reshape(-1, 3) for order in ((0, 1, 2), (0, 2, 3)))
    return vertices.reshape(-1, 3), np.concatenate([first, second]).astype(np.int64)
