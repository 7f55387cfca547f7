"""Two rows of teeth with gums (stage S7)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mesh import Floats
from .parts import Grid, Part, flip

_ENAMEL = (0.90, 0.88, 0.82)
_NECK = (0.84, 0.78, 0.66)
_GAP = (0.62, 0.52, 0.44)
_GUM = (0.76, 0.45, 0.43)
_GUM_DEEP = (0.55, 0.26, 0.26)


@dataclass(frozen=True)
class _Jaw:
    """One row: its position behind the lips and the shape of its teeth from the middle to the back, cm."""

    name: str
    half_width: float
    behind: float  # of the upper lip's contact line
    edge: float  # height of the middle incisors' edges above that line
    up: float  # 1 grows upwards from the edge, -1 downwards
    widths: tuple[float, ...]  # of the teeth (Wheeler's dental anatomy, means)
    heights: tuple[float, ...]  # of their crowns
    lifts: tuple[float, ...]  # of their edges from the middle ones' level towards the gum


_UPPER = _Jaw(
    "teeth_upper", 2.65, 0.92, -0.20, 1.0,
    (0.86, 0.66, 0.76, 0.71, 0.66, 1.0, 0.9), (1.02, 0.90, 0.98, 0.82, 0.76, 0.72, 0.68),
    (0.0, 0.07, 0.0, 0.06, 0.07, 0.10, 0.13),
)  # fmt: skip
_LOWER = _Jaw(
    "teeth_lower", 2.45, 1.14, -0.42, -1.0,
    (0.53, 0.59, 0.69, 0.71, 0.71, 1.1, 1.05), (0.88, 0.92, 1.0, 0.84, 0.78, 0.72, 0.68),
    (0.0, 0.02, -0.02, 0.05, 0.08, 0.10, 0.12),
)  # fmt: skip
_ARCH_ANGLE = 1.35
_ARCH_DEPTH = 3.9
#: columns within a tooth as fractions of its width; the first lies in the gap to the previous tooth
_FRONT = (0.0, 0.10, 0.3, 0.5, 0.7, 0.90)
_BACK = (0.0, 0.14, 0.5, 0.86)
_HALF_FRONT = (0, 2, 4)  # columns kept at half density
_HALF_BACK = (0, 2)
_FRONT_TEETH = 3  # incisors and canine
#: rows from the outer gum over the edge to the inner gum: fraction of the crown's height, bulge in cm, material
_ROWS = (
    (1.75, -0.20, "deep"), (1.30, 0.02, "gum"), (1.06, 0.05, "gum"), (0.99, 0.00, "neck"), (0.70, 0.07, "crown"),
    (0.35, 0.07, "crown"), (0.05, 0.02, "crown"), (0.00, -0.08, "crown"), (0.12, -0.28, "crown"),
    (1.00, -0.62, "neck"), (1.70, -0.66, "deep"),
)  # fmt: skip
_HALF_ROWS = (0, 2, 3, 4, 6, 7, 8, 10)


def _columns(jaw: _Jaw, thin: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Columns of the left half from the middle back: position along the arch 0..1, tooth, fraction of it, index."""
    place = []
    tooth = []
    within = []
    index = []
    start = 0.0
    count = 0
    for number, width in enumerate(jaw.widths):
        parts, half_orders = (_FRONT, _HALF_FRONT) if number < _FRONT_TEETH else (_BACK, _HALF_BACK)
        for order, part in enumerate(parts):
            if not thin or order in half_orders:
                place.append(start + part * width)
                tooth.append(number)
                within.append(part)
                index.append(count + order)
        start += width
        count += len(parts)
    place.append(start)
    tooth.append(len(jaw.widths) - 1)
    within.append(1.0)
    index.append(count)
    return np.array(place) / start, np.array(tooth), np.array(within), np.array(index)


def _whole(half: Floats, odd: bool = False) -> Floats:
    """Both halves of a row [2N-1] from the left one [N], which starts in the middle."""
    return np.concatenate([-half[:0:-1] if odd else half[:0:-1], half])


def _row(row: tuple[float, float, str], jaw: _Jaw, lip: Floats) -> tuple[Floats, Floats]:
    """Vertices and colors [N,3] of one row of the ribbon, right end first."""
    height, bulge, kind = row
    place, tooth, within, _ = _columns(jaw, thin=False)
    u = _whole(place, odd=True)
    middle = _whole(np.abs(np.sin(np.pi * within)) ** 0.4)  # 1 in a tooth's middle, 0 in the gaps
    crown_height = _whole(np.array(jaw.heights)[tooth])
    lift = _whole(np.array(jaw.lifts)[tooth])
    pointed = _whole(np.where(tooth == 2, np.abs(within - 0.45), 0.0))  # canines
    x = jaw.half_width * np.sin(u * _ARCH_ANGLE) / np.sin(_ARCH_ANGLE)
    back = _ARCH_DEPTH * (1 - np.cos(u * _ARCH_ANGLE)) / (1 - np.cos(_ARCH_ANGLE))
    z = lip[2] - jaw.behind - back
    outward = np.stack([-np.gradient(z, u), np.gradient(x, u)], 1)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    on_tooth = kind in ("crown", "neck")
    offset = bulge - (0.11 if on_tooth else 0.03) * (1 - middle) * (1 if bulge > -0.5 else 0.3)
    gum_line = 1 - 0.22 * (1 - middle) if 0.9 < height < 1.2 else 1.0
    rise = np.where(height < 1.3, height * crown_height * gum_line, height)
    rise = rise + (lift + 0.05 * (1 - middle) + 0.22 * pointed * middle) * (height < 0.3)
    y = lip[1] + jaw.edge + jaw.up * rise
    points = np.stack([x + outward[:, 0] * offset, y, z + outward[:, 1] * offset], -1)
    return points, _row_colors(kind, middle, u)


def _row_colors(kind: str, middle: Floats, u: Floats) -> Floats:
    base = np.array({"deep": _GUM_DEEP, "gum": _GUM, "neck": _NECK, "crown": _ENAMEL}[kind])
    if kind in ("deep", "gum"):
        return np.tile(base, (len(u), 1)) * (1 - 0.25 * np.abs(u))[:, None]
    shade = (1 - middle)[:, None] ** 2
    return (base * (1 - 0.8 * shade) + np.array(_GAP) * 0.8 * shade) * (1 - 0.35 * np.abs(u) ** 2)[:, None]


def teeth(lip: Floats, upper: bool, follows: tuple[tuple[int, float], ...]) -> Part:
    """A row of 14 teeth with its gum, from the outside over the edges to the inside, behind `lip` [3] cm.

    `lip` is the middle of the upper lip for both rows.
    """
    jaw = _UPPER if upper else _LOWER
    rows = [_row(row, jaw, lip) for row in _ROWS]
    vertices = np.vstack([points for points, _ in rows])
    colors = np.vstack([color for _, color in rows])
    columns = len(rows[0][0])
    grid = Grid(len(rows), columns, closed=False)
    half_columns = _columns(jaw, thin=True)[3]
    middle = columns // 2
    across = _whole(_columns(jaw, thin=False)[0], odd=True)
    flat = np.stack([np.tile(across * 2, len(rows)), np.repeat(np.linspace(0, 1, len(rows)), columns)], -1)
    part = Part(
        name=jaw.name,
        vertices=vertices,
        faces=grid.faces(),
        colors=colors,
        flat=flat,
        half=grid.subset(_HALF_ROWS, [*(middle - half_columns[:0:-1]), *(middle + half_columns)]),
        follows=follows,
        jaw_weights=np.full(len(vertices), 0.0 if upper else 1.0),
    )
    return part if upper else flip(part)
