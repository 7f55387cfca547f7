"""Joint positions, skin weights and the vertices of the joint regressor (stage S10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.jaw import HINGE
from avatar.head.anatomy.mesh import MIRROR, Floats, smoothstep
from avatar.head.anatomy.parts import Part
from avatar.types import JAW, JOINT_NAMES, NECK, ROOT

ROOT_POSITION = np.array([0, -22.0, -10.0])
NECK_POSITION = np.array([0, -16.0, -9.6])


def joint_positions(right_eye: Floats) -> Floats:
    """Rest positions [5,3] cm in the order of JOINT_NAMES."""
    return np.stack([ROOT_POSITION, NECK_POSITION, HINGE, right_eye * MIRROR, right_eye])


def weights(points: Floats, jaw_weights: Floats) -> Floats:
    """Skin weights [N,5] of points [N,3] with jaw weights [N]; at most three per point are not zero."""
    neck = smoothstep(-18.5, -12.2, points[:, 1])
    table = np.zeros((len(points), len(JOINT_NAMES)))
    table[:, JAW] = jaw_weights
    table[:, NECK] = (1 - jaw_weights) * neck
    table[:, ROOT] = (1 - jaw_weights) * (1 - neck)
    return table


def part_weights(parts: Sequence[Part]) -> Floats:
    """Skin weights [P,5] of all parts' vertices."""
    tables = []
    for part in parts:
        table = weights(part.vertices, part.jaw_weights)
        if part.joint is not None:
            table = np.zeros_like(table)
            table[:, part.joint] = 1
        tables.append(table)
    return np.vstack(tables)


def regressor_groups(skin: Floats, eyes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Vertices of the joint regressor: slices of the skin [N,3] at the heights of root, neck and jaw, the eyeballs."""
    y = skin[:, 1]
    z = skin[:, 2]
    return [
        np.flatnonzero(np.abs(y - ROOT_POSITION[1]) < 2),
        np.flatnonzero(np.abs(y - NECK_POSITION[1]) < 1.2),
        np.flatnonzero((np.abs(y - HINGE[1]) < 2) & (z > -16)),
        *eyes,
    ]
