"""Skin weights of the jaw, and the expressions that rotate it (stages S9 and S10)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from avatar.head import skinning
from avatar.head.anatomy.indices import LIP_LOWER, LIP_UPPER, OVAL
from avatar.head.anatomy.mesh import Floats, smoothstep

from .cage import Cage

HINGE = np.array([0, -1.3, -6.3])

_RIGID = (
    152, 148, 176, 149, 175, 199, 200, 18, 17, 16, 15, 14, 84, 83, 201, 208, 171, 140, 32, 194, 204, 85, 86, 87, 181,
    182, 180, 178, 179,
)  # fmt: skip
_CHEEK_LINE = {150: 0.97, 136: 0.88, 172: 0.72, 58: 0.5, 132: 0.25, 93: 0.06, 57: 0.33}
_FIXED = (
    2, 1, 4, 5, 195, 6, 168, 8, 9, 10, 127, 234, 33, 133, 64, 98, 97, 326, 164, 167, 50, 118, 36, 101, 117, 123,
)  # fmt: skip
_LOWER_LIP_WEIGHTS = (0.38, 0.72, 0.92)  # from the corner
_UPPER_LIP_WEIGHTS = (0.14, 0.06, 0.03, 0.02, 0.02)  # from next to the corner
_SOCK_CAP_WEIGHT = 0.3

#: rotation of the jaw at weight 1, axis-angle in degrees
ROTATIONS: dict[str, tuple[float, float, float]] = {
    "jawOpen": (20.9, 0, 0),
    "jawLeft": (0, 3.5, 0),
    "jawRight": (0, -3.5, 0),
    "jawForward": (0, 0, 0),
}
#: translation of the jaw at weight 1, cm
_SHIFTS = {
    "jawOpen": (0, -0.165, 0.385),
    "jawLeft": (0.45, -0.05, 0),
    "jawRight": (-0.45, -0.05, 0),
    "jawForward": (0, -0.05, 0.65),
}


def _behind_the_chin(points: Floats) -> Floats:
    """Jaw weight [N] of skin points [N,3] outside the face: 1 below the chin, fading to cheek, ear and throat."""
    y = points[:, 1]
    z = points[:, 2]
    return smoothstep(-7.6, -2.6, z) * smoothstep(-1.5, -7.5, y) * smoothstep(-16.8, -11.8, y)


def skin_weights(cage: Cage) -> Floats:
    """Jaw weight [C] of each cage vertex, 0..1, symmetric."""
    weights: dict[int, float] = dict.fromkeys(_RIGID, 1.0)
    weights.update(_CHEEK_LINE)
    for rows, parts, first in ((LIP_LOWER, _LOWER_LIP_WEIGHTS, 0), (LIP_UPPER, _UPPER_LIP_WEIGHTS, 1)):
        for row in rows:
            weights.update(zip(row[first:], parts, strict=False))
    weights.update(dict.fromkeys(_FIXED, 0.0))
    weights.update({int(cage.mirror[vertex]): weight for vertex, weight in list(weights.items())})
    for vertex, rings in cage.sock.items():
        weights.update(dict.fromkeys(rings, weights[vertex]))
    weights[cage.sock_cap] = _SOCK_CAP_WEIGHT
    outer = [index for index in OVAL if cage.vertices[index, 1] < -1] + [index for ring in cage.rings for index in ring]
    weights.update(zip(outer, _behind_the_chin(cage.vertices[outer]), strict=True))
    smooth = np.clip(cage.spreader.interpolate(weights), 0, 1)
    return (smooth + smooth[cage.mirror]) / 2


def rotation_of(name: str) -> Floats:
    """Rotation [3,3] of the jaw at weight 1 of `name`."""
    return Rotation.from_rotvec(ROTATIONS[name], degrees=True).as_matrix()


def shapes(points: Floats, weights: Floats) -> dict[str, Floats]:
    """Displacements [N,3] by name of jawOpen, jawForward, jawLeft, jawRight for points with jaw weights [N]."""
    arm = points - HINGE
    return {
        name: weights[:, None] * (arm @ rotation_of(name).T + np.array(shift) - arm) for name, shift in _SHIFTS.items()
    }


def rest_displacements(points: Floats, weights: Floats, displacements: Floats, name: str) -> Floats:
    """Rest-pose displacements of an expression that also rotates the jaw.

    Args:
        points: [N,3] cm.
        weights: [N] jaw weights.
        displacements: [N,3] cm after the rotation.
        name: of the expression.

    Returns:
        [N,3] cm.
    """
    return skinning.rest_displacements(points, displacements, weights, HINGE, rotation_of(name))
