"""Ears: a height field of helix, antihelix, concha, tragus and lobe over the ear's plane (stage S7)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from avatar.head.anatomy.mesh import Floats, smoothstep
from avatar.head.anatomy.parts import Grid, Part, flip, polar

from .cage import Cage
from .implicit import smooth_max
from .mesh import rotation_x

_CENTER_Y = -1.55  # cm, origin of the ear's axes u (back), v (up)
_CENTER_Z = -7.55
_TILT_DEGREES = -16.0
_COLUMNS = 40
#: the outline u, v from the top along the back to the lobe and up the front
_OUTLINE = (
    (0.10, 3.00), (0.85, 2.72), (1.45, 1.98), (1.72, 0.95), (1.64, -0.15), (1.28, -1.20), (0.80, -2.10),
    (0.20, -2.85), (-0.50, -3.02), (-1.02, -2.55), (-1.22, -1.70), (-1.36, -0.80), (-1.42, 0.15), (-1.38, 1.10),
    (-1.12, 2.00), (-0.62, 2.68),
)  # fmt: skip
_MIDDLE = (-0.15, -0.25)  # of the polar grid, in the concha
_RADII = (0.08, 0.18, 0.28, 0.38, 0.47, 0.55, 0.63, 0.71, 0.79, 0.86, 0.92, 0.97, 1.0)
_HALF_ROWS = (1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 17)
#: rows behind the rim: scale of the outline about its front, part of the way from the front surface to the skull
_BEHIND = ((1.01, 0.16), (0.97, 0.32), (0.84, 0.42), (0.62, 0.60), (0.52, 1.25))
_MIN_THICKNESS = 0.16  # cm
_SLOPE = 0.47  # of the ear's plane: 25 degrees from the head
_FRONT = -0.04  # height of the plane at u = -1.4, below the skin
_SUNK = 0.45  # additional depth of the front edge below the skin
_FLOOR = 0.20  # minimum height of the concha

#: ridges: points u, v along them, height and half-width in cm, lengths over which they fade in and out
_RIDGES = (
    (((-0.55, -0.20), (-0.95, 0.45), (-1.10, 1.15), (-0.92, 1.95), (-0.45, 2.50), (0.12, 2.76), (0.78, 2.50),
      (1.28, 1.85), (1.50, 0.92), (1.43, -0.12), (1.10, -1.10), (0.72, -1.80)), 0.40, 0.21, (0.12, 0.15)),  # helix
    (((0.12, -1.48), (0.62, -1.12), (0.86, -0.45), (0.86, 0.30), (0.62, 0.95), (0.30, 1.50), (0.18, 2.10)),
     0.46, 0.22, (0.10, 0.25)),  # antihelix and its upper crus
    (((0.62, 0.90), (0.15, 1.15), (-0.35, 1.22), (-0.75, 1.20)), 0.24, 0.20, (0.1, 0.5)),  # its lower crus
    (((-0.20, -1.62), (0.12, -1.48), (0.40, -1.30)), 0.24, 0.20, (0.2, 0.2)),  # antitragus
)  # fmt: skip
#: bumps: center u, v, half-widths, height
_BUMPS = (
    ((-1.02, -0.62), (0.40, 0.58), 0.40),  # tragus
    ((-0.30, -2.35), (0.60, 0.50), 0.16),  # lobe
    ((-0.92, -1.25), (0.35, 0.40), 0.14),  # notch below the tragus
    ((1.18, 0.40), (0.16, 1.2), -0.22),  # groove between helix and antihelix
    ((0.0, 1.75), (0.28, 0.35), -0.22),  # hollow between the crura
)
_CONCHA = ((-0.08, -0.32), (0.74, 1.16), -0.80)  # center, half-widths, depth
_SKIN = (0.82, 0.65, 0.56)
_RIM = (0.83, 0.60, 0.52)
_HOLLOW = (0.60, 0.41, 0.36)


def _near_line(points: Floats, line: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Distance [N] of points [N,2] to a smooth curve through `line`, and the closest position along it, 0..1."""
    knots = np.array(line)
    fine = np.linspace(0, 1, 80)
    curve = CubicSpline(np.linspace(0, 1, len(knots)), knots)(fine)
    distance = np.linalg.norm(points[:, None] - curve, axis=-1)
    nearest = distance.argmin(1)
    return distance[np.arange(len(points)), nearest], fine[nearest]


def _height(points: Floats) -> Floats:
    """Height [N] cm of the ear's outer surface over the skin at points [N,2]."""
    u, v = points.T
    height = _FRONT + _SLOPE * (u + 1.4) - 0.14 * smoothstep(-1.6, -2.8, v)
    for line, size, width, (rise, fall) in _RIDGES:
        distance, part = _near_line(points, line)
        ends = smoothstep(0, rise, part) * smoothstep(1, 1 - fall, part)
        height = height + size * ends * np.exp(-((distance / width) ** 2))
    for center, widths, size in _BUMPS:
        height = height + size * np.exp(-(((points - np.array(center)) / np.array(widths)) ** 2).sum(1))
    center, widths, depth = _CONCHA
    inside = (((points - np.array(center)) / np.array(widths)) ** 2).sum(1)
    height = height + depth * np.exp(-(inside**2)) * smoothstep(-1.3, -0.6, u)
    floor = _FLOOR - 0.5 * smoothstep(-2.2, -2.9, v)
    return smooth_max(height, floor, 0.12) - _SUNK * smoothstep(-0.98, -1.42, u)


def _outline() -> Floats:
    """Points [40,2] around the ear, evenly spaced."""
    knots = np.array([*_OUTLINE, _OUTLINE[0]])
    curve = CubicSpline(np.linspace(0, 1, len(knots)), knots, bc_type="periodic")
    fine = curve(np.linspace(0, 1, 721))
    arc = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    steps = np.arange(_COLUMNS) / _COLUMNS * arc[-1]
    return np.stack([np.interp(steps, arc, fine[:, axis]) for axis in range(2)], -1)


def _grid() -> Floats:
    """Rows of u, v, height [rows,40,3] from the concha over the rim to behind the ear."""
    outline = _outline()
    middle = np.array(_MIDDLE)
    rows = []
    for radius in _RADII:
        points = middle + radius * (outline - middle)
        rows.append(np.column_stack([points, _height(points)]))
    front = np.array([-1.2, -0.2])
    rim = rows[-1][:, 2]
    for scale, sink in _BEHIND:
        points = front + scale * (outline - front)
        behind = np.minimum(rim * (1 - sink) - 0.5 * sink, _height(points) - _MIN_THICKNESS * min(1.0, 4 * sink))
        rows.append(np.column_stack([points, behind]))
    return np.array(rows)


def _skin_beside(cage: Cage, y: Floats, z: Floats) -> Floats:
    """Half the head's width [N] at heights y and depths z near the left ear, by a quadratic fit to the skin."""
    points = cage.vertices
    offset = points[:, 1:] - [_CENTER_Y, _CENTER_Z]
    near = points[(points[:, 0] > 4) & (np.linalg.norm(offset, axis=1) < 4.2)]

    def terms(y: Floats, z: Floats) -> Floats:
        return np.stack([np.ones_like(y), y, z, y * z, y * y, z * z], -1)

    factors = np.linalg.lstsq(terms(near[:, 1], near[:, 2]), near[:, 0])[0]
    return terms(y, z) @ factors


def _colors(rows: Floats) -> Floats:
    """Colors [P,3]: redder toward the rim, darker in the hollows; the pole last."""
    points = rows.reshape(-1, 3)[:, :2]
    colors = np.tile(_SKIN, (len(points), 1)).astype(float)
    distance, _ = _near_line(points, _RIDGES[0][0])
    rim = (0.6 * np.exp(-((distance / 0.5) ** 2)) * smoothstep(-1.2, -0.6, points[:, 0]))[:, None]
    colors += rim * (np.array(_RIM) - colors)
    center, widths, _ = _CONCHA
    hollow = np.exp(-((((points - np.array(center)) / np.array(widths)) ** 2).sum(1) ** 2))
    hollow[len(_RADII) * _COLUMNS :] = 0
    colors += 0.5 * hollow[:, None] * (np.array(_HOLLOW) - colors)
    return np.vstack([colors, _HOLLOW])


def left_ear(cage: Cage, follows: tuple[tuple[int, float], ...]) -> Part:
    """The left ear, open toward the skull."""
    rows = _grid()
    pole = np.array([[*_MIDDLE, rows[0, :, 2].mean()]])
    local = np.vstack([rows.reshape(-1, 3), pole])
    turned = np.column_stack([np.zeros(len(local)), local[:, 1], -local[:, 0]]) @ rotation_x(_TILT_DEGREES).T
    y = turned[:, 1] + _CENTER_Y
    z = turned[:, 2] + _CENTER_Z
    vertices = np.column_stack([_skin_beside(cage, y, z) + local[:, 2], y, z])
    grid = Grid(len(rows), _COLUMNS, closed=True, pole_at=0)
    angle = np.linspace(0, 2 * np.pi, _COLUMNS, endpoint=False)
    part = Part(
        name="left_ear",
        vertices=vertices,
        faces=grid.faces(),
        colors=_colors(rows),
        flat=np.vstack([polar(range(1, len(rows) + 1), angle), [[0, 0]]]),
        half=grid.subset(_HALF_ROWS, range(0, _COLUMNS, 2)),
        follows=follows,
        jaw_weights=np.zeros(len(vertices)),
        regions={"skin": np.ones(len(vertices), bool)},
    )
    a, b, c = (vertices[part.faces[:_COLUMNS, corner]] for corner in range(3))
    return part if np.cross(b - a, c - a)[:, 0].sum() > 0 else flip(part)
