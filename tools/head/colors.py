"""Plausible albedo of the skin, by anatomical region."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sparse

from avatar.head.anatomy.indices import BROW_LOWER, BROW_UPPER, LID_LOWER, LID_UPPER, LIP_LOWER, LIP_UPPER
from avatar.head.anatomy.mesh import MIRROR, Floats, smoothstep
from avatar.head.subdivision import midpoint_matrix

from .cage import Cage
from .regions import above_hairline, soft

SKIN = (0.82, 0.66, 0.57)
_LIP = (0.70, 0.41, 0.39)
_LIP_INNER = (0.60, 0.30, 0.30)
_LASH = (0.20, 0.13, 0.11)
_BROW = (0.30, 0.21, 0.165)
_STUBBLE = (0.70, 0.58, 0.52)
_SOCK = ((0.60, 0.28, 0.28), (0.48, 0.20, 0.20), (0.30, 0.12, 0.12), (0.18, 0.07, 0.07), (0.11, 0.04, 0.04))
_CAP = (0.08, 0.03, 0.03)
_BAGS = ((0.76, 0.54, 0.49), (0.56, 0.33, 0.30), (0.38, 0.20, 0.18))
_NOSTRIL = ((0.42, 0.25, 0.21), (0.17, 0.08, 0.07), (0.13, 0.06, 0.05), (0.10, 0.04, 0.04))
_LIP_REDNESS = (0.40, 0.92, 1.0)  # from the outer row inwards; the contact row has its own color
#: soft tints: center (mirrored), half-widths, color, strength
_TINTS = (
    ((3.9, -3.2, 0.4), (1.7, 1.3, 2.2), (0.84, 0.56, 0.49), 0.45),  # cheeks
    ((0, -3.9, 3.5), (1.0, 0.9, 1.4), (0.82, 0.55, 0.48), 0.40),  # nose tip
    ((1.8, -4.1, 2.0), (0.5, 0.6, 0.9), (0.78, 0.52, 0.45), 0.45),  # wings of the nose
    ((0, -10.6, 1.5), (1.5, 0.9, 1.5), (0.82, 0.58, 0.51), 0.25),  # chin
    ((0, 4.4, 0.5), (4.0, 2.0, 2.5), (0.86, 0.71, 0.60), 0.40),  # forehead
    ((2.9, -1.15, 0.2), (1.2, 0.40, 0.9), (0.69, 0.52, 0.49), 0.45),  # under the eyes
    ((3.2, 0.75, 0.2), (1.4, 0.42, 0.8), (0.74, 0.54, 0.47), 0.50),  # upper lids
    ((1.75, -0.2, 0.1), (0.35, 0.5, 0.6), (0.72, 0.50, 0.45), 0.40),  # inner corners
    ((0, -9.0, 1.5), (1.6, 0.35, 1.5), (0.75, 0.57, 0.50), 0.30),  # below the lower lip
)
#: half-height of a brow in cm from its inner to its outer end, and its opacity there
_BROW_HALF = (0.34, 0.36, 0.31, 0.22, 0.08)
_BROW_STRENGTH = (0.45, 0.85, 1.0, 0.95, 0.6)
_BROW_SOFT = 0.20  # cm; vertices are 0.15 cm apart here, so a sharper edge would show the triangles


def _paint(colors: Floats, shade: Floats, color: Sequence[float]) -> None:
    colors += shade[:, None] * (np.array(color) - colors)


def _line_distance(points: Floats, line: Floats) -> tuple[Floats, Floats]:
    """Distance [N] of points [N,3] to a polyline [K,3], and the position [N] of the closest point along it, 0..1."""
    start = line[:-1]
    along = np.diff(line, axis=0)
    part = np.einsum("nkc,kc->nk", points[:, None] - start, along) / (along**2).sum(1)
    part = np.clip(part, 0, 1)
    distance = np.linalg.norm(points[:, None] - start - part[..., None] * along, axis=-1)
    nearest = distance.argmin(1)
    rows = np.arange(len(points))
    return distance[rows, nearest], (nearest + part[rows, nearest]) / len(along)


def _brow_shade(cage: Cage, points: Floats) -> Floats:
    """Opacity [N] of the brow at points [N,3], 0..1, by distance to the curve between both rows of its landmarks."""
    lower = cage.vertices[list(BROW_LOWER)]
    upper = cage.vertices[list(BROW_UPPER)]
    knots = (0.55 * lower + 0.45 * upper)[::-1]
    fine = np.linspace(0, 1, 33)
    curve = [np.polyval(np.polyfit(np.linspace(0, 1, 5), knots[:, axis], 3), fine) for axis in range(3)]
    shade = np.zeros(len(points))
    for side in (np.ones(3), MIRROR):
        distance, part = _line_distance(points, np.stack(curve, 1) * side)
        half: Floats = np.interp(part, np.linspace(0, 1, 5), _BROW_HALF)
        strength = np.interp(part, np.linspace(0, 1, 5), _BROW_STRENGTH)
        shade += strength * smoothstep(half + _BROW_SOFT, half - _BROW_SOFT, distance)
    return np.clip(shade, 0, 1)


def _tint(colors: Floats, points: Floats) -> None:
    for center, widths, color, strength in _TINTS:
        for side in (np.ones(3), MIRROR) if center[0] else (np.ones(3),):
            scaled = (points - np.array(center) * side) / np.array(widths)
            _paint(colors, strength * np.exp(-(scaled**2).sum(1)), color)


def _paint_cage(cage: Cage, colors: Floats) -> None:
    """Paint lips, mouth, lids, lashes and nostrils along the cage's rows."""
    for upper, lower, redness in zip(LIP_UPPER[:3], LIP_LOWER[:3], _LIP_REDNESS, strict=True):
        _paint(colors, soft(cage, upper + lower) * redness, _LIP)
    _paint(colors, soft(cage, LIP_UPPER[3] + LIP_LOWER[3]), _LIP_INNER)
    for rings in cage.sock.values():
        colors[rings] = _SOCK
    colors[cage.sock_cap] = _CAP
    for rings in cage.bags.values():
        colors[rings] = _BAGS
    _paint(colors, soft(cage, LID_LOWER[1:-1]) * 0.35, _LASH)
    _paint(colors, soft(cage, LID_UPPER[:-1]) * 0.95, _LASH)
    for ring, color in zip(cage.nostrils, _NOSTRIL, strict=True):
        colors[ring] = color


def skin_colors(cage: Cage, subdivide: sparse.csr_matrix) -> Floats:
    """Colors [N,3] sRGB of the subdivided skin; `subdivide` [N,C] is its subdivision matrix.

    Colors are interpolated linearly, not smoothed like positions: a lash line is one row of vertices wide.
    """
    painted = np.tile(SKIN, (len(cage.vertices), 1)).astype(float)
    _tint(painted, cage.vertices)
    _paint_cage(cage, painted)
    colors = midpoint_matrix(cage.faces, len(cage.vertices)) @ painted
    points = subdivide @ cage.vertices
    _paint(colors, 0.30 * above_hairline(points), _STUBBLE)
    _paint(colors, _brow_shade(cage, points) * 0.92, _BROW)
    return colors
