"""Joints and skin weights, the vertices of the joint regressor, and expressions that rotate joints (S9, S10).

Those are authored at weight 1 and stored as rotations and rest-pose displacements.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy.mesh import MIRROR, Floats, smoothstep
from avatar.head.anatomy.parts import Part
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, NECK, RIGHT_EYE, ROOT

from . import jaw
from .expressions import NAMES
from .eyes import LOOKS
from .jaw import HINGE

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


def joint_directions() -> Floats:
    """Axis-angle rotations [J,3,E] in radians of each joint at weight 1 of each expression."""
    degrees = np.zeros((len(JOINT_NAMES), 3, len(NAMES)))
    for name, rotation in jaw.ROTATIONS.items():
        degrees[JAW, :, NAMES.index(name)] = rotation
    for name, down, out in LOOKS:
        for side, joint, sign in (("Left", LEFT_EYE, 1.0), ("Right", RIGHT_EYE, -1.0)):
            degrees[joint, :, NAMES.index(f"eyeLook{name}{side}")] = (down, sign * out, 0)
    return np.radians(degrees)


def rest_shapes(points: Floats, weights: Floats, shapes: Floats) -> Floats:
    """Rest-pose displacements [E,N,3] from the shapes [E,N,3] at weight 1, for points [N,3] with jaw weights [N].

    mouthClose is defined relative to an open jaw.
    """
    rest = shapes.copy()
    for name in jaw.ROTATIONS:
        rest[NAMES.index(name)] = jaw.rest_displacements(points, weights, shapes[NAMES.index(name)], name)
    opened = NAMES.index("jawOpen")
    close = NAMES.index("mouthClose")
    both = jaw.rest_displacements(points, weights, shapes[opened] + shapes[close], "jawOpen")
    rest[close] = both - rest[opened]
    return rest


def rest_part_shapes(parts: Sequence[Part], shapes: Floats) -> Floats:
    """Rest-pose displacements [E,P,3] of all parts' vertices; zero for parts rigidly bound to a joint."""
    points = np.vstack([part.vertices for part in parts])
    weights = np.concatenate([part.jaw_weights for part in parts])
    bound = np.concatenate([np.full(len(part.vertices), part.joint is not None) for part in parts])
    rest = rest_shapes(points, weights, shapes)
    rest[:, bound] = 0
    return rest
