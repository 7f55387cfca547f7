"""Expressions that rotate joints: authored at weight 1, stored as rotations and rest-pose displacements (S9, S10)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from avatar.head.anatomy import jaw
from avatar.head.anatomy.expressions import NAMES
from avatar.head.anatomy.mesh import Floats
from avatar.head.anatomy.parts import Part
from avatar.types import JAW, JOINT_NAMES, LEFT_EYE, RIGHT_EYE

from .eyes import LOOKS


def directions() -> Floats:
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


def part_shapes(parts: Sequence[Part], shapes: Floats) -> Floats:
    """Rest-pose displacements [E,P,3] of all parts' vertices; zero for parts rigidly bound to a joint."""
    points = np.vstack([part.vertices for part in parts])
    weights = np.concatenate([part.jaw_weights for part in parts])
    bound = np.concatenate([np.full(len(part.vertices), part.joint is not None) for part in parts])
    rest = rest_shapes(points, weights, shapes)
    rest[:, bound] = 0
    return rest
