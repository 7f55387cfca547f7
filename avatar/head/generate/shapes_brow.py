"""Expressions of brows, nose and cheeks (stage S9)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .cage import Cage
from .indices import (
    BROW_LOWER,
    BROW_UPPER,
    CORNERS,
    CREASE_LOWER,
    CREASE_LOWER_FAR,
    CREASE_UPPER_FAR,
    FOREHEAD,
    LID_LOWER,
    LID_UPPER,
    LIP_LOWER,
)
from .lids import follow_bags
from .mesh import MIRROR, Floats
from .spread import Handles, set_lip

_LID_EDGE = LID_UPPER + LID_LOWER[1:-1]
_BRIDGE = (9, 8, 168)

_SNEER = {
    48: 0.8, 64: 0.8, 98: 0.5, 129: 1, 49: 1, 102: 1, 115: 0.5, 131: 0.9, 203: 0.7, 165: 0.3, 92: 0.5, 167: 0.25,
    39: 0.35, 40: 0.4, 37: 0.2, 36: 0.4, 142: 0.7, 126: 0.7, 198: 0.5, 217: 0.4, 174: 0.4, 188: 0.3,
    59: 0.7, 75: 0.6, 166: 0.8, 219: 0.85, 235: 0.75, 240: 0.6, 60: 0.4,
}  # fmt: skip
_SNEER_FOLDS = {
    114: (0, 0.12, 0.10), 193: (0, -0.05, 0.04), 55: (0.08, -0.2, 0.05), 107: (0.06, -0.15, 0.04), 65: (0.03, -0.1, 0),
}  # fmt: skip
_CHEEK_SQUINT = {
    50: 1, 101: 1, 118: 1, 117: 0.9, 123: 0.5, 36: 0.8, 205: 0.6, 119: 0.9, 100: 0.6, 111: 0.7, 116: 0.6,
}  # fmt: skip
_PUFF = {
    50: 0.4, 205: 0.9, 187: 0.9, 207: 0.9, 216: 0.7, 206: 0.6, 212: 0.6, 214: 0.9, 192: 0.85, 213: 0.7, 147: 0.6,
    202: 0.5, 210: 0.45, 57: 0.4, 186: 0.35, 92: 0.3, 165: 0.15, 43: 0.3, 106: 0.2, 135: 0.5, 138: 0.5, 123: 0.3,
    177: 0.25,
}  # fmt: skip
_PUFF_UPPER = (39, 37, 40, 185, 81, 80, 82, 191, 73, 74, 72, 184)
_PUFF_LOWER = (181, 84, 91, 146, 178, 88, 87, 95, 180, 90, 85, 77)
_PUFF_JAW = (132, 58, 172, 136, 150)


def _brow_rise(
    height: Sequence[float], inward: float, out: float, lid_share: Sequence[float], above: Sequence[float]
) -> Handles:
    """Handles of a moving right brow: rise [5] from its outer end, pull to the middle and outwards, what follows."""
    part = np.linspace(0, 1, 5)
    handles: Handles = {}
    for lower, upper, along, rise in zip(BROW_LOWER, BROW_UPPER, part, height, strict=True):
        handles[lower] = handles[upper] = np.array([inward * along, rise, out])
    for vertex, along, rise in zip(CREASE_UPPER_FAR, np.linspace(0, 1, 7), lid_share, strict=True):
        handles[vertex] = np.array([inward * along * 0.3, rise, 0])
    for vertex in _LID_EDGE:
        handles[vertex] = np.zeros(3)
    for vertex, along, rise in zip(FOREHEAD, np.linspace(0, 1, 6), above, strict=True):
        handles[vertex] = np.array([inward * along * 0.2, rise, 0])
    return handles


def _tilted_brow(inner: float, outer: float, inward: float, out: float, lid: float) -> Handles:
    """Handles of a brow whose ends rise by `inner` and `outer` cm; the lid's fold follows by the share `lid`."""

    def along(parts: Sequence[float]) -> Floats:
        return inner * np.array(parts) + outer * (1 - np.array(parts))

    fold = along((0, 0.15, 0.35, 0.55, 0.75, 0.95, 1)) * lid
    above = along((0, 0.1, 0.3, 0.55, 0.8, 1)) * 0.35
    return _brow_rise(tuple(along((0, 0.25, 0.5, 0.8, 1))), inward, out, tuple(fold), tuple(above))


def _outer_brow() -> Handles:
    rise, fold, above = (0.75, 1, 0.85, 0.3, 0), (0.6, 0.8, 0.8, 0.5, 0.25, 0.1, 0), (0.5, 0.8, 0.9, 0.6, 0.2, 0)
    scaled = [0.65 * share * np.array(parts) for share, parts in ((1, rise), (0.35, fold), (0.4, above))]
    return _brow_rise(scaled[0], 0, 0, scaled[1], scaled[2])


def _sneer(cage: Cage) -> Floats:
    handles: Handles = {vertex: np.array([-0.06, 0.38, -0.03]) * share for vertex, share in _SNEER.items()}
    handles.update({vertex: np.array(move, float) for vertex, move in _SNEER_FOLDS.items()})
    handles.update({vertex: np.zeros(3) for vertex in _LID_EDGE})
    handles.update({vertex: np.array([0, 0.04, 0]) for vertex in LID_LOWER[1:-1]})
    for vertex, rise in ((81, 0.12), (80, 0.12), (82, 0.06)):
        set_lip(handles, cage.sock, vertex, np.array([0, rise, 0]))
    lower_lip = [index for row in LIP_LOWER for index in row if index not in handles and index not in CORNERS]
    return cage.spreader.fill(handles, 2.2, lower_lip + cage.mirrored(lower_lip))


def _cheek_squint(cage: Cage) -> Floats:
    handles: Handles = {vertex: np.array([-0.03, 0.40, 0.16]) * share for vertex, share in _CHEEK_SQUINT.items()}
    for place, (upper, lower) in enumerate(zip(LID_UPPER[1:-1], LID_LOWER[1:-1], strict=True)):
        opening = cage.vertices[upper] - cage.vertices[lower]
        handles[upper], handles[lower] = np.zeros(3), opening * 0.16
        handles[CREASE_LOWER[place]] = opening * 0.25
        handles[CREASE_LOWER_FAR[place]] = np.array([0, 0.25, 0.06])
    handles[CORNERS[0]] = np.array([-0.08, 0.12, -0.02])
    follow_bags(handles, cage.vertices, cage.bags, cage.eye_centre, LID_UPPER[1:-1] + LID_LOWER[1:-1])
    return cage.spreader.fill(handles, 2.6)


def _puff(cage: Cage) -> Floats:
    """The right half of a puffed face."""
    handles: Handles = {vertex: cage.normals[vertex] * 0.95 * share for vertex, share in _PUFF.items()}
    for vertices, move in (
        (CORNERS, (0.10, 0, 0.18)),
        (_PUFF_UPPER, (0.02, 0.02, 0.15)),
        (_PUFF_LOWER, (0.02, -0.02, 0.13)),
    ):
        for vertex in vertices:
            set_lip(handles, cage.sock, vertex, np.array(move, float))
    handles.update({vertex: cage.normals[vertex] * 0.08 for vertex in _PUFF_JAW})
    return cage.spreader.fill(handles, 2.6, [152, 1, 4, 5])


def right_side(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the right side's shapes by name without the side."""
    fill = cage.spreader.fill
    return {
        "browDown": fill(_tilted_brow(-0.50, -0.22, 0.18, 0.08, 0.5), 2.6, [*_BRIDGE, 6]),
        "browOuterUp": fill(_outer_brow(), 2.6, _BRIDGE),
        "noseSneer": _sneer(cage),
        "cheekSquint": _cheek_squint(cage),
    }


def both_sides(cage: Cage) -> dict[str, Floats]:
    """Displacements [C,3] of the shapes that have no side."""
    inner_brow = cage.spreader.fill(_tilted_brow(0.75, 0.05, 0.05, 0, 0.35), 2.6)
    halves = {"browInnerUp": inner_brow * 0.85, "cheekPuff": _puff(cage)}
    return {name: half + (half * MIRROR)[cage.mirror] for name, half in halves.items()}
