"""Soft-tissue motion of lips and cheeks in addition to the rigid jaw motion (stage S9)."""

from __future__ import annotations

import numpy as np

from .cage import Cage
from .indices import LIP_LOWER, LIP_UPPER
from .mesh import Floats
from .shapes_mouth import LipMotion, Table, both_halves, lip_handles
from .spread import Handles, set_lip

#: an open jaw moves the corners of the mouth inward and hollows the cheeks
_OPEN: Table = {
    57: (0.24, 0, -0.04), 186: (0.20, -0.04, 0), 43: (0.20, 0.10, 0.04), 212: (0.20, 0, -0.08), 216: (0.14, 0, -0.06),
    202: (0.18, 0.06, 0), 214: (0.18, 0, -0.10), 207: (0.14, 0, -0.10), 192: (0.12, 0, -0.06), 187: (0.08, 0, -0.05),
    106: (0.08, 0.04, 0.02), 92: (0.08, -0.04, -0.02), 165: (0.03, -0.04, -0.02),
}  # fmt: skip
_LIFT_BESIDE_CORNER = (0.0, 0.16, 0.08, 0.02, 0, 0)  # cm that the lower lip stays behind the jaw, from the corner
_SHUT = (0.4, 0.7, 0.9, 1.0)  # part of the jaw's drop compensated by the rows of the lower lip, from the outer one
_RECESS = 0.035  # cm that the ends of the contact line move back, so that triangles of sheared lips do not flip


def _opened(cage: Cage) -> Floats:
    """Corners moved inward, both lips thinner and round next to the corner."""

    def motion(upper: bool) -> LipMotion:
        rows = LIP_UPPER if upper else LIP_LOWER

        def move(column: int, row: int, side: float) -> Floats:
            height = cage.vertices[rows[3][column], 1] - cage.vertices[rows[row][column], 1]
            lift = 0.0 if upper else _LIFT_BESIDE_CORNER[column]
            inner = (row == 3) * side**2  # the contact line rotates inward
            return np.array([0.24 * side**2 + 0.08 * inner, 0.16 * height + lift, 0.6 * lift - 0.03 - 0.14 * inner])

        return move

    return cage.spreader.fill(both_halves(cage, lip_handles(cage, motion(True), motion(False), _OPEN)), 2.6)


def _level(cage: Cage, carried: Floats) -> Floats:
    """For jaw motions without opening: lips stay shut, and vertices next to the corners are between their neighbors.

    With the jaw's motion alone, the lips next to a corner would be sheared.
    """
    moved = carried.copy()
    for number, row in enumerate(LIP_LOWER):
        for lip in (row, cage.mirrored(row)):
            moved[list(lip[1:]), 1] *= 1 - _SHUT[number]
    for row in LIP_UPPER + LIP_LOWER:
        for corner, beside, next_ in (row[:3], cage.mirrored(row[:3])):
            moved[beside] = (moved[corner] + moved[next_]) / 2
    contact = LIP_UPPER[3][0]
    moved[[contact, *cage.mirrored((contact,))], 2] -= _RECESS
    handles: Handles = {}
    for vertex in {index for row in LIP_UPPER + LIP_LOWER for index in (*row, *cage.mirrored(row))}:
        set_lip(handles, cage.sock, vertex, moved[vertex] - carried[vertex])
    return cage.spreader.fill(handles, 0.8)


def soft_tissue(cage: Cage, carried: dict[str, Floats]) -> dict[str, Floats]:
    """Displacements [C,3] in addition to the rigid jaw motion `carried`, by name."""
    level = ("jawForward", "jawLeft", "jawRight")
    return {"jawOpen": 1.1 * _opened(cage), **{name: _level(cage, carried[name]) for name in level}}
