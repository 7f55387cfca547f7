"""Symmetric expressions of the lips, mouthLeft and mouthRight (stage S9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.indices import CORNERS, LIP_LOWER, LIP_UPPER
from avatar.head.anatomy.mesh import Floats, smoothstep

from .cage import Cage
from .shapes_mouth import LipMotion, Table, both_halves, column_x, lip_handles
from .spread import SOCK_WEIGHTS, Handles, set_lip

_ROLL_WEIGHTS = (0.9, 0.5, 0.2, 0.0, 0.0)
_CLOSE_WEIGHTS = (1.0, 0.9, 0.5, 0.1, 0.0)
_POUT = (0.0, 0.07, 0.07, 0.0)  # cm, forward displacement of the rows of puckered lips, from the outer one
_TRUMPET_WEIGHTS = (0.9, 0.6, 0.3, 0.1, 0.0)

_PUCKER: Table = {
    57: (0.95, 0, 0.85), 186: (0.75, 0, 0.72), 43: (0.75, 0, 0.72), 92: (0.5, -0.02, 0.58), 165: (0.32, -0.02, 0.50),
    167: (0.15, -0.02, 0.42), 164: (0, -0.03, 0.40), 106: (0.45, 0.04, 0.55), 182: (0.28, 0.04, 0.45),
    83: (0.12, 0.04, 0.38), 18: (0, 0.04, 0.36), 212: (0.60, 0, 0.45), 216: (0.50, 0, 0.42), 202: (0.45, 0, 0.42),
    206: (0.25, 0, 0.25), 207: (0.32, 0, 0.16), 214: (0.32, 0, 0.14),
}  # fmt: skip
_FUNNEL: Table = {
    57: (0.55, -0.02, 0.55), 186: (0.45, 0.08, 0.52), 43: (0.45, -0.16, 0.48), 92: (0.32, 0.18, 0.45),
    165: (0.22, 0.24, 0.40), 167: (0.1, 0.26, 0.35), 164: (0, 0.26, 0.34), 106: (0.30, -0.32, 0.40),
    182: (0.2, -0.40, 0.34), 83: (0.08, -0.42, 0.28), 18: (0, -0.42, 0.28), 212: (0.36, -0.05, 0.30),
    216: (0.32, 0, 0.28), 200: (0, -0.15, 0.1),
}  # fmt: skip
_ROLL_UPPER: Table = {
    164: (0, -0.22, -0.10), 167: (0, -0.21, -0.10), 165: (0, -0.15, -0.10), 92: (0, -0.07, -0.06),
}  # fmt: skip
_ROLL_LOWER: Table = {
    18: (0, 0.26, -0.02), 83: (0, 0.25, -0.02), 182: (0, 0.20, -0.03), 106: (0, 0.1, -0.04), 200: (0, 0.12, 0.06),
}  # fmt: skip
_SHRUG_LOWER: Table = {
    18: (0, 0.42, 0.06), 83: (0, 0.40, 0.06), 182: (0, 0.33, 0.06), 106: (0, 0.2, 0.05), 200: (0, 0.48, 0.10),
    199: (0, 0.36, 0.10), 175: (0, 0.2, 0.05), 201: (0, 0.40, 0.1), 208: (0, 0.3, 0.08), 194: (0, 0.38, 0.08),
    204: (0, 0.25, 0.06), 152: (0, 0.08, 0),
}  # fmt: skip
_SHRUG_UPPER: Table = {
    164: (0, 0.25, 0.10), 167: (0, 0.25, 0.1), 165: (0, 0.23, 0.10), 92: (0, 0.18, 0.07), 2: (0, 0.08, 0.02),
    98: (0, 0.05, 0), 18: (0, 0.10, 0.02), 83: (0, 0.09, 0.02), 182: (0, 0.07, 0.02), 200: (0, 0.06, 0.04),
}  # fmt: skip
#: weight of the lips' gap for the surrounding skin when the mouth closes over an open jaw
_CLOSE_AROUND = {
    164: 0.16, 167: 0.15, 165: 0.1, 92: 0.06, 18: -0.5, 83: -0.48, 182: -0.42, 106: -0.3, 43: -0.12, 200: -0.26,
    199: -0.12, 201: -0.25,
}  # fmt: skip
_SHIFT_AROUND = {
    164: 0.6, 167: 0.6, 165: 0.6, 92: 0.6, 186: 0.75, 57: 0.85, 43: 0.8, 106: 0.7, 182: 0.7, 83: 0.7, 18: 0.7,
    200: 0.35, 212: 0.6, 216: 0.5, 202: 0.55, 2: 0.15, 97: 0.2, 98: 0.12, 99: 0.12, 242: 0.12,
}  # fmt: skip


def _symmetric(
    cage: Cage,
    motions: tuple[LipMotion, LipMotion],
    around: Table,
    reach: float,
    weights: tuple[float, ...] = SOCK_WEIGHTS,
) -> Floats:
    """Interpolate a symmetric expression.

    Args:
        cage: the cage.
        motions: of the upper and the lower lip.
        around: displacements of the surrounding skin, right half.
        reach: cm around the handles.
        weights: of the mouth sock's rings.

    Returns:
        Displacements [C,3] cm.
    """
    handles = lip_handles(cage, motions[0], motions[1], around, weights)
    return cage.spreader.fill(both_halves(cage, handles), reach)


def _pucker(cage: Cage) -> Floats:
    """Lips at half their width; the corners move forward most, onto the arc of the middle."""

    def motion(rows: tuple[tuple[int, ...], ...]) -> LipMotion:
        def move(column: int, row: int, side: float) -> Floats:
            height = cage.vertices[rows[row][column], 1] - cage.vertices[rows[3][column], 1]
            full = 0.9 * side**2 * (1 - side) - 0.08 * (1 - side**2)
            return np.array(
                [-0.48 * column_x(cage, column), height * full, 0.56 + 0.34 * side**2 + _POUT[row] * (1 - side**2)]
            )

        return move

    return _symmetric(cage, (motion(LIP_UPPER), motion(LIP_LOWER)), _PUCKER, 2.6)


def _funnel(cage: Cage) -> Floats:
    """Lips pushed forward around a round opening, their edges rotated outward; the corners move in less."""

    def motion(heights: Sequence[float], power: float, out: Sequence[float]) -> LipMotion:
        def move(column: int, row: int, side: float) -> Floats:
            middle = 1 - side**2
            x = -(0.20 + 0.14 * middle) * column_x(cage, column)
            return np.array([x, heights[row] * max(middle, 0) ** power, out[row] * middle + 0.78 * side**2])

        return move

    upper = motion((0.58, 0.50, 0.42, 0.34), 0.6, (0.50, 0.60, 0.68, 0.72))
    lower = motion((-0.70, -0.68, -0.66, -0.64), 0.75, (0.50, 0.60, 0.67, 0.70))
    return _symmetric(cage, (upper, lower), _FUNNEL, 2.6, _TRUMPET_WEIGHTS)


def _roll(cage: Cage, upper: bool) -> Floats:
    """One lip rolled in over the teeth: its red part moves to the contact line, and both contacts move back."""
    rows = LIP_UPPER if upper else LIP_LOWER
    left = (0.34, 0.20, 0.08, 0.0)
    back = (-0.26, -0.30, -0.28, -0.22) if upper else (-0.16, -0.24, -0.24, -0.22)

    def fade(side: float) -> float:
        return float(1 - smoothstep(0.72, 1.0, side))

    def rolled(column: int, row: int, side: float) -> Floats:
        height = cage.vertices[rows[3][column], 1] - cage.vertices[rows[row][column], 1]
        return np.array([0, height * (1 - left[row]) * fade(side), back[row] * fade(side)])

    def sealed(column: int, row: int, side: float) -> Floats:
        return np.array([0, 0, (-0.02, -0.06, -0.14, back[3])[row] * fade(side)])

    motions = (rolled, sealed) if upper else (sealed, rolled)
    return _symmetric(cage, motions, _ROLL_UPPER if upper else _ROLL_LOWER, 2.0, _ROLL_WEIGHTS)


def _bulge(rise: Sequence[float], out: Sequence[float], corner: float, power: float) -> LipMotion:
    """A lip pushed up by `rise` and forward by `out` cm per row in its middle, up by `corner` cm at the corner."""

    def move(column: int, row: int, side: float) -> Floats:
        middle = max(1 - side**2, 0.0)
        return np.array([0, rise[row] * middle**power + corner * side, out[row] * middle])

    return move


def _shrugs(cage: Cage) -> dict[str, Floats]:
    lower = _bulge((0.40, 0.34, 0.26, 0.21), (0.18, 0.26, 0.20, 0.10), 0.05, 0.8)
    pushed = _bulge((0.10, 0.13, 0.17, 0.21), (0.05,) * 4, 0.05, 0.8)
    upper = _bulge((0.46, 0.45, 0.42, 0.38), (0.06, 0.10, 0.09, 0.05), 0.05, 0.45)
    follows = _bulge((0.12, 0.18, 0.28, 0.38), (0, 0.02, 0.04, 0.05), 0.05, 0.45)
    return {
        "mouthShrugLower": _symmetric(cage, (pushed, lower), _SHRUG_LOWER, 2.4),
        "mouthShrugUpper": _symmetric(cage, (upper, follows), _SHRUG_UPPER, 2.0),
    }


def _shift(cage: Cage, side: float) -> Floats:
    """The mouth moved to one side (1 is the subject's left), the corners by different amounts."""
    handles: Handles = {}

    def move(x_rest: float, weight: float = 1.0) -> Floats:
        lead = float(np.clip(x_rest * side / 2.67, -1, 1))
        x = side * (0.98 - 0.22 * lead)
        z = -0.30 * lead - 0.05 * lead * lead + 0.08 * (1 - lead * lead)
        return np.array([x, 0.10 * lead + 0.06 * (1 - abs(lead)), z]) * weight

    for row in LIP_UPPER + LIP_LOWER:
        for column, vertex in enumerate(row):
            x_rest = column_x(cage, column)
            set_lip(handles, cage.sock, vertex, move(x_rest))
            set_lip(handles, cage.sock, int(cage.mirror[vertex]), move(-x_rest))
    for vertex, weight in _SHIFT_AROUND.items():
        for index in {vertex, int(cage.mirror[vertex])}:
            handles[index] = move(float(cage.vertices[index, 0]), weight)
    return cage.spreader.fill(handles, 2.8)


def close_over(cage: Cage, jaw_open: Floats, corner_rise: float = 0.10) -> Floats:
    """mouthClose [C,3]: closes the gap of `jaw_open` [C,3], 0.7 of it by the lower lip, 0.3 by the upper.

    The corners are merged and rise by `corner_rise` cm; with 0 the gap of any displacement can be closed.
    """
    handles: Handles = {}
    for place in range(1, len(LIP_UPPER[3])):
        gap = jaw_open[LIP_LOWER[3][place]] - jaw_open[LIP_UPPER[3][place]]
        for rows, weight in ((LIP_UPPER, 0.30), (LIP_LOWER, -0.70)):
            for row, keep in zip(rows, (0.72, 0.85, 0.95, 1.0), strict=True):
                set_lip(handles, cage.sock, row[place], gap * weight * keep, _CLOSE_WEIGHTS)
    corner = jaw_open[list(CORNERS)].mean(0)
    for vertex in CORNERS:
        set_lip(handles, cage.sock, vertex, corner - jaw_open[vertex] + [0, corner_rise, 0])
    middle = jaw_open[LIP_LOWER[3][-1]] - jaw_open[LIP_UPPER[3][-1]]
    handles.update({vertex: middle * weight for vertex, weight in _CLOSE_AROUND.items()})
    return cage.spreader.fill(both_halves(cage, handles), 2.6)


def both_sides(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the lips' shapes without a side, and of mouthLeft and mouthRight."""
    return {
        "mouthPucker": _pucker(cage),
        "mouthFunnel": _funnel(cage),
        "mouthRollUpper": _roll(cage, upper=True),
        "mouthRollLower": _roll(cage, upper=False),
        **_shrugs(cage),
        "mouthLeft": _shift(cage, 1),
        "mouthRight": _shift(cage, -1),
    }
