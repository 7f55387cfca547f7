"""Expressions of the mouth that pull its corners or part one side's lips (stage S9)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .cage import Cage
from .indices import LIP_LOWER, LIP_UPPER
from .mesh import MIRROR, Floats, smoothstep
from .spread import SOCK_SHARES, Handles, set_lip

#: displacement of a lip vertex from (column 0 corner .. 5 middle, row 0 outer .. 3 contact, 0 middle .. 1 corner)
LipMotion = Callable[[int, int, float], "Floats | Sequence[float]"]
Table = Mapping[int, tuple[float, float, float]]

_SMILE: Table = {
    50: (-0.10, 0.30, 0.18), 205: (-0.22, 0.42, 0.18), 187: (-0.35, 0.42, 0.05), 207: (-0.40, 0.45, 0),
    216: (-0.45, 0.5, -0.02), 206: (-0.3, 0.38, 0.08), 212: (-0.4, 0.4, -0.1), 186: (-0.42, 0.5, -0.15),
    57: (-0.52, 0.5, -0.3), 92: (-0.25, 0.3, -0.1), 101: (0, 0.18, 0.15), 118: (-0.05, 0.18, 0.12),
    117: (-0.05, 0.15, 0.1), 123: (-0.1, 0.2, 0.05), 43: (-0.3, 0.25, -0.2), 106: (-0.15, 0.1, -0.1),
    202: (-0.28, 0.2, -0.12), 36: (-0.06, 0.25, 0.14), 203: (-0.12, 0.2, 0.06), 214: (-0.3, 0.3, -0.05),
    23: (0, 0.06, 0.02), 24: (0, 0.06, 0.02), 110: (0, 0.06, 0.02), 145: (0, 0.05, 0), 144: (0, 0.05, 0),
    153: (0, 0.04, 0), 163: (0, 0.04, 0),
}  # fmt: skip
_FROWN: Table = {
    57: (-0.12, -0.6, -0.1), 43: (-0.1, -0.55, -0.05), 202: (-0.1, -0.4, 0.02), 212: (-0.08, -0.45, -0.05),
    106: (0, -0.25, 0.04), 186: (-0.05, -0.45, -0.05), 216: (-0.05, -0.3, 0), 210: (0, -0.25, 0.05),
    204: (0, -0.1, 0.05),
}  # fmt: skip
_DIMPLE: Table = {
    57: (-0.35, 0.05, -0.4), 186: (-0.25, 0.04, -0.3), 43: (-0.25, 0.04, -0.3), 212: (-0.15, 0.03, -0.1),
    216: (-0.1, 0.08, 0), 207: (-0.05, 0.05, 0.12), 214: (-0.05, 0.02, 0.10),
}  # fmt: skip
_STRETCH: Table = {
    57: (-0.65, -0.25, -0.3), 43: (-0.5, -0.3, -0.2), 212: (-0.45, -0.2, -0.1), 202: (-0.35, -0.3, -0.1),
    186: (-0.45, -0.15, -0.2), 210: (-0.25, -0.25, 0), 214: (-0.25, -0.1, -0.03),
}  # fmt: skip
_UPPER_UP: Table = {
    92: (-0.03, 0.32, 0.05), 165: (-0.02, 0.38, 0.05), 167: (0, 0.25, 0.03), 206: (-0.06, 0.28, 0.08),
    203: (-0.06, 0.3, 0.06), 98: (-0.02, 0.12, 0), 64: (-0.03, 0.16, 0), 129: (-0.03, 0.15, 0),
    36: (-0.02, 0.22, 0.1), 186: (-0.02, 0.12, 0.02), 205: (-0.02, 0.15, 0.08),
}  # fmt: skip
_LOWER_DOWN: Table = {
    106: (-0.05, -0.42, 0.03), 182: (-0.03, -0.45, 0.03), 83: (0, -0.32, 0.03), 43: (-0.05, -0.2, 0),
    204: (-0.03, -0.25, 0.04), 194: (-0.02, -0.25, 0.03), 202: (-0.05, -0.2, 0),
}  # fmt: skip
_PRESS: Table = {
    57: (-0.15, 0.05, -0.1), 106: (0, 0.12, 0.06), 182: (0, 0.10, 0.08), 92: (0, -0.06, 0.03), 202: (-0.03, 0.06, 0.08),
}  # fmt: skip


def still(column: int, row: int, side: float) -> Floats:
    """The lip motion that holds a lip where it is."""
    return np.zeros(3)


def column_x(cage: Cage, column: int) -> float:
    """Mean x of a column of the right half's lips, 0 the corner .. 5 the middle.

    All rows of a column move by the same place in the mouth: at the corner they are so close that moving each by its
    own place would fold them.
    """
    return float(np.mean([cage.vertices[row[column], 0] for row in LIP_UPPER + LIP_LOWER]))


def corner_part(cage: Cage, column: int) -> float:
    """0 at the middle of the mouth .. 1 at its corner."""
    return column_x(cage, column) / column_x(cage, 0)


def lip_handles(
    cage: Cage, upper: LipMotion, lower: LipMotion, around: Table, shares: tuple[float, ...] = SOCK_SHARES
) -> Handles:
    """Handles of the right half of both lips and of the skin `around` them."""
    handles: Handles = {}
    for rows, motion in ((LIP_UPPER, upper), (LIP_LOWER, lower)):
        for number, row in enumerate(rows):
            for column, vertex in enumerate(row):
                move = np.asarray(motion(column, number, corner_part(cage, column)), float)
                set_lip(handles, cage.sock, vertex, move, shares)
    handles.update({vertex: np.array(move, float) for vertex, move in around.items()})
    return handles


def both_halves(cage: Cage, handles: Handles) -> Handles:
    """Handles of the right half and their mirror images; the midline stays on the midline."""
    whole: Handles = {}
    for vertex, move in handles.items():
        other = int(cage.mirror[vertex])
        whole[vertex] = move * [0, 1, 1] if other == vertex else move
        whole[other] = whole[vertex] * MIRROR if other != vertex else whole[vertex]
    return whole


def _corner_pull(
    cage: Cage,
    corner: Sequence[float],
    middles: tuple[Sequence[float], Sequence[float]],
    power: float,
    around: Table,
    reach: float,
) -> Floats:
    """Pull the corner; lips follow by a power of their place, `middles` add to halfway points of upper and lower."""

    def follow(middle: Sequence[float]) -> LipMotion:
        return lambda column, row, side: np.array(corner) * side**power + np.array(middle) * (1 - side) * side * 2

    handles = lip_handles(cage, follow(middles[0]), follow(middles[1]), around)
    return cage.spreader.fill(handles, reach)


def _lip_lift(move: Sequence[float], width: float) -> LipMotion:
    """A Gaussian bump at 0.45 of the way to the corner, zero at the corner itself."""

    def motion(column: int, row: int, side: float) -> Floats:
        return np.array(move) * np.exp(-(((side - 0.45) / width) ** 2)) * (side < 0.98)

    return motion


def _press(cage: Cage) -> Floats:
    """Lips pressed against each other: the red rolls in, the outer rows close up."""

    def motion(rows: Sequence[float], flatten: float) -> LipMotion:
        def move(column: int, row: int, side: float) -> Floats:
            part = float(smoothstep(0.0, 0.4, side))
            depth = -0.12 * (1 - flatten * row / 3)
            close = rows[row] * (0.4 + 0.6 * side) * (1 - smoothstep(0.7, 1, side))
            return np.array([-0.10 * side, close, depth]) * part

        return move

    upper, lower = motion((-0.16, -0.12, -0.05, 0), 0.3), motion((0.16, 0.12, 0.05, 0), 0.3)
    return cage.spreader.fill(lip_handles(cage, upper, lower, _PRESS), 2.0)


def right_side(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the right side's shapes by name without the side."""
    upper_up = lip_handles(cage, _lip_lift((-0.09, 0.66, 0.02), 0.36), still, _UPPER_UP)
    lower_down = lip_handles(cage, still, _lip_lift((-0.10, -0.68, 0.02), 0.38), _LOWER_DOWN)
    return {
        "mouthSmile": _corner_pull(
            cage, (-0.72, 0.72, -0.50), ((-0.25, 0.05, -0.08), (-0.25, 0.02, -0.10)), 1.15, _SMILE, 3.2
        ),
        "mouthFrown": _corner_pull(
            cage, (-0.12, -0.70, -0.12), ((0, -0.05, 0), (-0.05, -0.05, 0.03)), 1.5, _FROWN, 3.0
        ),
        "mouthDimple": _corner_pull(
            cage, (-0.30, 0.20, -0.48), ((-0.10, 0.03, -0.05), (-0.10, 0.10, -0.05)), 1.2, _DIMPLE, 2.4
        ),
        "mouthStretch": _corner_pull(
            cage, (-0.75, -0.28, -0.35), ((-0.2, -0.03, -0.05), (-0.25, -0.18, -0.06)), 1.2, _STRETCH, 3.0
        ),
        "mouthPress": _press(cage),
        "mouthUpperUp": cage.spreader.fill(upper_up, 2.6),
        "mouthLowerDown": cage.spreader.fill(lower_down, 2.4),
    }
