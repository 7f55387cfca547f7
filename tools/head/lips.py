"""Closed lips and the mouth sock behind them (stage S4)."""

from __future__ import annotations

import numpy as np

from avatar.head.anatomy.indices import LIP_LOWER, LIP_UPPER
from avatar.head.anatomy.mesh import Floats, Ints

from .mesh import MeshBuilder

CONTACT_GAP = 0.004  # cm, half of the gap between neutral lips
#: rings of the sock: depth, opening (negative overlaps, so that no slit shows), width factor
_SOCK = ((-0.22, -0.03, 1.0), (-0.55, 0.50, 1.03), (-1.3, 1.1, 1.0), (-2.8, 1.25, 0.85), (-4.6, 0.9, 0.55))


def contact_loop(mirror: Ints) -> list[int]:
    """The mouth's 20 contact vertices: upper from the right to the left corner, lower back."""
    upper = list(LIP_UPPER[3])
    lower = list(LIP_LOWER[3])
    whole_upper = upper + [int(mirror[index]) for index in upper[-2::-1]]
    whole_lower = lower + [int(mirror[index]) for index in lower[-2:0:-1]]
    return whole_upper + whole_lower[1:][::-1]


def close_lips(points: Floats, mirror: Ints) -> Floats:
    """Points [478,3] with each pair of contact points at its mean, separated by a small gap."""
    points = points.copy()
    for upper, lower in zip(LIP_UPPER[3][1:], LIP_LOWER[3][1:], strict=True):
        for high, low in {(upper, lower), (int(mirror[upper]), int(mirror[lower]))}:
            middle = (points[high] + points[low]) / 2
            points[high] = middle + np.array([0, CONTACT_GAP, 0])
            points[low] = middle - np.array([0, CONTACT_GAP, 0])
    return points


def add_sock(builder: MeshBuilder, mirror: Ints) -> tuple[dict[int, list[int]], int]:
    """Add the mouth interior; returns the ring vertices of each contact vertex and the cap's vertex."""
    loop = contact_loop(mirror)
    contact = builder.points(loop)
    size = len(loop)
    direction = np.where(np.arange(size) <= size // 2, 1.0, -1.0)
    arch = np.sqrt(np.clip(1 - (contact[:, 0] / (np.abs(contact[:, 0]).max() * 1.02)) ** 2, 0, 1)) * 0.7 + 0.3
    direction[[0, size // 2]] = 0
    rings: list[list[int]] = []
    for depth, opening, width in _SOCK:
        points = contact * [width, 1, 1] + np.array([0, 0, depth])
        points[:, 1] += direction * opening * arch
        rings.append(builder.ring(rings[-1] if rings else loop, points))
    back = builder.points(rings[-1])
    cap = builder.cap(rings[-1], np.array([0, contact[size // 4, 1], back[:, 2].mean() - 0.4]))
    return {vertex: [ring[place] for ring in rings] for place, vertex in enumerate(loop)}, cap
