"""Expressions of brows, nose and cheeks (stage S9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.indices import (
    BROW_LOWER,
    BROW_UPPER,
    CORNERS,
    CREASE_LOWER,
    CREASE_LOWER_FAR,
    CREASE_UPPER_FAR,
    FACE_POINTS,
    FOREHEAD,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
    LIP_UPPER,
)
from avatar.head.anatomy.mesh import MIRROR, Floats

from .cage import Cage
from .lids import follow_bags, push_out
from .spread import Handles, set_lip

_LID_EDGE = LID_UPPER + LID_LOWER[1:-1]
_BRIDGE = (9, 8, 168)

_SNEER = {
    48: 0.9, 64: 0.85, 98: 0.6, 129: 1, 49: 1, 102: 1, 115: 0.6, 131: 0.9, 203: 0.75, 165: 0.4, 92: 0.55, 167: 0.3,
    36: 0.45, 142: 0.75, 126: 0.75, 198: 0.6, 217: 0.5, 174: 0.45, 188: 0.35,
    59: 0.8, 75: 0.65, 166: 0.85, 219: 0.9, 235: 0.85, 240: 0.65, 60: 0.5, 97: 0.25, 206: 0.5, 205: 0.25,
}  # fmt: skip
_SNEER_FOLDS = {
    114: (0, 0.14, 0.12), 193: (0.02, -0.08, 0.05), 55: (0.10, -0.22, 0.06), 107: (0.08, -0.16, 0.04),
    65: (0.03, -0.1, 0), 122: (0, 0.06, 0.06),
}  # fmt: skip
#: weight of the nose's rise for the lip's rows, from the outer one; the contact line stays shut
_SNEER_LIP = (0.55, 0.38, 0.18, 0.0)
_CHEEK_SQUINT = {
    50: 1, 101: 1, 118: 1, 117: 0.85, 123: 0.5, 36: 0.75, 205: 0.55, 119: 0.9, 100: 0.6, 111: 0.6, 116: 0.5, 187: 0.3,
    147: 0.2,
}  # fmt: skip

#: puffed cheeks: center and half-widths of the bulge, cm; it moves away from a point inside the mouth
_PUFF_CENTER = np.array([-4.2, -6.3, 0.0])
_PUFF_WIDTHS = np.array([2.2, 1.75, 2.6])
_PUFF_ORIGIN = np.array([-1.6, -6.6, -4.0])
_PUFF_HEIGHT = 1.0
_PUFF_FIXED = (152, 1, 4, 5, 50, 117, 111, 93)


def _brow_rise(
    height: Sequence[float], inward: float, out: float, lid_weight: Sequence[float], above: Sequence[float]
) -> Handles:
    """Handles of a moving right brow.

    Args:
        height: [5] rise in cm from the outer end.
        inward: displacement toward the middle plane at the inner end, cm.
        out: forward displacement, cm.
        lid_weight: [7] rise of the lid's far crease row, cm.
        above: [6] rise of the forehead, cm.

    Returns:
        Displacement [3] by vertex.
    """
    places = np.linspace(0, 1, 5)
    handles: Handles = {}
    for lower, upper, along, rise in zip(BROW_LOWER, BROW_UPPER, places, height, strict=True):
        handles[lower] = handles[upper] = np.array([inward * along, rise, out])
    for vertex, along, rise in zip(CREASE_UPPER_FAR, np.linspace(0, 1, 7), lid_weight, strict=True):
        handles[vertex] = np.array([inward * along * 0.3, rise, 0])
    for vertex in _LID_EDGE:
        handles[vertex] = np.zeros(3)
    for vertex, along, rise in zip(FOREHEAD, np.linspace(0, 1, 6), above, strict=True):
        handles[vertex] = np.array([inward * along * 0.2, rise, 0])
    return handles


def _tilted_brow(inner: float, outer: float, inward: float, out: float, lid: float) -> Handles:
    """Handles of a brow whose ends rise by `inner` and `outer` cm; the lid's fold moves by the weight `lid`.

    Args:
        inner: rise of the inner end, cm.
        outer: rise of the outer end, cm.
        inward: toward the middle plane, cm.
        out: forward, cm.
        lid: weight of the lid's fold.

    Returns:
        Displacement [3] by vertex.
    """

    def along(parts: Sequence[float]) -> Floats:
        return inner * np.array(parts) + outer * (1 - np.array(parts))

    fold = along((0, 0.15, 0.35, 0.55, 0.75, 0.95, 1)) * lid
    above = along((0, 0.1, 0.3, 0.55, 0.8, 1)) * 0.35
    return _brow_rise(tuple(along((0, 0.25, 0.5, 0.8, 1))), inward, out, tuple(fold), tuple(above))


def _outer_brow() -> Handles:
    rise = 0.65 * np.array([0.8, 1, 0.9, 0.5, 0.18])
    fold = 0.65 * 0.35 * np.array([0.6, 0.8, 0.8, 0.55, 0.3, 0.15, 0.05])
    above = 0.65 * 0.4 * np.array([0.5, 0.8, 0.9, 0.7, 0.35, 0.1])
    return _brow_rise(tuple(rise), 0, 0, tuple(fold), tuple(above))


def _sneer(cage: Cage) -> Floats:
    """Raised wing of the nose and skin next to it, wrinkles on the bridge; the lip below moves with it."""
    handles: Handles = {vertex: np.array([-0.05, 0.42, -0.04]) * weight for vertex, weight in _SNEER.items()}
    handles.update({vertex: np.array(move, float) for vertex, move in _SNEER_FOLDS.items()})
    handles.update({vertex: np.zeros(3) for vertex in _LID_EDGE})
    handles.update({vertex: np.array([0, 0.04, 0]) for vertex in LID_LOWER[1:-1]})
    for row, weight in zip(LIP_UPPER, _SNEER_LIP, strict=True):
        for column, vertex in enumerate(row):
            along = (0, 0.25, 0.7, 1, 0.75, 0.35)[column]
            set_lip(handles, cage.sock, vertex, np.array([0, 0.42 * weight * along, 0.04 * along]))
    lower_lip = [index for row in LIP_LOWER for index in row if index not in handles and index not in CORNERS]
    return cage.spreader.fill(handles, 2.2, lower_lip + cage.mirrored(lower_lip))


def _cheek_squint(cage: Cage) -> Floats:
    handles: Handles = {vertex: np.array([-0.04, 0.46, 0.26]) * weight for vertex, weight in _CHEEK_SQUINT.items()}
    for place, (upper, lower) in enumerate(zip(LID_UPPER[1:-1], LID_LOWER[1:-1], strict=True)):
        opening = cage.vertices[upper] - cage.vertices[lower]
        handles[upper] = np.zeros(3)
        handles[lower] = opening * 0.20
        handles[CREASE_LOWER[place]] = opening * 0.35
        handles[CREASE_LOWER_FAR[place]] = np.array([0, 0.32, 0.12])
    handles[CORNERS[0]] = np.array([-0.10, 0.14, -0.02])
    follow_bags(handles, cage.vertices, cage.bags, cage.eye_center, LID_UPPER[1:-1] + LID_LOWER[1:-1])
    return cage.spreader.fill(handles, 2.6)


def _puff(cage: Cage) -> Floats:
    """The right half of puffed cheeks: one smooth bulge and pressed lips."""
    lips = [index for row in LIP_UPPER + LIP_LOWER for index in row]
    near = np.exp(-(((cage.vertices - _PUFF_CENTER) / _PUFF_WIDTHS) ** 2).sum(1))
    away = cage.vertices - _PUFF_ORIGIN
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    swollen = _PUFF_HEIGHT * near[:, None] * away
    handles: Handles = {index: swollen[index] for index in range(FACE_POINTS) if near[index] > 0.02}
    for vertex in lips:
        side = cage.vertices[vertex, 0] / cage.vertices[CORNERS[0], 0]
        set_lip(handles, cage.sock, vertex, np.array([0, 0, 0.16]) + 0.75 * side**2 * swollen[CORNERS[0]])
    handles.update(dict.fromkeys(_PUFF_FIXED, np.zeros(3)))
    return cage.spreader.fill(handles, 2.6)


def _lid_kept_out(cage: Cage, field: Floats) -> Floats:
    """The field [C,3] with the rows of the right upper lid at least as far from the eye as at rest.

    Otherwise the skin above would move them into the lid's inner side.
    """
    limited = field.copy()
    for row, (edge, _, _) in cage.folds.items():
        if edge in LID_UPPER:
            rest = cage.vertices[row]
            distance = float(np.linalg.norm(rest - cage.eye_center))
            limited[row] = push_out((rest + field[row])[None], cage.eye_center, distance)[0] - rest
    return limited


def right_side(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the right side's shapes by name without the side."""
    fill = cage.spreader.fill
    return {
        "browDown": _lid_kept_out(cage, fill(_tilted_brow(-0.50, -0.22, 0.18, 0.08, 0.5), 2.6, [*_BRIDGE, 6])),
        "browOuterUp": _lid_kept_out(cage, fill(_outer_brow(), 2.6, _BRIDGE)),
        "noseSneer": _sneer(cage),
        "cheekSquint": _cheek_squint(cage),
    }


def both_sides(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the shapes without a side."""
    inner_brow = _lid_kept_out(cage, cage.spreader.fill(_tilted_brow(0.75, 0.05, 0.05, 0, 0.35), 2.6))
    halves = {"browInnerUp": inner_brow * 0.85, "cheekPuff": _puff(cage)}
    return {name: half + (half * MIRROR)[cage.mirror] for name, half in halves.items()}
