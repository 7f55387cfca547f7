"""Nostrils: the landmark mesh's patch over each is replaced by a pocket (after stage S4)."""

from __future__ import annotations

import numpy as np

from .mesh import Ints, MeshBuilder

#: the right nostril's rim, from its front around the septum's side to the wing
RIM = (79, 239, 238, 20, 60, 75, 59, 166)
#: rings of the pocket: scale of the rim about its center, shift in cm
_RINGS = (
    (0.84, (0.02, 0.10, 0.0)),
    (0.74, (0.10, 0.42, 0.02)),
    (0.48, (0.28, 0.85, -0.10)),
)
_END = (0.34, 1.0, -0.15)


def without_patches(triangles: Ints, mirror: Ints) -> Ints:
    """Triangles [F,3] without those that cover the nostrils."""
    keep = np.ones(len(triangles), bool)
    for rim in (RIM, tuple(int(mirror[index]) for index in RIM)):
        keep &= ~np.isin(triangles, rim).all(1)
    return triangles[keep]


def add_nostrils(builder: MeshBuilder, mirror: Ints) -> list[list[int]]:
    """Add three rings and an end behind each rim; returns the vertices of each ring, both sides together."""
    rings: list[list[int]] = [[] for _ in range(len(_RINGS) + 1)]
    for side, rim in ((-1, list(RIM)), (1, [int(mirror[index]) for index in RIM])):
        edge = builder.points(rim)
        middle = edge.mean(0)
        inward = np.array([-side, 1, 1])
        last = rim
        for number, (scale, shift) in enumerate(_RINGS):
            last = builder.ring(last, middle + (edge - middle) * scale + inward * shift)
            rings[number] += last
        rings[-1].append(builder.cap(last, middle + inward * np.array(_END)))
    return rings
