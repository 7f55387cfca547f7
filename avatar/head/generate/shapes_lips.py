"""Expressions that both halves of the lips make together (stage S9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cage import Cage
from .indices import CORNERS, LIP_LOWER, LIP_UPPER
from .mesh import Floats, smoothstep
from .shapes_mouth import LipMotion, Table, both_halves, column_x, lip_handles, still
from .spread import SOCK_SHARES, Handles, set_lip

_ROLL_SHARES = (0.9, 0.5, 0.2, 0.0, 0.0)
_CLOSE_SHARES = (1.0, 0.9, 0.5, 0.1, 0.0)

_PUCKER: Table = {
    57: (0.95, 0, 0.5), 186: (0.75, 0, 0.42), 43: (0.75, 0, 0.40), 92: (0.45, -0.02, 0.40), 165: (0.3, -0.02, 0.40),
    167: (0.15, -0.02, 0.40), 164: (0, -0.03, 0.40), 106: (0.4, 0.04, 0.38), 182: (0.25, 0.04, 0.38),
    83: (0.1, 0.04, 0.38), 18: (0, 0.04, 0.38), 212: (0.55, 0, 0.25), 216: (0.45, 0, 0.22), 202: (0.4, 0, 0.25),
    206: (0.22, 0, 0.15), 207: (0.3, 0, 0.08), 214: (0.3, 0, 0.08),
}  # fmt: skip
_FUNNEL: Table = {
    57: (0.65, 0, 0.32), 186: (0.5, 0.05, 0.3), 43: (0.5, -0.15, 0.3), 92: (0.3, 0.12, 0.3), 165: (0.2, 0.2, 0.3),
    167: (0.1, 0.22, 0.3), 164: (0, 0.22, 0.3), 106: (0.25, -0.3, 0.3), 182: (0.15, -0.38, 0.3),
    83: (0.07, -0.4, 0.3), 18: (0, -0.4, 0.3), 212: (0.35, -0.05, 0.15), 216: (0.3, 0, 0.15),
}  # fmt: skip
_ROLL_UPPER: Table = {164: (0, -0.12, -0.08), 167: (0, -0.12, -0.08), 165: (0, -0.10, -0.08), 92: (0, -0.06, -0.05)}
_ROLL_LOWER: Table = {
    18: (0, 0.18, -0.05), 83: (0, 0.18, -0.05), 182: (0, 0.15, -0.05), 106: (0, 0.1, -0.04), 200: (0, 0.1, 0.06),
}  # fmt: skip
_SHRUG_LOWER: Table = {
    18: (0, 0.42, 0.06), 83: (0, 0.40, 0.06), 182: (0, 0.33, 0.06), 106: (0, 0.2, 0.05), 200: (0, 0.48, 0.10),
    199: (0, 0.36, 0.10), 175: (0, 0.2, 0.05), 201: (0, 0.40, 0.1), 208: (0, 0.3, 0.08), 194: (0, 0.38, 0.08),
    204: (0, 0.25, 0.06), 152: (0, 0.08, 0),
}  # fmt: skip
_SHRUG_UPPER: Table = {
    164: (0, 0.25, 0.10), 167: (0, 0.24, 0.1), 165: (0, 0.18, 0.08), 92: (0, 0.1, 0.05), 2: (0, 0.10, 0.02),
    98: (0, 0.06, 0),
}  # fmt: skip
#: share of the lips' gap that the skin around follows when the mouth closes over an open jaw
_CLOSE_AROUND = {
    164: 0.16, 167: 0.15, 165: 0.1, 92: 0.06, 18: -0.5, 83: -0.48, 182: -0.42, 106: -0.3, 43: -0.12, 200: -0.26,
    199: -0.12, 201: -0.25,
}  # fmt: skip
_SHIFT_AROUND = {
    164: 0.6, 167: 0.6, 165: 0.6, 92: 0.6, 186: 0.75, 57: 0.85, 43: 0.8, 106: 0.7, 182: 0.7, 83: 0.7, 18: 0.7,
    200: 0.35, 212: 0.6, 216: 0.5, 202: 0.55, 2: 0.15, 97: 0.2, 98: 0.12, 99: 0.12, 242: 0.12,
}  # fmt: skip
_TONGUE_CONTACT = {14: 1, 87: 0.95, 178: 0.75, 88: 0.45, 95: 0.2}
_TONGUE_LIP = {
    15: 0.95, 16: 0.85, 17: 0.7, 86: 0.9, 179: 0.7, 89: 0.4, 85: 0.8, 180: 0.6, 84: 0.65, 181: 0.5, 18: 0.4,
}  # fmt: skip


def _symmetric(
    cage: Cage,
    motions: tuple[LipMotion, LipMotion],
    around: Table,
    reach: float,
    shares: tuple[float, ...] = SOCK_SHARES,
) -> Floats:
    """Fill from both halves of upper and lower lip motions."""
    handles = lip_handles(cage, motions[0], motions[1], around, shares)
    return cage.spreader.fill(both_halves(cage, handles), reach)


def _pucker(cage: Cage) -> Floats:
    def motion(rows: Sequence[float], out: float, lip_edge: float) -> LipMotion:
        return lambda column, row, side: (
            -0.5 * column_x(cage, column), rows[row], out + 0.12 * side - lip_edge * (row == 0)
        )  # fmt: skip

    upper = motion((0.01, 0, -0.01, 0), 0.62, 0.01)
    lower = motion((-0.06, -0.02, 0, 0), 0.60, 0)
    return _symmetric(cage, (upper, lower), _PUCKER, 2.6)


def _funnel(cage: Cage) -> Floats:
    def motion(height: float, tilt: float, out: Sequence[float]) -> LipMotion:
        return lambda column, row, side: (
            -0.17 * column_x(cage, column),
            height * (1 - side**2) * (0.95 if row == 0 else 1) + tilt * side + 0.03 * (height > 0) * (1 - side),
            out[row] + 0.05 * side,
        )

    upper, lower = motion(0.72, 0.03, (0.51, 0.47, 0.42, 0.36)), motion(-0.92, 0.03, (0.49, 0.45, 0.41, 0.34))
    return _symmetric(cage, (upper, lower), _FUNNEL, 2.6)


def _roll(cage: Cage, upper: bool) -> Floats:
    """One lip rolled in over the teeth; the other lip's contact comes along, so that no slit opens."""
    heights = (-0.42, -0.34, -0.12, 0.03) if upper else (0.34, 0.28, 0.14, 0.02)
    depths = (-0.22, -0.40, -0.44, -0.30) if upper else (-0.22, -0.40, -0.45, -0.32)
    around = _ROLL_UPPER if upper else _ROLL_LOWER

    def rolled(column: int, row: int, side: float) -> Floats:
        return np.array([0, heights[row], depths[row]]) * (1 - smoothstep(0.45, 1, side))

    def sealed(column: int, row: int, side: float) -> Floats:
        follow = (0.0, 0.15, 0.5, 1.0)[row]
        return np.array([0, heights[3], 0.35 * depths[3]]) * follow * (1 - smoothstep(0.45, 1, side))

    motions = (rolled, sealed) if upper else (sealed, rolled)
    return _symmetric(cage, motions, around, 2.0, _ROLL_SHARES)


def _bulge(rise: Sequence[float], out: Sequence[float], corner: float) -> LipMotion:
    """A lip pushed up by `rise` and out by `out` cm a row in its middle, `corner` cm at the corner."""
    return lambda column, row, side: (0, rise[row] * (1 - side**2) + corner * side, out[row] * (1 - side**2))


def _shrugs(cage: Cage) -> dict[str, Floats]:
    lower = _bulge((0.34, 0.30, 0.22, 0.17), (0.18, 0.26, 0.20, 0.10), 0.05)
    pushed = _bulge((0.16,) * 4, (0.05,) * 4, 0.05)
    upper = _bulge((0.46, 0.40, 0.30, 0.22), (0.06, 0.10, 0.09, 0.05), 0.05)
    follows = _bulge((0.05, 0.08, 0.13, 0.19), (0, 0.02, 0.04, 0.05), 0.05)
    return {
        "mouthShrugLower": _symmetric(cage, (pushed, lower), _SHRUG_LOWER, 2.4),
        "mouthShrugUpper": _symmetric(cage, (upper, follows), _SHRUG_UPPER, 2.0),
    }


def _shift(cage: Cage, side: float) -> Floats:
    """The whole mouth slid to one side (1 is the subject's left): the leading corner back, the lagging one more."""
    handles: Handles = {}

    def move(x_rest: float, share: float = 1.0) -> Floats:
        lead = float(np.clip(x_rest * side / 2.67, -1, 1))
        x = side * (0.98 - 0.22 * lead)
        z = -0.30 * lead - 0.05 * lead * lead + 0.08 * (1 - lead * lead)
        return np.array([x, 0.10 * lead + 0.06 * (1 - abs(lead)), z]) * share

    for row in LIP_UPPER + LIP_LOWER:
        for column, vertex in enumerate(row):
            x_rest = column_x(cage, column)
            set_lip(handles, cage.sock, vertex, move(x_rest))
            set_lip(handles, cage.sock, int(cage.mirror[vertex]), move(-x_rest))
    for vertex, share in _SHIFT_AROUND.items():
        for index in {vertex, int(cage.mirror[vertex])}:
            handles[index] = move(float(cage.vertices[index, 0]), share)
    return cage.spreader.fill(handles, 2.8)


def close_over(cage: Cage, jaw_open: Floats) -> Floats:
    """mouthClose: minus the gap that `jaw_open` [C,3] leaves, 0.7 of it by the lower lip, 0.3 by the upper."""
    handles: Handles = {}
    for place in range(1, len(LIP_UPPER[3])):
        gap = jaw_open[LIP_LOWER[3][place]] - jaw_open[LIP_UPPER[3][place]]
        for rows, share in ((LIP_UPPER, 0.30), (LIP_LOWER, -0.70)):
            for row, keep in zip(rows, (0.82, 0.9, 0.97, 1.0), strict=True):
                set_lip(handles, cage.sock, row[place], gap * share * keep, _CLOSE_SHARES)
    for vertex in CORNERS:
        set_lip(handles, cage.sock, vertex, np.array([0, 0.10, 0]))
    middle = jaw_open[LIP_LOWER[3][-1]] - jaw_open[LIP_UPPER[3][-1]]
    handles.update({vertex: middle * share for vertex, share in _CLOSE_AROUND.items()})
    return cage.spreader.fill(both_halves(cage, handles), 2.6)


def _tongue_out(cage: Cage) -> Floats:
    """The lower lip down and the upper up, as far as the tongue needs."""
    handles = lip_handles(cage, lambda column, row, side: (0, 0.10 * (1 - side**2), 0.03), still, {})
    handles = {vertex: move for vertex, move in handles.items() if move.any()}
    for vertex, share in _TONGUE_CONTACT.items():
        set_lip(handles, cage.sock, vertex, np.array([0, -0.30 * share, 0.05]))
    handles.update({vertex: np.array([0, -0.30 * share, 0.05]) for vertex, share in _TONGUE_LIP.items()})
    return cage.spreader.fill(both_halves(cage, handles), 1.6)


def both_sides(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the lips' shapes that have no side, mouthLeft and mouthRight among them."""
    return {
        "mouthPucker": _pucker(cage),
        "mouthFunnel": _funnel(cage),
        "mouthRollUpper": _roll(cage, upper=True),
        "mouthRollLower": _roll(cage, upper=False),
        **_shrugs(cage),
        "mouthLeft": _shift(cage, 1),
        "mouthRight": _shift(cage, -1),
        "tongueOut": _tongue_out(cage),
    }
